"""The entries of an export, one for each row or object."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from npsflow.agents.platforms.protocol import ExportItem
from npsflow.schemas.errors import NpsflowError


class UnreadableFile(NpsflowError):
    """The file as a whole cannot be read; the text says what to do about it, and holds nothing of its responses."""


class RefusedEntry(NamedTuple):
    """An entry that is not sent: `text` at line (of a JSON document: item) `number`."""

    number: int
    text: str
    reason: str
    message: str


class Entry(NamedTuple):
    """An entry that could be read, and what it holds; `refused` where a part of it could not."""

    number: int
    text: str
    items: Sequence[ExportItem]
    refused: RefusedEntry | None = None


class ExportFile(NamedTuple):
    """`kind`: what the numbers of its entries count; `header`: the text above the first.

    `missing`: paths of the mapping that lead nowhere in it, as far as that is known beforehand. `remarks`: what was
    passed over in it; known when all entries are taken.
    """

    kind: str
    header: str
    missing: list[str]
    entries: Iterator[Entry | RefusedEntry]
    remarks: Sequence[str] = ()
