"""Rows of a table: their cells are placed where a webhook of the same platform has the same."""

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from npsflow.agents.history.entries import UnreadableFile
from npsflow.agents.platforms.protocol import ExportItem, FileOptions, Header, InvalidEntry, Table
from npsflow.agents.platforms.times import InvalidTime
from npsflow.streams.intake.mapping import COLUMNS, FormMapping, Offer, Submission, every_path
from npsflow.streams.intake.paths import find

_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(\.\d{1,9})?")


class _Column(NamedTuple):
    at: int
    path: Sequence[str]
    number: bool


class Rows:
    """Reads the rows below one header. Raises UnreadableFile when a column that is needed is missing or there twice.

    A cell is placed by `[intake.NAME.columns]`, or else by the platform's table.
    """

    def __init__(self, table: Table, form: FormMapping, header: Header, options: FileOptions) -> None:
        self._table, self._form, self._options, self._zone = table, form, options, table.zone(header)
        self.missing: list[str] = []
        """Paths of the mapping that no column is placed at."""
        self._names = [[name.strip() for name in names] for names in table.titles(header)]
        mapped = {self._only(title): path for title, path in form.columns.items()}
        self._fixed = {
            name: [at for at, path in mapped.items() if path == name] for name in COLUMNS & {*mapped.values()}
        }
        for name in ("response_id", "submitted_at", "updated_at", "form"):
            if name not in self._fixed and (columns := self._find(getattr(table, name))):
                self._fixed[name] = columns
        numbers = {*form.drivers, *(path for name, path in form.fields.items() if name == "customer.value")}
        self._columns = [
            _Column(at, path, ".".join(path) in numbers)
            for at, names in enumerate(self._names)
            if mapped.get(at) not in COLUMNS
            for path in ([mapped[at].split(".")] if at in mapped else self._unmapped(names, {*mapped.values()}))
        ]
        self._check()
        self._check_paths()

    def _only(self, title: str) -> int:
        columns = [at for at, names in enumerate(self._names) if title in names]
        if len(columns) != 1:
            raise UnreadableFile(
                f"column {title!r} of the mapping is {'there twice' if columns else 'not in the file'}"
            )
        return columns[0]

    def _find(self, titles: Sequence[str]) -> list[int]:
        known = {name.casefold(): at for at, names in reversed(list(enumerate(self._names))) for name in names}
        return [known[title.casefold()] for title in titles if title.casefold() in known]

    def _unmapped(self, names: Sequence[str], taken: set[str]) -> list[Sequence[str]]:
        """Where a column is placed that the settings do not name; one that they name goes before."""
        return [path for name in names if name for path in self._paths(name) if ".".join(path) not in taken]

    def _paths(self, title: str) -> Sequence[Sequence[str]]:
        if (path := self._table.paths.get(title.casefold())) is not None:
            return [path.split("."), *([part, title] for part in self._table.rest)]
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
        for _, path, _ in self._columns:
            _put(content, path, "")
        scores = [path for score in self._form.scores for path in score.paths]
        if scores and all(find(content, question) is None for question in scores):
            raise UnreadableFile(
                f'no column is {" or ".join(scores)}: name it, [intake.NAME.columns] "its title" = "…"'
            )
        fields = (path for setting in self._form.fields.values() for path in every_path(setting))
        wanted = [*scores, *self._form.comment, *fields, *self._form.drivers]
        self.missing = [path for path in dict.fromkeys(wanted) if find(content, path) is None]

    def read(self, row: Sequence[str]) -> Iterator[ExportItem]:
        """A response, an invitation or both. Raises InvalidEntry when the row has a time of neither."""
        content: dict[str, Any] = {}
        for at, path, number in self._columns:
            if cell := row[at].strip():
                _put(content, path, _number(cell) if number else cell)
        response_id = self._table.identity(self._cell(row, "response_id"))
        form = self._cell(row, "form") or self._options.form
        if sent_at := self._time(row, "sent_at"):
            yield Offer(form, self._cell(row, "invitation_id") or response_id, sent_at, content)
        submitted_at, updated_at = self._time(row, "submitted_at"), self._time(row, "updated_at")
        if submitted_at is not None:
            if not response_id and self._options.make_ids:
                response_id = "row-" + blake2b("\0".join(row).encode(), digest_size=16).hexdigest()
            yield Submission(form, response_id, submitted_at, updated_at, content=content)
        elif sent_at is None:
            raise InvalidEntry("missing_field", "submitted_at is missing")

    def _cell(self, row: Sequence[str], name: str) -> str:
        return next((cell for at in self._fixed.get(name, ()) if (cell := row[at].strip())), "")

    def _time(self, row: Sequence[str], name: str) -> str | None:
        if not (cell := self._cell(row, name)):
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
    return cell if number is None else float(cell) if number[1] else int(cell)


def _put(content: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """If several columns are placed at one path, as those of a question with choices, it holds a list."""
    *outer, last = path
    inner: Any = content
    for name in outer:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            return
    before = inner.get(last)
    inner[last] = value if before is None else [*before, value] if isinstance(before, list) else [before, value]


def matching_columns(table: Table, form: FormMapping, header: Header) -> tuple[int, int]:
    """The count of a header's columns that are wanted, and of all its columns."""
    wanted = {*map(str.casefold, (*table.response_id, *table.submitted_at, *form.columns)), *table.paths}
    names = [[name.strip().casefold() for name in names] for names in table.titles(header)]
    return len(wanted & {name for column in names for name in column}), len(names)
