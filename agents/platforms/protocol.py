"""A webhook as it came, and the ways in which it can be turned down."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from npsflow.agents.intake.api import Answers
from npsflow.schemas import codec
from npsflow.streams.intake.mapping import FormMapping, Offered, Submission

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request: headers by lower-case name, the raw body, and what stands behind the ? of its address."""

    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = field(default_factory=dict)


class TurnedDown(Exception):
    """The request is answered with `status`; the text holds nothing of its content."""

    status = 400
    outcome = "malformed"


class Malformed(TurnedDown):
    """Not what this platform sends."""


class Forged(TurnedDown):
    """Its signature is missing or not ours."""

    status = 401
    outcome = "forged"


class Stale(TurnedDown):
    """Signed, but too long ago (or ahead): it may be a recording."""

    status = 401
    outcome = "stale"


@dataclass(frozen=True, slots=True)
class Asked:
    """An event without answers: the response has to be fetched. `ids`: what the platform's API wants to know."""

    form: str
    event_id: str
    ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Platform:
    """What is particular to a platform. Each lives in one module of `platforms`, as its `PLATFORM`.

    `verify(delivery, form, secrets, now)` raises Forged or Stale; `now` in seconds, `secrets` are those that hold now.
    `parse(delivery, form)` gives what was sent, nothing for an event that is of no interest; raises Malformed.
    `answers`: where its events hold none, how they are fetched.
    """

    verify: Callable[[Delivery, FormMapping, Sequence[str], float], None]
    parse: Callable[[Delivery, FormMapping], Iterable[Submission | Offered | Asked]]
    answers: Answers | None = None


def json_object(body: bytes) -> dict[str, Any]:
    """Raises Malformed."""
    try:
        found = codec.loads(body)
    except codec.NotJson:
        raise Malformed("the body is not JSON") from None
    if not isinstance(found, dict):
        raise Malformed("the JSON is not an object")
    return found


def objects(of: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Those in a list that may be missing."""
    return [item for item in maybe(of, name, list) if isinstance(item, dict)]


def maybe(of: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """A field that may be missing or of a kind that nobody expects: then an empty one."""
    found = of.get(name)
    return found if isinstance(found, kind) else kind()


def part(of: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """A field that has to be there. Raises Malformed."""
    found = of.get(name)
    if not isinstance(found, kind):
        raise Malformed(f"{name} is missing")
    return found


def identifier(of: Mapping[str, Any], name: str) -> str:
    """The same for an id, which may be a number. Raises Malformed."""
    found = of.get(name)
    if isinstance(found, bool) or not isinstance(found, int | str) or found == "":
        raise Malformed(f"{name} is missing")
    return str(found)
