"""The query strings of requests to the board."""

from collections.abc import Mapping
from typing import Any, NoReturn, get_args

from aiohttp import web

from npsflow.schemas.cases import Kind
from npsflow.schemas.times import rfc3339
from npsflow.streams.recovery.case_index import CaseFilter, ListedCase, Position

_MAX_LIMIT = 1000
_KINDS = ("unhappy", *get_args(Kind))
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


def parse_filter(query: Mapping[str, str]) -> CaseFilter:
    """Which cases are asked for. Raises HTTPBadRequest, as all functions here do."""
    if unknown := sorted(query.keys() - {"open", "overdue", "owner", "department", "kind"}):
        name = unknown[0]
        bad_request(f"there is no `{name}` to ask for" if name.isidentifier() else "there is no such question")
    if query.get("kind", "unhappy") not in _KINDS:
        bad_request(f"kind is one of {', '.join(_KINDS)}")
    fields: dict[str, Any] = dict(query)
    return CaseFilter(**fields | {name: parse_bool(query[name], name) for name in ("open", "overdue") if name in query})


def parse_limit(text: str) -> int:
    """How many cases at most."""
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= _MAX_LIMIT):
        bad_request(f"limit is a number from 1 to {_MAX_LIMIT}")
    return int(text)


def parse_cursor(text: str) -> Position | None:
    """The position that `cursor` wrote, behind which the next page begins; None for the first page."""
    if not text:
        return None
    deadline, dot, case_id = text.partition(".")
    if not dot or not (deadline.isascii() and (deadline or "0").isdigit() and len(deadline) < 20):
        bad_request("after is the `next` of the answer before")
    return not deadline, rfc3339(int(deadline)) if deadline else "", case_id


def cursor(listed: ListedCase) -> str:
    """The position of a case as text. The next page is found by it even when that case has changed or is gone."""
    return f"{'' if listed.deadline is None else listed.deadline}.{listed.case_id}"


def parse_bool(text: str, name: str) -> bool:
    """Whether a flag is set; `name` is for the error."""
    if text not in _BOOLEANS:
        bad_request(f"{name} is 1 or 0")
    return _BOOLEANS[text]


def bad_request(reason: str) -> NoReturn:
    """Raises HTTPBadRequest with this text."""
    raise web.HTTPBadRequest(text=reason)
