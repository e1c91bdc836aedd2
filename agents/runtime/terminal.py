"""What the command line prints: plain aligned text into pipes, and by rich on a terminal, within its width.

Nothing here cuts a text; `one_line` does, for those who call it. Progress goes to standard error, on a terminal only.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, tzinfo
from itertools import groupby
from typing import TextIO

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from npsflow.schemas.times import DAY, HOUR, MINUTE, SECOND, from_rfc3339, to_datetime

_GAP = "  "  # between columns
_LEAST = 10  # cells in which a text that is cut still says something
_BLOCK = 500  # rows

Cell = str | Text


def clean(text: object) -> str:
    """Text of others on one line, without what could steer a terminal."""
    text = str(text)
    if text.isprintable() and "  " not in text:
        return text.strip()  # most are, and tables are long
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def one_line(text: object, width: int = 60) -> str:
    """The same in at most `width` cells of a terminal; a longer one ends with an ellipsis."""
    line = clean(text)
    return line if _cells(line) <= width else set_cell_size(line, width - 1).rstrip() + "…"


def shortened(texts: Iterable[str], width: int) -> dict[str, str]:
    """Each text in at most `width` cells, no two alike: cut at its end, else in its middle, else whole after all."""
    whole = dict.fromkeys(texts)
    for cut in (one_line, _without_middle):
        short = {text: cut(text, width) for text in whole}
        if len(set(short.values())) == len(whole):
            return short
    return {text: text for text in whole}


def _without_middle(text: str, width: int) -> str:
    """The beginning and the end of a text that is too long: many names differ in a number at their end."""
    if _cells(text) <= width:
        return text
    end = text
    while _cells(end) > (width - 1) // 2:
        end = end[1:]
    return f"{set_cell_size(text, width - 1 - _cells(end))}…{end}"


def pad(text: str, width: int) -> str:
    """The text, filled with spaces up to `width` cells of a terminal."""
    return text + " " * (width - _cells(text))


def _cells(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str] = ()) -> str:
    """Columns as wide as their widest cell; those named in `right` flush right."""
    lines = [head, *([str(cell) for cell in row] for row in rows)]
    return _aligned(head, lines, _widths(lines), right)


def _widths(lines: Iterable[Sequence[str]]) -> list[int]:
    return [max(map(_cells, column)) for column in zip(*lines, strict=True)]


def _aligned(head: Sequence[str], lines: Iterable[Sequence[str]], widths: Sequence[int], right: Collection[str]) -> str:
    return "\n".join(
        _GAP.join(
            " " * (width - _cells(cell)) + cell if name in right else pad(cell, width)
            for name, cell, width in zip(head, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def show(text: str, style: str = "") -> None:
    """Print a line as it is, however long, on a terminal in a style of rich."""
    if style and sys.stdout.isatty():
        _console().print(Text(text, style=style), soft_wrap=True)
    else:
        click.echo(text)


def show_table(
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    right: Collection[str] = (),
    above: Collection[str] = (),
    indent: int = 0,
    last: bool = False,
    spare: Collection[str] = (),
) -> None:
    """Print a table; columns named in `right` are flush right.

    On a terminal that is too narrow, the cells of the last column are cut if they are `last` in importance. The cells
    of the columns named in `above` stand on a line of their own, once for all neighbours that share them. Where that
    does not suffice, the columns named in `spare` are left out, and then cells are folded.
    """
    margin = " " * indent
    if not sys.stdout.isatty():
        click.echo("\n".join(margin + line for line in table(head, rows, right).splitlines()))
        return
    console = _console()
    if last:
        rows = _cut_last(head, rows, console.width - indent)
    first, *lines = (margin + line for line in table(head, rows, right).splitlines())
    if _fits([first, *lines], console) and not any(isinstance(cell, Text) for row in rows for cell in row):
        console.print(Text(first, style="dim"))
        click.echo("\n".join(lines))
        return
    lifted, kept = ([n for n, name in enumerate(head) if (name in above) == up] for up in (True, False))
    first, *lines = table([head[n] for n in kept], [[row[n] for n in kept] for row in rows], right).splitlines()
    if not lifted or not _fits([_GAP + margin + line for line in (first, *lines)], console):
        if spare:
            narrow = [n for n, name in enumerate(head) if name not in spare]
            head, rows = [head[n] for n in narrow], [[row[n] for n in narrow] for row in rows]
            show_table(head, rows, right, above, indent, last=last)
            return
        console.print(Padding(_folded(head, rows, right), (0, 0, 0, indent)))
        return
    console.print(
        Text(f"{margin}{_GAP.join(filter(None, (head[n] for n in lifted)))}\n{margin}{_GAP}{first}", style="dim")
    )
    numbered = iter(lines)
    for heading, group in groupby(rows, key=lambda row: [str(row[n]) for n in lifted]):
        console.print(Padding(Text(_GAP.join(filter(None, heading)), style="bold", overflow="fold"), (0, 0, 0, indent)))
        click.echo("\n".join(margin + _GAP + next(numbered) for _ in group))


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()) -> None:
    """Print a table as plain text while its rows are made: columns grow with the widest cell so far."""
    widths, block = [0] * len(head), [head]
    for row in rows:
        block.append(row)
        if len(block) == _BLOCK:
            widths = list(map(max, widths, _widths(block)))
            click.echo(_aligned(head, block, widths, right))
            block = []
    if block:
        click.echo(_aligned(head, block, list(map(max, widths, _widths(block))), right))


def _cut_last(head: Sequence[str], rows: Sequence[Sequence[Cell]], width: int) -> Sequence[Sequence[Cell]]:
    """The rows with the last column in the room that the others leave, as long as that is worth it."""
    others = [head[:-1], *([str(cell) for cell in row[:-1]] for row in rows)]
    room = width - sum(_widths(others)) - len(_GAP) * (len(head) - 1)
    return [[*row[:-1], one_line(row[-1], room)] for row in rows] if room >= _LEAST else rows


def _fits(lines: Iterable[str], console: Console) -> bool:
    return max(map(cell_len, lines)) <= console.width


def _folded(head: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str]) -> Table:
    """Columns as narrow as they have to be. It takes 2 ms a row, a hundred times as long as `table`."""
    grid = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="dim")
    for name in head:
        grid.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return grid


def show_entry(label: str, text: str, style: str = "") -> None:
    """Print a line with a label; on a terminal the label has the style, and the text is wrapped beside it."""
    if not sys.stdout.isatty():
        click.echo(f"{label}{_GAP}{text}".rstrip())
        return
    entry = Table.grid(padding=(0, len(_GAP), 0, 0))
    entry.add_column(no_wrap=True)
    entry.add_column(overflow="fold")
    entry.add_row(Text(label, style=style), Text(text))
    _console().print(entry)


def shows_progress() -> bool:
    """Whether the functions below show anything: whether standard error is a terminal."""
    return sys.stderr.isatty()


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar, unless `total` is 0; the function it yields moves the bar on by so much."""
    with _bar(label, total) as (bar, task):
        yield lambda by: bar.update(task, advance=by)


