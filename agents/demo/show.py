"""What the demo prints: short plain text; colours, and a line that changes, only on a terminal."""

import shutil
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import click

from npsflow.agents.runtime.terminal import one_line, table

_TERMINAL = sys.stdout.isatty()
_BEGIN = "\r\033[K" if _TERMINAL else ""  # writes over the line of progress
_EVERY = 0.2 if _TERMINAL else 2.0
_INDENT = "    "


def headline(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def say(text: str) -> None:
    """One or more lines below a headline."""
    click.echo("".join(f"{_INDENT}{line}\n" for line in text.splitlines()), nl=False)


def paste(command: str) -> None:
    """A command to be copied: on a line of its own, however long."""
    click.secho(f"{_INDENT}  {command}", fg="cyan")


def rows(head: Sequence[str], body: Sequence[Sequence[str]], right: Collection[str] = ()) -> None:
    """A table; columns named in `right` are flush right."""
    first, *others = table(head, body, right).splitlines()
    say(click.style(first, dim=True))
    say("\n".join(others))


class Waiting:
    """Something that takes a while. `detail` says how far it is."""

    def __init__(self, what: str) -> None:
        self.detail = ""
        self._what, self._began = what, time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def show(self) -> None:
        said = f"… {self._what}, {self.seconds:.0f} s" + (f": {self.detail}" if self.detail else "")
        if _TERMINAL:  # where a longer line would break, and its first part stay
            said = one_line(said, shutil.get_terminal_size().columns - len(_INDENT) - 1)
        click.echo(_BEGIN + _INDENT + said, nl=not _TERMINAL)


@contextmanager
def waiting(what: str) -> Iterator[Waiting]:
    """Show what is waited for: on a terminal a line that goes away at the end, elsewhere a line every two seconds."""
    progress, ended = Waiting(what), threading.Event()

    def tick() -> None:
        while not ended.wait(_EVERY):
            progress.show()

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    try:
        yield progress
    finally:
        ended.set()
        ticking.join()
        click.echo(_BEGIN, nl=False)
