"""Prints messages to standard output."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import click
from msgspec import Struct

from npsflow.agents.notify.kind import Delivered, Kind, Result
from npsflow.streams.notify.message import Message


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """It has none."""


class Console:
    """Standard output."""

    async def send(self, message: Message) -> Result:
        """Print it, without characters that could control a terminal."""
        lines = message.text().splitlines()
        click.echo("\n    ".join("".join(c if c.isprintable() else " " for c in line) for line in lines))
        return Delivered()


@asynccontextmanager
async def _open(options: Options, secrets: Sequence[str]) -> AsyncIterator[Console]:
    yield Console()


KIND = Kind(Options, _open)
