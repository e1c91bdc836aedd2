"""An event of `service-recovery` as notifiers see it: what it is, and what of it may leave the house."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from npsflow.schemas import codec
from npsflow.schemas.events import Severity
from npsflow.schemas.headers import Headers
from npsflow.streams.notify.settings import Notifier, Told
from npsflow.streams.scoring.segments import normal
from npsflow.streams.stage import Record

_PREFIX, _SUFFIX = "npsflow.case.", ".v1"
_SEVERITIES: tuple[Severity, ...] = ("medium", "high", "critical")
_OURS = ("plan",)  # what npsflow keeps for itself
_MOST_ID = 600  # bytes; ours are shorter
_LAST = 10  # entries of a history that are sent


class Unreadable(ValueError):
    """Not an event that npsflow wrote; the text holds nothing of it."""


class Event(NamedTuple):
    """`id` and `type` as in its headers, `at` their time; `case` the whole flat value."""

    id: str
    type: str
    at: str
    what: Told
    case: dict[str, Any]

    @property
    def case_id(self) -> str:
        """An event that is of no case stands for itself."""
        return str(self.case.get("case_id") or self.id)

    def customers(self, key: str) -> set[str]:
        """Whom it tells of, as they are named in Kafka keys; `key` is its own. A bundle stands under another's."""
        said_by = f"{self.case.get('source')}/{self.case.get('response_id')}"
        return {key, str(self.case.get("customer_id") or said_by)}

    @property
    def entry(self) -> dict[str, Any]:
        """The last line of its history: what happened."""
        history = self.case.get("history")
        last = history[-1] if isinstance(history, list) and history else {}
        return last if isinstance(last, dict) else {}


def type_of(headers: Headers) -> str:
    """The `ce_type` of a record, "" where it has none."""
    return next((value.decode(errors="replace") for name, value in headers if name == "ce_type" and value), "")


def is_case(headers: Headers) -> bool:
    """Whether a record is a decision about a case; all else on the topic are facts, which notifiers leave to others."""
    return type_of(headers).startswith(_PREFIX)


def read(record: Record) -> Event:
    """Raises Unreadable."""
    given = {name: value.decode(errors="replace") for name, value in record.headers if value is not None}
    kind = given.get("ce_type", "")
    try:
        case = codec.loads(record.value or b"")
    except codec.NotJson:
        raise Unreadable("the event is not JSON") from None
    if not isinstance(case, dict) or not 0 < len(given.get("ce_id", "").encode()) <= _MOST_ID:
        raise Unreadable("the event is no JSON object, or has no id")
    if len(str(case.get("case_id", "")).encode()) > _MOST_ID:
        raise Unreadable("the case has no id of ours")
    what: Any = kind.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    event = Event(given["ce_id"], kind, given.get("ce_time", ""), what, case)
    return event._replace(what="enriched") if what == "noted" and event.entry.get("reason") == "enriched" else event


def wanted(event: Event, notifier: Notifier) -> bool:
    """Whether this notifier tells of it."""
    kind = event.case.get("kind", "recovery")
    return event.what in notifier.events and kind in notifier.cases and concerns(event.case, notifier)


def concerns(case: Mapping[str, Any], notifier: Notifier) -> bool:
    """Of a department that it is for, and as severe as it asks; an ask has no severity. Raises ValueError."""
    severity = case.get("severity")
    severe = severity is None or _SEVERITIES.index(severity) >= _SEVERITIES.index(notifier.at_least)
    return severe and of_department(case, notifier)


def of_department(case: Mapping[str, Any], notifier: Notifier) -> bool:
    """One that it is for; large and small letters are the same, as in the rules of recovery."""
    found = normal(str(case.get("department") or ""))
    return not notifier.departments or found in map(normal, notifier.departments)


def settle(event: Event, notifier: Notifier) -> float:
    """Seconds to wait for its comment."""
    waits = event.what == "opened" and not event.case.get("comment") and event.case.get("severity") != "critical"
    return notifier.settle_seconds if waits else 0.0


def let_through(case: dict[str, Any], private: Collection[str]) -> dict[str, Any]:
    """Of the event's value only what may be sent. Words of customers and notes of teams are `comment`."""
    kept = {name: value for name, value in case.items() if name not in _OURS}
    for name in ("name", "email", "phone", "comment"):
        if name not in private:
            kept.pop(name, None)
    history = _objects(kept.pop("history", ()))[-_LAST:]
    answers = _objects(kept.pop("answers", ()))
    if "comment" not in private:
        history, answers = _without(history, "comment"), _without(answers, "text")
    kept |= {"history": history} if history else {}
    return kept | ({"answers": answers} if answers else {})


def fitted(data: dict[str, Any], room: int) -> dict[str, Any]:
    """At most `room` bytes of JSON: what is long is cut until it fits, and `cut` names what was."""
    cut: list[str] = []
    for name, shorten in _SHORTER:
        if len(codec.dumps(data | ({"cut": cut} if cut else {}))) <= room:
            break
        if name in data:
            shorter = shorten(data[name])
            data = {n: v for n, v in data.items() if n != name} | ({name: shorter} if shorter else {})
            cut = [*cut, *([] if name in cut else [name])]
    else:
        data = {name: data[name] for name in _NEVER_CUT if name in data and len(str(data[name])) <= _SHORT}
        cut = ["all"]
    return data | ({"cut": cut} if cut else {})


def _objects(found: object) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, Iterable) else []


def _without(found: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [{n: v for n, v in one.items() if n != name} for one in found]


def _texts(name: str, length: int) -> Callable[[Any], Any]:
    """Of each object in a list this text at most so long."""
    return lambda found: [one | ({name: str(one[name])[:length]} if name in one else {}) for one in _objects(found)]


def _start(length: int) -> Callable[[Any], Any]:
    return lambda text: str(text)[:length] + "…"


def _nothing(_: Any) -> None:
    return None


_SHORT = 256
_NEVER_CUT = (
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
_SHORTER: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("history", _texts("comment", 500)),
    ("answers", _texts("text", 500)),
    ("comment", _start(8000)),
    ("comment", _start(2000)),
    ("history", lambda found: _texts("comment", 100)(found[-3:])),
    ("answers", _nothing),
    ("attributes", _nothing),
    ("comment", _start(500)),
    ("history", _nothing),
    ("alert_ids", _nothing),
    ("response_url", _nothing),
    ("reference", _nothing),
    ("comment", _nothing),
    ("", _nothing),
)
