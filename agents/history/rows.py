"""Rows of a table: their cells are placed where a webhook of the same platform has the same."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from npsflow.agents.history.entries import UnreadableFile
from npsflow.agents.platforms.protocol import ExportItem, FileOptions, Header, InvalidEntry, Table
from npsflow.agents.platforms.times import InvalidTime
from npsflow.streams.intake.mapping import COLUMNS, FormMapping, Offer, Submission, every_path
from npsflow.streams.intake.paths import find

_NUMBER = re.compile(r"(-?(?:0|[1-9]\d{0,14}))(?:[.,]0{1,9}|(\.\d{1,9}))?", re.ASCII)
_AT = re.compile(r"column ([1-9]\d{0,4})", re.ASCII)
_GUARDED = tuple("=+-@\t\r")
"""What makes a spreadsheet take a cell for a formula: several platforms write an apostrophe before it."""


class _Column(NamedTuple):
    """`name`: of a path of one step that no other column is placed at, or below; else "".

    `value`: makes what a webhook has of a cell; None where the cell is that itself.
    """

    at: int
    name: str
    path: Sequence[str]
    value: Callable[[str], Any] | None


class Rows:
    """Reads the rows below one header. Raises UnreadableFile when a column that is needed is missing or there twice.

    A cell is placed by `[intake.NAME.columns]`, or else by the platform's table.
    """

    def __init__(self, table: Table, form: FormMapping, header: Header, options: FileOptions) -> None:
        self._table, self._form, self._options, self._zone = table, form, options, table.zone(header)
        self.missing: list[str] = []
        """Paths of the mapping that no column is placed at."""
        self._names = [list(dict.fromkeys(_title(name) for name in names)) for names in table.titles(header)]
        mapped = {self._only(title): path for title, path in form.columns.items()}
        self._fixed = {
            name: [at for at, path in mapped.items() if path == name] for name in COLUMNS & {*mapped.values()}
        }
        for name in ("response_id", "submitted_at", "updated_at", "form"):
            if name not in self._fixed and (columns := self._find(name, getattr(table, name))):
                self._fixed[name] = columns
        placed = [
            (at, path)
            for at, names in enumerate(self._names)
            if mapped.get(at) not in COLUMNS
            for path in ([_steps(mapped[at])] if at in mapped else self._unmapped(names, {*mapped.values()}))
        ]
        self._check_unique([(at, path) for at, path in placed if at not in mapped])
        numbers = {*form.drivers, *every_path(form.fields.get("customer.value", ()))}
        readers = dict.fromkeys(numbers, _number) | dict(table.cells)
        first = Counter(path[0] for _, path in placed)
        self._columns = [
            _Column(at, path[0] if len(path) == first[path[0]] == 1 else "", path, readers.get(".".join(path)))
            for at, path in placed
        ]
        self._check()
        self._check_paths()

    def _only(self, title: str) -> int:
        columns = [at for at, names in enumerate(self._names) if _title(title) in names]
        if not columns and (by_position := _AT.fullmatch(title)) and int(by_position[1]) <= len(self._names):
            return int(by_position[1]) - 1
        if not columns:
            raise UnreadableFile(f"column {title!r} of the mapping is not in the file")
        if len(columns) > 1:
            raise _ambiguous(columns, f"called {title!r}", self._form.columns[title])
        return columns[0]

    def _find(self, name: str, titles: Sequence[str]) -> list[int]:
        found = []
        for title in titles:
            exact = [at for at, names in enumerate(self._names) if title in names]
            folded = [at for at, names in enumerate(self._names) if title.casefold() in map(str.casefold, names)]
            if len(columns := exact or folded) > 1:
                raise _ambiguous(columns, f"called {title!r}", name)
            found += columns
        return list(dict.fromkeys(found))

    def _check_unique(self, placed: Sequence[tuple[int, Sequence[str]]]) -> None:
        """Raises UnreadableFile when the mapping uses a path at which columns are that it does not name."""
        columns: dict[str, list[int]] = {}
        for at, path in placed:
            columns.setdefault(".".join(path), []).append(at)
        for path in self._wanted():
            if len(twice := columns.get(path, ())) > 1:
                raise _ambiguous(twice, f"at {path}", path)

    def _wanted(self) -> list[str]:
        """Each path that the mapping uses."""
        form = self._form
        settings = [*(score.question for score in form.scores), *form.fields.values()]
        paths = [path for setting in settings for path in every_path(setting)]
        return list(dict.fromkeys([*paths, *form.comment, *form.drivers, *form.only, *form.deleted, *form.test]))

    def _unmapped(self, names: Sequence[str], taken: set[str]) -> list[Sequence[str]]:
        """Where a column is placed that the settings do not name; one that they name goes before."""
        return [path for name in names if name for path in self._paths(name) if ".".join(path) not in taken]

    def _paths(self, title: str) -> Sequence[Sequence[str]]:
        folded = title.casefold()
        if (path := self._table.paths.get(folded)) is not None:
            return [path.split("."), *([part, title] for part in self._table.rest)]
        for prefix, path in self._table.prefixes.items():
            if folded.startswith(prefix):
                return [[path, title[len(prefix) :]]]
        return [[part, title] for part in self._table.rest] or [[title]]

    def _check(self) -> None:
        """No id is made unless --make-ids says so: what came by webhook would be counted once more."""
        fixed = self._fixed
        if "submitted_at" not in fixed and "sent_at" not in fixed:
            raise UnreadableFile(_missing("the time of an answer", "submitted_at", self._table.submitted_at))
        if "response_id" not in fixed and "invitation_id" not in fixed and not self._options.make_ids:
            missing = _missing("the id of a response", "response_id", self._table.response_id)
            raise UnreadableFile(f"{missing}; or --make-ids, if none of these responses ever came by webhook")
        if "form" not in fixed and not self._options.form and (self._form.forms or not self._form.survey_id):
            raise UnreadableFile("nothing tells of which form it is: say its id with --form")

    def _check_paths(self) -> None:
        """Note the paths that are missing. Raises UnreadableFile when no score question is placed."""
        content: dict[str, Any] = {}
        for column in self._columns:
            _put(content, column.path, "")
        scores = [path for score in self._form.scores for path in score.paths]
        if scores and all(find(content, question) is None for question in scores):
            raise UnreadableFile(
                f'no column is {" or ".join(scores)}: name it, [intake.NAME.columns] "its title" = "…"'
            )
        if unknown := [path for path in self._form.only if find(content, path) is None]:
            raise UnreadableFile(
                f"no row counts: `only` asks for {', '.join(unknown)}, and no column is that. Name it, "
                f'[intake.NAME.columns] "its title" = "{unknown[0]}", or use a mapping without it'
            )
        self._columns = [column for column in self._columns if self._is_needed(column)]
        self.missing = [path for path in self._wanted() if find(content, path) is None]

    def _is_needed(self, column: _Column) -> bool:
        """Whether the mapping, or what the platform knows of its tests and metrics, may look at the column."""
        path = ".".join(column.path)
        if path in self._table.paths.values() or path in self._table.reads or any(c in path for c in '[|"'):
            return True
        first = column.path[0]
        return any(
            wanted == path or wanted.startswith(f"{path}.") or path.startswith(f"{wanted}.") or _selects(wanted, first)
            for wanted in self._wanted()
        )

    def read(self, row: Sequence[str]) -> Iterator[ExportItem]:
        """A response, an invitation or both. Raises InvalidEntry when the row has a time of neither."""
        content: dict[str, Any] = {}
        for at, name, path, value in self._columns:
            if cell := row[at].strip():
                if cell[0] == "'":
                    cell = _without_guard(cell)
                if name:
                    content[name] = cell if value is None else value(cell)
                else:
                    _put(content, path, cell if value is None else value(cell))
        response_id = self._table.identity(self._cell(row, self._fixed.get("response_id", ())))
        form = self._cell(row, self._fixed.get("form", ())) or self._options.form
        sent_at = self._time(row, "sent_at")
        if sent_at:
            invitation_id = self._cell(row, self._fixed.get("invitation_id", ())) or response_id
            yield Offer(form, invitation_id, sent_at, content)
        submitted_at, updated_at = self._time(row, "submitted_at"), self._time(row, "updated_at")
        if submitted_at is not None:
            if not response_id and self._options.make_ids:
                response_id = "row-" + blake2b("\0".join(row).encode(), digest_size=16).hexdigest()
            test = self._table.is_test(content)
            yield Submission(form, response_id, submitted_at, updated_at, content=content, test=test)
        elif sent_at is None:
            raise InvalidEntry("missing_field", "submitted_at is missing")

    def _cell(self, row: Sequence[str], columns: Iterable[int]) -> str:
        """The first that is filled in."""
        for at in columns:
            if cell := row[at].strip():
                return _without_guard(cell) if cell[0] == "'" else cell
        return ""

    def _time(self, row: Sequence[str], name: str) -> str | None:
        columns = self._fixed.get(name)
        if columns is None or not (cell := self._cell(row, columns)):
            return None
        try:
            return self._options.times.parse(cell, self._zone)
        except InvalidTime as error:
            raise InvalidEntry("invalid_time", f"{name}: {error}") from None


def _missing(content: str, name: str, titles: Sequence[str]) -> str:
    tried = f", none is called {' or '.join(titles)}" if titles else ""
    return f'no column is {content}{tried}: name it, [intake.NAME.columns] "its title" = "{name}"'


def _number(cell: str) -> str | int | float:
    number = _NUMBER.fullmatch(cell)
    return cell if number is None else float(cell) if number[2] else int(number[1])


def _title(text: str) -> str:
    """A title, whatever blanks and lines it is broken by."""
    return " ".join(_without_guard(text.strip()).split())


def _without_guard(cell: str) -> str:
    return cell[1:].strip() if cell[:1] == "'" and cell[1:].startswith(_GUARDED) else cell


def _steps(path: str) -> Sequence[str]:
    """Where a column of the mapping is placed: a path that selects something is found as it is written."""
    return [path] if any(character in path for character in '[|"') else path.split(".")


def _selects(wanted: str, first: str) -> bool:
    """Whether the path may look at more than one place below its first step."""
    return any(c in wanted for c in '[|"') and (wanted.startswith(first) or wanted[0] in '["')


def _ambiguous(columns: Sequence[int], content: str, meaning: str) -> UnreadableFile:
    *others, last = (str(at + 1) for at in columns)
    return UnreadableFile(
        f"columns {', '.join(others)} and {last} are {'both' if len(others) == 1 else 'all'} {content}: say which is "
        f'meant, [intake.NAME.columns] "column {columns[0] + 1}" = "{meaning}"'
    )


def title_rows(table: Table, form: FormMapping, rows: Sequence[Sequence[str]]) -> Header:
    """The rows of titles among the first rows of a file: what has an id or a time where it has to be is an answer."""
    fixed = {*table.response_id, *table.submitted_at, *table.updated_at}
    fixed |= {title for title, path in form.columns.items() if path in COLUMNS - {"form"}}
    known = {_title(title).casefold() for title in fixed}
    columns = {at for row in rows for at, cell in enumerate(row) if _title(cell).casefold() in known}
    answers = (number for number, row in enumerate(rows) if number and _is_answer(row, columns))
    return rows[: next(answers, len(rows))]


def _is_answer(row: Sequence[str], columns: Iterable[int]) -> bool:
    cells = (row[at].strip() for at in columns if at < len(row))
    return any(not cell.startswith("{") and any(map(str.isdigit, cell)) for cell in cells)


def _put(content: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """If several columns are placed at one path, as those of a question with choices, it holds a list."""
    inner: Any = content
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            return
    last = path[-1]
    if last not in inner:
        inner[last] = value
    else:
        before = inner[last]
        inner[last] = [*before, value] if isinstance(before, list) else [before, value]


def matching_columns(table: Table, form: FormMapping, header: Header) -> tuple[int, int]:
    """The count of a header's columns that are wanted, and of all its columns."""
    wanted = {*map(str.casefold, (*table.response_id, *table.submitted_at, *form.columns)), *table.paths}
    names = [[_title(name).casefold() for name in names] for names in table.titles(header)]
    return len(wanted & {name for column in names for name in column}), len(names)
