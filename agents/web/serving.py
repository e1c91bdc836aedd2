"""What every process with a web server of its own does: a port, and an end when it is told."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
from aiohttp import web


@asynccontextmanager
async def served(app: web.Application, host: str, port: int) -> AsyncIterator[None]:
    """Raises click.UsageError where the port is taken."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise cannot_listen(host, port, error) from None
        yield
    finally:
        await runner.cleanup()


def cannot_listen(host: str, port: int, error: OSError) -> click.UsageError:
    """In the system's words: asyncio's own name the address once more."""
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return click.UsageError(f"cannot listen on {host}:{port}: {reason}; choose another --port")


def until_told() -> asyncio.Event:
    """Set by Ctrl-C or SIGTERM."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return stopping
