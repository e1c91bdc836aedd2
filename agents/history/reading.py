"""The entries of a file, as they stand there: CSV, JSON or JSON Lines, told from its first character."""

import csv
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import BinaryIO, NamedTuple

from npsflow.agents.history.export import Context, Export, Given, NotAnAnswer, Refused, Said, Unreadable
from npsflow.agents.history.rows import Rows, titles_known
from npsflow.schemas import codec
from npsflow.schemas.topics import MAX_INPUT
from npsflow.streams.intake.mapping import FormMapping

_DELIMITERS = (",", ";", "\t")
_LINE = 1 << 20  # characters; a longer first line of JSON is a document of its own


class File(NamedTuple):
    """`kind`: what the numbers of its entries count; `header`: the text above the first.

    `missing`: paths of the mapping that lead nowhere in it, as far as that is known beforehand.
    """

    kind: str
    header: str
    missing: list[str]
    entries: Iterator[Said | Refused]


def read(file: BinaryIO, export: Export, form: FormMapping, context: Context, encoding: str = "utf-8") -> File:
    """Raises Unreadable, also while the entries are taken."""
    lines = _lines(file, encoding)
    blank, first = 0, next(lines, None)
    while first is not None and first.isspace():
        blank, first = blank + 1, next(lines, None)
    if first is None:
        raise Unreadable("the file is empty")
    if first.lstrip()[0] in "[{":
        return _json(blank, first, lines, export, form, context)
    return _table(blank, chain([first], lines), export, form, context)


def _lines(file: BinaryIO, encoding: str) -> Iterator[str]:
    """Lines with their ends. Raises Unreadable, with the number of the line, where the encoding is another."""
    name = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8", "utf_8") else encoding
    number = 1
    try:
        # Half of a pair stands for what cannot be read, so that its line is known.
        with open(file.fileno(), encoding=name, errors="surrogateescape", newline="", closefd=False) as text:
            for line in text:
                if not line.isascii():
                    line.encode()
                yield line
                number += 1
    except LookupError:
        raise Unreadable(f"{encoding!r} is not an encoding") from None
    except UnicodeError:
        raise Unreadable(f"line {number} is not {encoding}: say which it is with --encoding") from None


def _said(number: int, text: str, read: Callable[[], Iterable[Given]]) -> Said | Refused:
    try:
        return Said(number, text, list(read()))
    except NotAnAnswer as error:
        return Refused(number, text, error.reason, str(error))


# CSV


def _table(blank: int, lines: Iterator[str], export: Export, form: FormMapping, context: Context) -> File:
    csv.field_size_limit(MAX_INPUT)
    taken: list[str] = []

    def from_start() -> Iterator[str]:
        for number in range(1 << 20):
            if number == len(taken):
                taken.extend(islice(lines, 1))
            if number < len(taken):
                yield taken[number]

    table, found = export.table(form) if callable(export.table) else export.table, {}
    for delimiter in _DELIMITERS:
        try:
            header = list(islice(csv.reader(from_start(), delimiter=delimiter, strict=True), table.header))
        except csv.Error:
            continue
        if len(header) == table.header and len({len(row) for row in header}) == 1:
            found[delimiter] = header
    if not found:
        raise Unreadable("the titles of the columns cannot be read: is it CSV, with comma, semicolon or tab?")
    delimiter = max(found, key=lambda one: titles_known(table, form, found[one]))
    rows = Rows(table, form, found[delimiter], context)
    source = _Counting(chain(taken, lines), blank)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    for _ in range(table.header):
        next(reader)
    header_text = "".join(source.taken)
    return File("line", header_text, rows.missing, _rows(source, reader, rows, len(found[delimiter][0])))


class _Counting:
    """Lines on their way to the reader: how many there were, and those of the row that it is at."""

    def __init__(self, lines: Iterator[str], number: int) -> None:
        self._lines, self.number, self.taken = lines, number, list[str]()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        self.taken.append(line)
        return line


def _rows(source: _Counting, reader: "Iterator[list[str]]", rows: Rows, width: int) -> Iterator[Said | Refused]:
    while True:
        source.taken = []
        number = source.number + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            open_ = "a quotation mark is not closed" if "end of data" in str(error) else f"not CSV: {error}"
            yield Refused(number, "".join(source.taken), "not_csv", open_)
            continue
        if not any(cell and not cell.isspace() for cell in row):
            continue
        text = "".join(source.taken)
        if len(row) != width:
            yield Refused(number, text, "ragged", f"{len(row)} columns where the header has {width}")
        else:
            yield _said(number, text, lambda row=row: rows.read(row))  # type: ignore[misc]


# JSON


def _json(blank: int, first: str, lines: Iterator[str], export: Export, form: FormMapping, context: Context) -> File:
    try:
        one = codec.loads(first) if len(first) < _LINE else None
    except codec.NotJson:
        one = None
    if isinstance(one, dict):
        numbered = enumerate(chain([first], lines), blank + 1)
        return File("line", "", [], _json_lines(numbered, export, form, context))
    data = "".join(chain([first.lstrip()], lines)).encode()
    return File("item", "", [], _items(1, data, export, form, context))


def _json_lines(
    numbered: Iterable[tuple[int, str]], export: Export, form: FormMapping, context: Context
) -> Iterator[Said | Refused]:
    """A line is one response, or a page of them."""
    for number, line in numbered:
        if not line.isspace():
            try:
                yield from _items(number, line.encode(), export, form, context, count=False)
            except Unreadable:
                yield Refused(number, line, "not_json", "not JSON")


def _items(
    number: int, data: bytes, export: Export, form: FormMapping, context: Context, count: bool = True
) -> Iterator[Said | Refused]:
    try:
        parts = codec.parts(data, export.lists)
    except codec.NotJson:
        raise Unreadable("the file is not JSON") from None
    for at, part in enumerate(parts):
        text = str(part, "utf-8")
        here = number + at if count else number
        fields = codec.loads(text)
        if "\n" in text:
            text = codec.dumps(fields).decode()  # on one line, so that refused ones are JSON Lines
        if isinstance(fields, dict):
            yield _said(here, text, lambda fields=fields: export.item(fields, form, context))  # type: ignore[misc]
        else:
            yield Refused(here, text, "not_object", "the JSON is not an object")
