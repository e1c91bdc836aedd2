"""What `npsflow intake try` says of a mapping: which path found what, what it became, and which paths there are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from npsflow.agents.intake.endpoint import Understood
from npsflow.agents.platforms import bodies
from npsflow.agents.platforms.protocol import Delivery, Malformed
from npsflow.agents.runtime.terminal import one_line
from npsflow.schemas import codec
from npsflow.streams.intake.coverage import MappedPath, mapped_paths, present_paths
from npsflow.streams.intake.mapping import FetchRequest, FormMapping
from npsflow.streams.intake.paths import find

_MAX_PATHS = 200


def explain(form: FormMapping, delivery: Delivery, understood: Understood) -> Iterator[str]:
    """Lines for a terminal; values are shortened. Of a body without an event its own paths are listed."""
    made = [codec.loads(record.value or b"") for record in (*understood.records, *understood.refused)]
    if not understood.events and understood.unmapped:
        yield from _present(_read(delivery.body))
    for event in understood.events:
        if isinstance(event, FetchRequest):
            yield "the answers are fetched later: paths lead into those"
            continue
        found = {mapped: find(event.content, mapped.path) for mapped in mapped_paths(form)}
        for mapped, value in found.items():
            yield _line(form, mapped, value, made)
        if None in found.values():
            yield from _present(event.content)


def _line(form: FormMapping, mapped: MappedPath, value: Any, made: Sequence[Mapping[str, Any]]) -> str:
    if value is None:
        return f"{mapped.setting} = {one_line(mapped.text, 80)}: found nothing"
    line = f"{mapped.setting} = {one_line(mapped.text, 80)}: {_short(value)}"
    if not made:
        return line
    became = _became(form, mapped, made)
    return f"{line} -> {'nothing' if became is None else _short(became)}"


def _became(form: FormMapping, mapped: MappedPath, made: Sequence[Mapping[str, Any]]) -> Any:
    """The value that this path gave to what was made, None if it gave none."""
    kind, _, name = mapped.setting.partition(".")
    first = made[0] if made else {}
    match kind:
        case "fields":
            outer, _, inner = name.partition(".")
            value = first.get(outer)
            return value.get(inner) if inner and isinstance(value, Mapping) else value
        case "paths":
            return first.get("survey_id" if name == "form" else name)
        case "drivers":
            topic = form.drivers[mapped.text]
            return next((a.get("score", a.get("text")) for a in first.get("answers", ()) if a["topic"] == topic), None)
        case "scores":
            end = "".join(f":{score.name}" for score in form.scores if score.question == mapped.path)
            several = len(form.scores) > 1
            return next((m.get("score") for m in made if not several or m["response_id"].endswith(end)), None)
    return first.get(kind)


def _read(body: bytes) -> Any:
    try:
        return bodies.read(body)
    except Malformed:
        return None


def _present(content: Any) -> Iterator[str]:
    """The paths that are there."""
    paths = list(present_paths(content))
    yield "paths that are there:" if paths else "there are no paths: the body is no JSON object and no form"
    for path, value in paths[:_MAX_PATHS]:
        yield f"  {one_line(path, 80)}: {_short(value)}"
    if len(paths) > _MAX_PATHS:
        yield f"  and {len(paths) - _MAX_PATHS} more"


def _short(value: Any) -> str:
    """Its type, and some of it."""
    match value:
        case None:
            return "null"
        case bool():
            return f"{value}".lower()
        case int() | float() | codec.NotFinite():
            return f"number {one_line(value, 40)}"
        case str():
            return f'text "{one_line(value, 40)}"'
        case list():
            return f"list of {len(value)}"
    return f"object of {len(value)}"
