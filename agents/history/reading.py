"""Reads the entries of a file, in its order: CSV, JSON or JSON Lines, as its first character shows."""

import csv
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import BinaryIO

from npsflow.agents.history.entries import Entry, ExportFile, RefusedEntry, UnreadableFile
from npsflow.agents.history.rows import Rows, matching_columns
from npsflow.agents.platforms.protocol import Export, ExportItem, FileOptions, InvalidEntry
from npsflow.schemas import codec
from npsflow.schemas.topics import MAX_INPUT
from npsflow.streams.intake.mapping import FormMapping

_DELIMITERS = (",", ";", "\t")
_LINE = 1 << 20  # characters; a longer first line of JSON is a document of its own


def read(
    file: BinaryIO, export: Export, form: FormMapping, options: FileOptions, encoding: str = "utf-8"
) -> ExportFile:
    """The file, whose entries are read as they are taken. Raises UnreadableFile, then too."""
    lines = _lines(file, encoding)
    blank, first = 0, next(lines, None)
    while first is not None and first.isspace():
        blank, first = blank + 1, next(lines, None)
    if first is None:
        raise UnreadableFile("the file is empty")
    if first.lstrip()[0] in "[{":
        return _json(blank, first, lines, export, form, options)
    return _table(blank, chain([first], lines), export, form, options)


def _lines(file: BinaryIO, encoding: str) -> Iterator[str]:
    """Lines with their ends. Raises UnreadableFile, with the number of the line, where the encoding is another."""
    name = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8", "utf_8") else encoding
    number = 1
    try:
        # A byte that cannot be decoded becomes half of a surrogate pair, so that its line is known.
        with open(file.fileno(), encoding=name, errors="surrogateescape", newline="", closefd=False) as text:
            for line in text:
                if not line.isascii():
                    line.encode()
                yield line
                number += 1
    except LookupError:
        raise UnreadableFile(f"{encoding!r} is not an encoding") from None
    except UnicodeError:
        raise UnreadableFile(f"line {number} is not {encoding}: say which it is with --encoding") from None


def _entry(number: int, text: str, read: Callable[[], Iterable[ExportItem]]) -> Entry | RefusedEntry:
    try:
        return Entry(number, text, list(read()))
    except InvalidEntry as error:
        return RefusedEntry(number, text, error.reason, str(error))


# CSV


def _table(blank: int, lines: Iterator[str], export: Export, form: FormMapping, options: FileOptions) -> ExportFile:
    csv.field_size_limit(MAX_INPUT)
    taken: list[str] = []

    def from_start() -> Iterator[str]:
        for number in range(1 << 20):
            if number == len(taken):
                taken.extend(islice(lines, 1))
            if number < len(taken):
                yield taken[number]

    table, headers = export.table(form) if callable(export.table) else export.table, {}
    for delimiter in _DELIMITERS:
        try:
            header = list(islice(csv.reader(from_start(), delimiter=delimiter, strict=True), table.header))
        except csv.Error:
            continue
        if len(header) == table.header and len({len(row) for row in header}) == 1:
            headers[delimiter] = header
    if not headers:
        raise UnreadableFile("the titles of the columns cannot be read: is it CSV, with comma, semicolon or tab?")
    delimiter = max(headers, key=lambda candidate: matching_columns(table, form, headers[candidate]))
    rows = Rows(table, form, headers[delimiter], options)
    source = _LineSource(chain(taken, lines), blank)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    for _ in range(table.header):
        next(reader)
    header_text = "".join(source.taken)
    return ExportFile("line", header_text, rows.missing, _rows(source, reader, rows, len(headers[delimiter][0])))


class _LineSource:
    """Counts the lines that the reader takes and keeps those of its present row."""

    def __init__(self, lines: Iterator[str], number: int) -> None:
        self._lines, self.number, self.taken = lines, number, list[str]()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        self.taken.append(line)
        return line


def _rows(source: _LineSource, reader: "Iterator[list[str]]", rows: Rows, width: int) -> Iterator[Entry | RefusedEntry]:
    while True:
        source.taken = []
        number = source.number + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            why = "a quotation mark is not closed" if "end of data" in str(error) else f"not CSV: {error}"
            yield RefusedEntry(number, "".join(source.taken), "not_csv", why)
            continue
        if not any(cell and not cell.isspace() for cell in row):
            continue
        text = "".join(source.taken)
        if len(row) != width:
            yield RefusedEntry(number, text, "ragged", f"{len(row)} columns where the header has {width}")
        else:
            yield _entry(number, text, lambda row=row: rows.read(row))  # type: ignore[misc]


# JSON


def _json(
    blank: int, first: str, lines: Iterator[str], export: Export, form: FormMapping, options: FileOptions
) -> ExportFile:
    try:
        value = codec.loads(first) if len(first) < _LINE else None
    except codec.NotJson:
        value = None
    if isinstance(value, dict):
        numbered = enumerate(chain([first], lines), blank + 1)
        return ExportFile("line", "", [], _json_lines(numbered, export, form, options))
    data = "".join(chain([first.lstrip()], lines)).encode()
    return ExportFile("item", "", [], _items(1, data, export, form, options))


def _json_lines(
    numbered: Iterable[tuple[int, str]], export: Export, form: FormMapping, options: FileOptions
) -> Iterator[Entry | RefusedEntry]:
    """A line is one response, or a page of them."""
    for number, line in numbered:
        if not line.isspace():
            try:
                yield from _items(number, line.encode(), export, form, options, count=False)
            except UnreadableFile:
                yield RefusedEntry(number, line, "not_json", "not JSON")


def _items(
    number: int, data: bytes, export: Export, form: FormMapping, options: FileOptions, count: bool = True
) -> Iterator[Entry | RefusedEntry]:
    try:
        parts = codec.parts(data, export.lists)
    except codec.NotJson:
        raise UnreadableFile("the file is not JSON") from None
    for at, part in enumerate(parts):
        text = str(part, "utf-8")
        here = number + at if count else number
        fields = codec.loads(text)
        if "\n" in text:
            text = codec.dumps(fields).decode()  # on one line, so that refused ones are JSON Lines
        if isinstance(fields, dict):
            yield _entry(here, text, lambda fields=fields: export.items(fields, form, options))  # type: ignore[misc]
        else:
            yield RefusedEntry(here, text, "not_object", "the JSON is not an object")
