"""What the demo prints: short plain text; colours, and a line that changes, only on a terminal."""

import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import click

from npsflow.agents.runtime import terminal
from npsflow.agents.runtime.terminal import Cell

_EVERY = 2.0  # seconds between two lines of progress
_INDENT = 4


def headline(text: str) -> None:
    """An empty line and the title of a part."""
    click.echo()
    terminal.show(text, "bold")


def say(text: str) -> None:
    """One or more lines below a headline."""
    click.echo("".join(f"{' ' * _INDENT}{line}\n" for line in text.splitlines()), nl=False)


def paste(command: str) -> None:
    """A command to be copied: on a line of its own, however long."""
    terminal.show(f"{' ' * _INDENT}  {command}", "cyan")


def rows(head: Sequence[str], body: Sequence[Sequence[Cell]], right: Collection[str] = ()) -> None:
    """A table below a headline; columns named in `right` are flush right."""
    terminal.show_table(head, body, right, indent=_INDENT)


class Waiting:
    """A step that takes a while, begun when this is made. `detail` says how far it is."""

    def __init__(self, step: str) -> None:
        self.detail = ""
        self._step, self._began = step, time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def __str__(self) -> str:
        return f"… {self._step}, {self.seconds:.0f} s" + (f": {self.detail}" if self.detail else "")


@contextmanager
def waiting(step: str) -> Iterator[Waiting]:
    """Show what is waited for: on a terminal a line that goes away at the end, elsewhere a line every two seconds."""
    progress = Waiting(step)
    if sys.stdout.isatty() and terminal.shows_progress():
        with terminal.status(lambda: f"{' ' * _INDENT}{progress}"):
            yield progress
        return
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(_EVERY):
            say(str(progress))

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    try:
        yield progress
    finally:
        ended.set()
        ticking.join()
