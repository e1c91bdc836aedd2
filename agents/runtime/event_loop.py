"""The event loop of every process that lasts: uvloop, which lets go of TLS connections here."""

import asyncio
from typing import Any

import uvloop

FAREWELL = 1.0
"""Seconds for which a TLS connection that is closed here stays open for the other side to close it too."""


def use_uvloop() -> None:
    """Let every event loop that this process makes from now on be one of uvloop's."""
    asyncio.set_event_loop_policy(_Policy())


class Loop(uvloop.Loop):
    """Kafka overlooks the end of a connection that comes with a request; for its answer uvloop would wait 30 s."""

    async def create_connection(self, *args: Any, ssl: Any = None, **options: Any) -> Any:
        """As asyncio's; with TLS the connection is closed within `FAREWELL` seconds."""
        if ssl:
            options.setdefault("ssl_shutdown_timeout", FAREWELL)
        return await super().create_connection(*args, ssl=ssl, **options)


class _Policy(uvloop.EventLoopPolicy):  # type: ignore[misc]  # it has no type, depending on the version of Python
    def new_event_loop(self) -> Loop:
        return Loop()
