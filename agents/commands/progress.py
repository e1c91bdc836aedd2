"""Progress of long work, on a terminal only: a bar, or a line that changes."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def progress(label: str, length: int) -> Iterator[Callable[[int], None]]:
    """A bar where there is a terminal and a length; what it yields moves it on by so much."""
    if length == 0 or not sys.stderr.isatty():
        yield lambda by: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


@contextmanager
def reading(what: str) -> Iterator[Callable[[int, int], None]]:
    """What it yields takes how much was read, and of how much; the line is gone at the end."""
    shown = sys.stderr.isatty()

    def show(read: int, total: int) -> None:
        if shown:
            sys.stderr.write(f"\r\033[K{what}: {read:,} of {total:,} records read")
            sys.stderr.flush()

    try:
        yield show
    finally:
        if shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
