"""What the command line prints: plain aligned text into pipes, and by rich on a terminal, within its width.

Nothing here cuts a text; `one_line` does, for those who call it. Progress goes to standard error, on a terminal only.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
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

from npsflow.schemas.times import DAY, HOUR, MINUTE, SECOND, from_rfc3339, rfc3339

_GAP = "  "  # between columns

Cell = str | Text


def clean(text: object) -> str:
    """Text of others on one line, without what could steer a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def one_line(text: object, width: int = 60) -> str:
    """The same in at most `width` cells of a terminal; a longer one ends with an ellipsis."""
    line = clean(text)
    return line if cell_len(line) <= width else set_cell_size(line, width - 1).rstrip() + "…"


def pad(text: str, width: int) -> str:
    """The text, filled with spaces up to `width` cells of a terminal."""
    return text + " " * (width - cell_len(text))


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]], right: Collection[str] = ()) -> str:
    """Columns as wide as their widest cell; those named in `right` flush right."""
    lines = [head, *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        _GAP.join(
            " " * (width - cell_len(cell)) + cell if name in right else pad(cell, width)
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
) -> None:
    """Print a table; columns named in `right` are flush right.

    On a terminal that is too narrow, the cells of the columns named in `above` stand on a line of their own, once for
    all neighbours that share them. Where that does not suffice, cells are folded.
    """
    margin = " " * indent
    first, *lines = (margin + line for line in table(head, rows, right).splitlines())
    if not sys.stdout.isatty():
        click.echo("\n".join([first, *lines]))
        return
    console = _console()
    if _fits([first, *lines], console) and not any(isinstance(cell, Text) for row in rows for cell in row):
        console.print(Text(first, style="dim"))
        click.echo("\n".join(lines))
        return
    lifted, kept = ([n for n, name in enumerate(head) if (name in above) == up] for up in (True, False))
    first, *lines = table([head[n] for n in kept], [[row[n] for n in kept] for row in rows], right).splitlines()
    if not lifted or not _fits([_GAP + margin + line for line in (first, *lines)], console):
        console.print(Padding(_folded(head, rows, right), (0, 0, 0, indent)))
        return
    console.print(
        Text(f"{margin}{_GAP.join(filter(None, (head[n] for n in lifted)))}\n{margin}{_GAP}{first}", style="dim")
    )
    numbered = iter(lines)
    for heading, group in groupby(rows, key=lambda row: [str(row[n]) for n in lifted]):
        console.print(Padding(Text(_GAP.join(filter(None, heading)), style="bold", overflow="fold"), (0, 0, 0, indent)))
        click.echo("\n".join(margin + _GAP + next(numbered) for _ in group))


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


def minute(instant: str) -> str:
    """An RFC 3339 time of whatever offset, to the minute, in UTC: `2026-10-01 12:00`."""
    return rfc3339(from_rfc3339(instant))[:16].replace("T", " ")


def span(ms: int) -> str:
    """A duration in ms, in the two largest units at most: `3 h 20 min`."""
    if ms < MINUTE:
        return f"{ms // SECOND} s"
    if ms < HOUR:
        return f"{ms // MINUTE} min"
    if ms < 2 * DAY:
        return f"{ms // HOUR} h {ms % HOUR // MINUTE} min"
    return f"{ms // DAY} days"
