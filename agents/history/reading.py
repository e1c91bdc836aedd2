"""Reads the entries of a file, in its order: CSV, JSON or JSON Lines, as its first character shows."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from io import BufferedReader
from itertools import chain, islice
from typing import Any

from npsflow.agents.history.entries import Entry, ExportFile, RefusedEntry, UnreadableFile
from npsflow.agents.history.opening import text_lines
from npsflow.agents.history.rows import Rows, matching_columns, title_rows
from npsflow.agents.platforms.protocol import Export, ExportItem, FileOptions, InvalidEntry
from npsflow.schemas import codec
from npsflow.schemas.topics import MAX_INPUT
from npsflow.streams.intake.mapping import FormMapping

_DELIMITERS = (",", ";", "\t", "|")
_SAYS_DELIMITER = re.compile(r'"?sep=([^"\s]|\t)"?[,;\t|]*\s*', re.IGNORECASE)  # Excel reads and writes this first line
_LINE = 1 << 20  # characters; a longer first line of JSON is a document of its own


def read(
    file: BufferedReader, export: Export, form: FormMapping, options: FileOptions, encoding: str = "utf-8"
) -> ExportFile:
    """The file, whose entries are read as they are taken. Raises UnreadableFile, then too."""
    lines = text_lines(file, encoding)
    above, first = list[str](), next(lines, None)
    while first is not None and first.isspace():
        above.append(first)
        first = next(lines, None)
    if first is None:
        raise UnreadableFile("the file is empty")
    if first.lstrip()[0] in "[{":
        return _json(len(above), first, lines, export, form, options)
    if first.lstrip()[0] == "<":
        raise UnreadableFile("the file is HTML or XML: export the responses as CSV or JSON")
    delimiters: Sequence[str] = _DELIMITERS
    if says := _SAYS_DELIMITER.fullmatch(first):
        above.append(first)
        delimiters, first = [says[1]], next(lines, "")
    return _table(above, delimiters, chain([first], lines), export, form, options)


def _entry(number: int, text: str, read: Callable[[], Iterable[ExportItem]]) -> Entry | RefusedEntry:
    items = []
    try:
        for item in read():
            items.append(item)
    except InvalidEntry as error:
        refused = RefusedEntry(number, text, error.reason, str(error))
        return Entry(number, text, items, refused) if items else refused
    return Entry(number, text, items)


# CSV


def _table(
    above: Sequence[str],
    delimiters: Sequence[str],
    lines: Iterator[str],
    export: Export,
    form: FormMapping,
    options: FileOptions,
) -> ExportFile:
    """`above`: lines before the titles that are none."""
    csv.field_size_limit(MAX_INPUT)
    taken: list[str] = []

    def from_start() -> Iterator[str]:
        for number in range(1 << 20):
            if number == len(taken):
                taken.extend(islice(lines, 1))
            if number < len(taken):
                yield taken[number]

    table = export.table(form) if callable(export.table) else export.table
    readers = {delimiter: csv.reader(from_start(), delimiter=delimiter, strict=True) for delimiter in delimiters}
    headers = {
        delimiter: title_rows(table, form, _first_rows(rows, table.header)) for delimiter, rows in readers.items()
    }
    headers = {delimiter: rows for delimiter, rows in headers.items() if len({len(row) for row in rows}) == 1}
    if not headers:
        raise UnreadableFile("the titles of the columns cannot be read: is it CSV, with comma, semicolon or tab?")
    delimiter = max(headers, key=lambda candidate: matching_columns(table, form, headers[candidate]))
    header = headers[delimiter]
    rows = Rows(table, form, header, options)
    source = _LineSource(chain(taken, lines), len(above))
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    for _ in header:
        next(reader)
    header_text = "".join([*(line for line in above if not line.isspace()), *source.taken])
    remarks: list[str] = []
    entries = _rows(source, reader, rows, len(header[0]), remarks)
    return ExportFile("line", header_text, rows.missing, entries, remarks)


def _first_rows(rows: "Iterator[list[str]]", count: int) -> list[list[str]]:
    """So many rows, fewer where one cannot be read."""
    read: list[list[str]] = []
    with suppress(csv.Error):
        read.extend(islice(rows, count))
    return read


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


def _rows(
    source: _LineSource, reader: "Iterator[list[str]]", rows: Rows, width: int, remarks: list[str]
) -> Iterator[Entry | RefusedEntry]:
    """Lines of words below the last row are no rows, and go to `remarks`."""
    below: list[RefusedEntry] = []
    while True:
        source.taken = []
        number = source.number + 1
        try:
            row = next(reader)
        except StopIteration:
            remarks += [f"line {line.number} is below the table, and is no answer" for line in below]
            return
        except csv.Error as error:
            why = "a quotation mark is not closed" if "end of data" in str(error) else f"not CSV: {error}"
            yield from below
            below = []
            yield RefusedEntry(number, "".join(source.taken), "not_csv", why)
            continue
        if not "".join(row).strip():
            continue
        text = "".join(source.taken)
        if _is_remark(row, width):
            below.append(RefusedEntry(number, text, "ragged", f"one cell where the header has {width}"))
            continue
        if below:
            yield from below
            below = []
        if len(row) != width:
            yield RefusedEntry(number, text, "ragged", f"{len(row)} columns where the header has {width}")
        else:
            yield _entry(number, text, lambda row=row: rows.read(row))  # type: ignore[misc]


def _is_remark(row: Sequence[str], width: int) -> bool:
    """Whether it is a line of words, as "Reporting period: …": an id that is cut off has no blank in it."""
    if width < 3 or any(row[1:]):
        return False
    return len(row[0].split()) > 1


# JSON


def _json(
    blank: int, first: str, lines: Iterator[str], export: Export, form: FormMapping, options: FileOptions
) -> ExportFile:
    try:
        value = codec.loads_lenient(first) if len(first) < _LINE else None
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
        parts = _parts(data, export.lists)
    except codec.NotJson:
        raise UnreadableFile("the file is not JSON") from None
    for at, (text, fields) in enumerate(parts):
        here = number + at if count else number
        if isinstance(fields, dict):
            yield _entry(here, text, lambda fields=fields: export.items(fields, form, options))  # type: ignore[misc]
        elif isinstance(fields, codec.NotJson):
            yield RefusedEntry(here, text, "not_json", "not JSON")
        else:
            yield RefusedEntry(here, text, "not_object", "the JSON is not an object")


def _parts(data: bytes, lists: Sequence[str]) -> Iterable[tuple[str, Any]]:
    """The items of a document: each as text on one line, so that refused ones are JSON Lines, and what it holds.

    That is NotJson where one of them cannot be read. Raises NotJson where none can.
    """
    try:
        parts = codec.parts(data, lists)
    except codec.NotJson:
        items = codec.items_of(codec.loads_lenient(data), lists)
        return [(codec.dumps_lenient(item), item) for item in items]
    return map(_part, parts)


def _part(part: bytes) -> tuple[str, Any]:
    text = str(part, "utf-8")
    try:
        fields = codec.loads_lenient(text)
    except codec.NotJson as error:
        return " ".join(text.splitlines()), error
    return codec.dumps_lenient(fields) if "\n" in text else text, fields
