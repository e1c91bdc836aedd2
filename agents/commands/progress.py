"""One line that changes while something long is read, on a terminal; elsewhere nothing."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
