"""The value of an event as it leaves npsflow: without what must stay in, and no longer than a receiver takes."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from npsflow.schemas import codec

_INTERNAL = ("plan", "type", "id", "time")
"""What npsflow keeps for itself, and what is of the event, which a message says beside its data."""
_SHOWN = ("newest", "worst")  # answers, each with its comment
_MAX_HISTORY = 10  # entries


def redact(case: dict[str, Any], private: Collection[str]) -> dict[str, Any]:
    """The fields that may be sent. `private` names those let through; words of customers and teams are `comment`."""
    kept = {name: value for name, value in case.items() if name not in _INTERNAL}
    for name in ("name", "email", "phone", "comment"):
        if name not in private:
            kept.pop(name, None)
    history = _objects(kept.pop("history", ()))[-_MAX_HISTORY:]
    answers = _objects(kept.pop("answers", ()))
    if "comment" not in private:
        history, answers = list(map(_without_words, history)), _without(answers, "text")
        kept |= {name: _without([kept[name]], "comment")[0] for name in _SHOWN if isinstance(kept.get(name), dict)}
    kept |= {"history": history} if history else {}
    return kept | ({"answers": answers} if answers else {})


def fit(data: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    """Shorten long fields until the JSON fits into `max_bytes`; the field `cut` names what was shortened."""
    cut: list[str] = []
    for name, shorten in _CUTS:
        if len(codec.dumps(data | ({"cut": cut} if cut else {}))) <= max_bytes:
            break
        if name in data:
            shorter = shorten(data[name])
            data = {n: v for n, v in data.items() if n != name} | ({name: shorter} if shorter else {})
            cut = [*cut, *([] if name in cut else [name])]
    else:
        data = {name: data[name] for name in _KEPT if name in data and len(str(data[name])) <= _MAX_KEPT}
        cut = ["all"]
    return data | ({"cut": cut} if cut else {})


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, Iterable) else []


def _without(objects: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [{n: v for n, v in item.items() if n != name} for item in objects]


def _without_words(entry: dict[str, Any]) -> dict[str, Any]:
    """A line of the history without what a team or a customer wrote."""
    answer, kept = entry.get("answer"), _without([entry], "comment")[0]
    return kept | ({"answer": _without([answer], "comment")[0]} if isinstance(answer, dict) else {})


def _cut_items(name: str, length: int) -> Callable[[Any], Any]:
    """Cut this field of each object in a list to `length` characters."""
    return lambda value: [item | ({name: str(item[name])[:length]} if name in item else {}) for item in _objects(value)]


def _cut_comment(length: int) -> Callable[[Any], Any]:
    """Cut the comment of an answer."""
    return lambda answer: _cut_items("comment", length)([answer])[0] if isinstance(answer, dict) else None


def _cut(length: int) -> Callable[[Any], Any]:
    return lambda text: str(text)[:length] + "…"


def _drop(_: Any) -> None:
    return None


_MAX_KEPT = 256  # characters
_KEPT = (
    "title",
    "case_id",
    "kind",
    "status",
    "severity",
    "owner",
    "due_at",
    "revision",
    "metric",
    "score",
    "customer_id",
)
_CUTS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("history", _cut_items("comment", 500)),
    ("answers", _cut_items("text", 500)),
    ("newest", _cut_comment(2000)),
    ("worst", _cut_comment(2000)),
    ("comment", _cut(8000)),
    ("comment", _cut(2000)),
    ("history", lambda value: _cut_items("comment", 100)(value[-3:])),
    ("answers", _drop),
    ("attributes", _drop),
    ("newest", _cut_comment(200)),
    ("worst", _cut_comment(200)),
    ("comment", _cut(500)),
    ("history", _drop),
    ("alert_ids", _drop),
    ("response_url", _drop),
    ("reference", _drop),
    ("comment", _drop),
    ("newest", _drop),
    ("worst", _drop),
    ("", _drop),
)
