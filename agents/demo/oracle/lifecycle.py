"""The life of an alert or a follow-up: which steps it takes as the versions of its response come and go."""

from .model import Case, Fields, Step, Version, category, equal

_NOT_IN_EVENTS = ("updated_at", "deleted", "question", "survey_version", "invitation_id", "scale", "test", "internal")
_NOT_IN_EVENTS_OF_CUSTOMER = ("name", "email", "phone")


def follow(case: Case, version: Version, kind: str) -> None:
    """Add the steps of the alert or follow-up of a response of which this version now stands."""
    content, before = version.content, case.identity
    first, again = ("raised", "reinstated") if kind == "alert" else ("requested", "requested")
    rank = category(content["metric"], content["score"]) if version.counts else -1
    if not version.counts or content["metric"] == "enps" or (rank == 0) != (kind == "alert"):
        if case.live:
            case.live = False
            case.steps.append(Step("retracted", before[2], _cause(content, before)))
        return
    key = content.get("customer", {}).get("id") or version.identity
    identity = (content["metric"], rank, key)
    if not case.steps:
        case.steps.append(Step(first, key))
    elif not case.live:
        case.steps.append(Step(again, key))
    elif identity != before:
        cause = "moved" if identity[:2] == before[:2] else _cause(content, before)
        case.steps += [Step("retracted", before[2], cause), Step(again, key)]
    elif not equal(_context(content), _context(case.content)):
        case.steps.append(Step("enriched", key))
    case.live, case.identity, case.content = True, identity, content


def _cause(content: Fields, before: tuple[str, int, str]) -> str:
    """Why an alert or follow-up does not stand any more."""
    for flag in ("deleted", "test", "internal"):
        if content.get(flag):
            return flag
    return "category" if content["metric"] == before[0] else "metric"


def _context(content: Fields) -> Fields:
    """What the events tell of the response; a change of it makes them enriched."""
    context = {name: value for name, value in content.items() if name not in _NOT_IN_EVENTS}
    customer = content.get("customer", {}).items()
    return context | {"customer": {name: value for name, value in customer if name not in _NOT_IN_EVENTS_OF_CUSTOMER}}
