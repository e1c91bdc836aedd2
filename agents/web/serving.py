"""The web server of a process: it listens on a port, and stops on a signal."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import click
from aiohttp import web

from npsflow.agents.web.connections import ConnectionLimiter, Shortcut

_STOP_SECONDS = 20.0  # for requests under way at the end: a body that does not come, and Kafka


@asynccontextmanager
async def serve(
    app: web.Application,
    host: str,
    port: int,
    limiter: ConnectionLimiter[Any] | None = None,
    shortcut: Shortcut | None = None,
) -> AsyncIterator[int]:
    """Serve while the block runs; gives the port. Requests under way at its end are answered first.

    With a `limiter`, connections are its `Connection`s, and may take the `shortcut`. Raises click.UsageError if the
    port is taken.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_SECONDS)
    await runner.setup()
    server, loop = runner.server, asyncio.get_running_loop()
    assert server is not None
    async with AsyncExitStack() as stack:
        if limiter is not None:
            stack.callback(loop.create_task(limiter.cut_late()).cancel)
        stack.push_async_callback(runner.cleanup)
        try:
            listener = await loop.create_server(limiter.protocols(server, shortcut) if limiter else server, host, port)
        except OSError as error:
            raise _cannot_listen(host, port, error) from None
        stack.callback(listener.close)
        yield listener.sockets[0].getsockname()[1]


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do this work while the block runs."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _cannot_listen(host: str, port: int, error: OSError) -> click.UsageError:
    """In the system's words: asyncio's own repeat the address."""
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return click.UsageError(f"cannot listen on {host}:{port}: {reason}; choose another --port")


def stop_signal() -> asyncio.Event:
    """An event that SIGINT (Ctrl-C) and SIGTERM set."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return stopping
