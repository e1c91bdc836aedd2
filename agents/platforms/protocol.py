"""What a survey platform may offer: a webhook, answers to be fetched from its API, an export to be imported.

A platform is one module of this package. Its `PLATFORM` names those parts that it has.

Rejected                the webhook is answered with an error
├── Malformed           not what the platform sends
├── Forged              its signature does not hold
└── Stale               its signature is too old
FetchError              the API gave no answers
├── Transient           something that may pass: it is tried again
│   └── TokenRefused    a person has to look at the token
└── Permanent           the answers are not there, and will not be
InvalidEntry            one entry of an export from which nothing can be made
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, NamedTuple, Protocol

from npsflow.agents.platforms.times import TimeFormat
from npsflow.streams.intake.mapping import FetchRequest, FormMapping, Offer, Submission

# The webhook.

CONTENT_TYPE = "content-type"
"""The one header besides signatures that adapters look at: a dead letter keeps it."""


class Delivery(NamedTuple):
    """One request: headers by lower-case name, the raw body, and the query of its address.

    `path`: what stands in the address behind the entrance, without the slashes around it. Each may hold the secret.
    """

    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = {}
    path: str = ""

    def __repr__(self) -> str:
        return "Delivery(…)"


class Rejected(Exception):
    """The request is answered with `status` and counted under `outcome`. The text holds nothing of its content."""

    status = 400
    outcome = "malformed"


class Malformed(Rejected):
    """Not what this platform sends."""


class Forged(Rejected):
    """Its signature is missing or wrong."""

    status = 401
    outcome = "forged"


class Stale(Rejected):
    """Signed, but too long ago (or ahead): it may be a recording."""

    status = 401
    outcome = "stale"


def no_handshake(delivery: Delivery) -> bool:
    """For a platform that tries an address by GET or HEAD, or not at all."""
    return False


@dataclass(frozen=True, slots=True)
class Webhook:
    """How a platform's requests are verified and read.

    `verify(delivery, form, secrets, now)`: `now` in seconds, `secrets` are those that hold now. Raises Forged or Stale.
    `parse(delivery, form)`: its events; none for what is of no interest. Raises Malformed.
    `handshake(delivery)`: whether it is the test that comes before both sides know the secret. It needs no signature,
    so only a body of one fixed form, without data, may be one.
    """

    verify: Callable[[Delivery, FormMapping, Sequence[str], float], None]
    parse: Callable[[Delivery, FormMapping], Iterable[Submission | Offer | FetchRequest]]
    handshake: Callable[[Delivery], bool] = no_handshake


# The API.


class FetchError(Exception):
    """No answers; counted under `outcome`. The text holds nothing of what was asked or answered, and no token."""

    outcome = "failed"


class Transient(FetchError):
    """Something that may pass. `seconds`: how long at least to wait, 0 if that is not known."""

    outcome = "later"

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(why)
        self.seconds = seconds


class TokenRefused(Transient):
    """The API does not let us in."""

    outcome = "refused"


class Permanent(FetchError):
    """What was asked for is not there, and will not be."""

    outcome = "never"


class Api(Protocol):
    """The API of a platform, for one account."""

    async def get(self, *path: str, **query: str) -> Mapping[str, Any]:
        """The JSON object at this path. Raises FetchError."""


def bearer_token(token: str) -> dict[str, str]:
    """The header of OAuth 2.0 (RFC 6750)."""
    return {"Authorization": f"Bearer {token}"}


def no_limit(headers: Mapping[str, str]) -> float:
    """For a platform whose headers say nothing about its limits."""
    return 0.0


@dataclass(frozen=True, slots=True)
class Answers:
    """How answers are fetched from a platform.

    `base`: its address, empty where every account has one of its own. `per_minute`: requests that its documentation
    allows. `fetch(api, ids)`: all submissions that the ids of a FetchRequest stand for; raises FetchError.
    `token(token)`: the headers that carry it. `used_up(headers)`: seconds until the API answers again, read from the
    headers of its last answer; 0 is at once.
    """

    base: str
    per_minute: int
    fetch: Callable[[Api, Mapping[str, str]], Coroutine[Any, Any, list[Submission]]]
    token: Callable[[str], dict[str, str]] = bearer_token
    used_up: Callable[[Mapping[str, str]], float] = no_limit


# The export.


ExportItem = Submission | Offer
"""What one entry of an export holds."""


class InvalidEntry(Exception):
    """One entry from which nothing can be made: the reason in a word, and a message without anything of it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What the command line says about a file. `form`: id of the form if the file does not hold it.

    `make_ids`: rows without an id get one that is made of their content.
    """

    times: TimeFormat = field(default_factory=TimeFormat)
    form: str = ""
    make_ids: bool = False


Header = Sequence[Sequence[str]]
"""Rows of titles; or the names of each column."""


def one_row(header: Header) -> Header:
    """The names of each column where there is one row of titles."""
    return [[title] for title in header[0]]


def no_test(content: Mapping[str, Any]) -> bool:
    """For a platform that marks no responses as a test."""
    return False


def no_zone(header: Header) -> None:
    """For a platform that documents no time zone."""


@dataclass(frozen=True, slots=True)
class Table:
    """The CSV of a platform: titles of the columns with a fixed meaning; of several the first that is filled in counts.

    `paths`: title, in lower case, to where a webhook has the same; `prefixes`: what a title begins with, in lower case,
    to where the rest of it is found; `rest`: under which names all other cells are found by title. `cells`: path to
    what makes the value of a webhook of a cell. `header`: how many rows of titles there are at most; `titles` makes the
    names of each column from them, `zone` the time zone of all times, None if it is not documented. `identity`: the id
    of a response from its cell. `is_test`: whether a row is a preview, a test or made up. `reads`: the paths that this
    and the mapping of an item look at, beside `paths`.
    """

    response_id: Sequence[str] = ()
    submitted_at: Sequence[str] = ()
    updated_at: Sequence[str] = ()
    form: Sequence[str] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    prefixes: Mapping[str, str] = field(default_factory=dict)
    rest: Sequence[str] = ()
    cells: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    header: int = 1
    titles: Callable[[Header], Header] = one_row
    zone: Callable[[Header], tzinfo | None] = no_zone
    identity: Callable[[str], str] = str
    is_test: Callable[[Mapping[str, Any]], bool] = no_test
    reads: Sequence[str] = ()


def same_mapping(form: FormMapping, item: ExportItem) -> FormMapping:
    """For a platform whose items all have the mapping of the settings."""
    return form


@dataclass(frozen=True, slots=True)
class Export:
    """How the files of a platform are read.

    `items(fields, form, options)`: what one object of a JSON export holds; raises InvalidEntry, after what can be read
    of it. `lists`: names under which a JSON document holds the objects. `form`: id of the form where the platform has
    but one. `default`: the mapping that holds without settings. `mapping(form, item)`: the mapping of one item, if it
    depends on it.
    """

    table: Table | Callable[[FormMapping], Table]
    items: Callable[[dict[str, Any], FormMapping, FileOptions], Iterable[ExportItem]]
    lists: Sequence[str] = ()
    form: str = ""
    default: FormMapping | None = None
    mapping: Callable[[FormMapping, ExportItem], FormMapping] = same_mapping


def no_settings(form: FormMapping) -> Iterable[str]:
    """For a platform that has no settings of its own."""
    return ()


@dataclass(frozen=True, slots=True)
class Platform:
    """The parts that a platform has.

    `settings(form)`: names of those settings of `[intake.NAME]` that have an effect on it, but not on every platform.
    """

    webhook: Webhook | None = None
    answers: Answers | None = None
    export: Export | None = None
    settings: Callable[[FormMapping], Iterable[str]] = no_settings
