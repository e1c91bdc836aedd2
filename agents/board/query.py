"""What stands behind the ? of a request to the board."""

from collections.abc import Mapping
from typing import Any, NoReturn, get_args

from aiohttp import web

from npsflow.schemas.cases import Kind
from npsflow.streams.recovery.case_index import ListedCase, Place, Wanted

_MOST_LISTED = 1000
_TRUTHS = {"1": True, "true": True, "0": False, "false": False}


def wanted(query: Mapping[str, str]) -> Wanted:
    """Which cases."""
    if unknown := sorted(query.keys() - {"open", "overdue", "owner", "department", "kind"}):
        malformed(
            f"there is no `{unknown[0]}` to ask for" if unknown[0].isidentifier() else "there is no such question"
        )
    if query.get("kind", "recovery") not in get_args(Kind):
        malformed(f"kind is one of {', '.join(get_args(Kind))}")
    given: dict[str, Any] = dict(query)
    return Wanted(**given | {name: truth(given[name], name) for name in ("open", "overdue") if name in given})


def limit(text: str) -> int:
    """How many at most."""
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= _MOST_LISTED):
        malformed(f"limit is a number from 1 to {_MOST_LISTED}")
    return int(text)


def after(text: str) -> Place | None:
    """The place behind which the rest stands, as `behind` wrote it; None for the beginning."""
    if not text:
        return None
    deadline, dot, case_id = text.partition(".")
    if not dot or not (deadline.isascii() and (deadline or "0").isdigit() and len(deadline) < 20):
        malformed("after is the `next` of the answer before")
    return not deadline, int(deadline or 0), case_id


def behind(one: ListedCase) -> str:
    """The place of a case, so that it is found again when that case has changed or is gone."""
    return f"{'' if one.deadline is None else one.deadline}.{one.case_id}"


def truth(text: str, name: str) -> bool:
    if text not in _TRUTHS:
        malformed(f"{name} is 1 or 0")
    return _TRUTHS[text]


def malformed(why: str) -> NoReturn:
    raise web.HTTPBadRequest(text=why)
