"""What an export says, and what is particular to that of one platform."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, NamedTuple

from npsflow.agents.history.times import Clock
from npsflow.schemas.errors import NpsflowError
from npsflow.streams.intake.mapping import FormMapping, Offered, Submission

Given = Submission | Offered


class Unreadable(NpsflowError):
    """The file as a whole cannot be read; the text says what to do about it, and holds nothing of its responses."""


class NotAnAnswer(Exception):
    """One entry from which nothing can be made: the reason in a word, and a message without anything of it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Refused(NamedTuple):
    """An entry that is not sent: `text` at line (of a JSON document: item) `number`."""

    number: int
    text: str
    reason: str
    message: str


class Said(NamedTuple):
    """An entry that could be read."""

    number: int
    text: str
    given: Sequence[Given]


@dataclass(frozen=True, slots=True)
class Context:
    """What is said about a file besides its mapping. `form`: id of the form where the file does not tell it.

    `make_ids`: make ids of the content of rows that have none.
    """

    clock: Clock = field(default_factory=Clock)
    form: str = ""
    make_ids: bool = False


Header = Sequence[Sequence[str]]
"""Rows of titles, and the names of each column."""


def one_row(header: Header) -> Header:
    """The names of each column where there is one row of titles."""
    return [[title] for title in header[0]]


def no_zone(header: Header) -> None:
    """Nothing is documented."""


@dataclass(frozen=True, slots=True)
class Table:
    """The CSV of a platform: titles of the columns with a fixed meaning; of several the first that is filled in counts.

    `paths`: title, in lower case, to where a webhook has the same; `rest`: where all other cells are found by title.
    `header`: rows of titles, of which `titles` makes the names of each column and `zone` that of the times, where it is
    documented. `identity`: the id of a response from its cell.
    """

    response_id: Sequence[str] = ()
    submitted_at: Sequence[str] = ()
    updated_at: Sequence[str] = ()
    form: Sequence[str] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    rest: Sequence[str] = ()
    header: int = 1
    titles: Callable[[Header], Header] = one_row
    zone: Callable[[Header], tzinfo | None] = no_zone
    identity: Callable[[str], str] = str


def _as_it_is(form: FormMapping, given: Given) -> FormMapping:
    return form


@dataclass(frozen=True, slots=True)
class Export:
    """What a module of `platforms` says as its `EXPORT`.

    `item` reads one object of a JSON export, and raises NotAnAnswer; `lists`: names under which a document holds them.
    `form`: the id of a form where the platform has but one. `default`: the mapping that needs no settings; `mapping`:
    that of one submission, where they differ.
    """

    table: Table | Callable[[FormMapping], Table]
    item: Callable[[dict[str, Any], FormMapping, Context], Iterable[Given]]
    lists: Sequence[str] = ()
    form: str = ""
    default: FormMapping | None = None
    mapping: Callable[[FormMapping, Given], FormMapping] = _as_it_is