@contextmanager
def reading(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar, gone at the end; the function it yields takes how many records are read, and of how many."""
    with _bar(label, None, MofNCompleteColumn(), transient=True) as (bar, task):
        yield lambda read, total: bar.update(task, completed=read, total=total)


@contextmanager
def status(text: Callable[[], str]) -> Iterator[None]:
    """Show a line that changes, gone at the end; `text` is called for it several times a second."""

    def line() -> Text:
        return Text(text(), no_wrap=True, overflow="ellipsis")

    if not shows_progress():
        yield
        return
    console = _console(sys.stderr)
    with Live(get_renderable=line, console=console, transient=True, refresh_per_second=5, redirect_stdout=False):
        yield


@contextmanager
def _bar(
    label: str, total: int | None, *more: ProgressColumn, transient: bool = False
) -> Iterator[tuple[Progress, TaskID]]:
    columns = TextColumn("{task.description}"), BarColumn(), *more, TaskProgressColumn(), TimeRemainingColumn()
    console = _console(sys.stderr)
    # What is printed to standard output meanwhile must not go to standard error.
    bar = Progress(
        *columns,
        console=console,
        transient=transient,
        disable=total == 0 or not shows_progress(),
        redirect_stdout=False,
    )
    with bar:
        yield bar, bar.add_task(label, total=total)


def _console(stream: TextIO | None = None) -> Console:
    """Rich on standard output, or another stream; not a terminal unless that is one, whatever FORCE_COLOR says."""
    stream = stream or sys.stdout
    return Console(file=stream, force_terminal=stream.isatty(), markup=False, emoji=False, highlight=False)


def minute(instant: str, zone: tzinfo = UTC) -> str:
    """An RFC 3339 time of whatever offset, to the minute, in a zone: `2026-10-01 12:00`."""
    return to_datetime(from_rfc3339(instant)).astimezone(zone).isoformat(" ", "minutes")[:16]


def zoned_minute(instant: str, zone: tzinfo = UTC) -> str:
    """The same, and the zone: `2026-10-01 12:00 UTC`."""
    return f"{minute(instant, zone)} {zone_name(instant, zone)}"


def zone_name(instant: str, zone: tzinfo) -> str:
    """What the zone is called then: `UTC`, `CEST`."""
    return to_datetime(from_rfc3339(instant)).astimezone(zone).tzname() or str(zone)


def span(ms: int) -> str:
    """A duration in ms, in the two largest units at most: `3 h 20 min`."""
    if ms < MINUTE:
        return f"{ms // SECOND} s"
    if ms < HOUR:
        return f"{ms // MINUTE} min"
    if ms < 2 * DAY:
        return f"{ms // HOUR} h {ms % HOUR // MINUTE} min"
    return f"{ms // DAY} days"


def short_span(ms: int) -> str:
    """A duration in ms, in its largest unit: `3 h`."""
    return span(ms) if ms < HOUR else f"{ms // HOUR} h" if ms < 2 * DAY else f"{ms // DAY} d"
