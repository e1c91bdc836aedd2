"""What no well-behaved client sends: bytes, when and as they are wanted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from npsflow.agents.broker.embedded import HOST

SECONDS = 20.0
"""Patience with what takes well below a second."""


class Raw:
    """One connection to a port of this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, has_body: bool = True) -> tuple[int, bytes]:
        """Status and body of the next answer, (0, b"") where the connection ends without one."""
        try:
            async with asyncio.timeout(SECONDS):
                head = await self._reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                return int(head.split()[1]), await self._reader.readexactly(length) if has_body else b""
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, b""

    async def drip(self, data: bytes) -> None:
        """Send it again and again, without a hurry, until the other side ends the connection."""
        async with asyncio.timeout(SECONDS):
            ended = asyncio.create_task(self._ended())
            while not ended.done():
                self.send(data)
                await asyncio.wait([ended], timeout=0.02)

    async def ended(self) -> None:
        """Return when the other side has ended it."""
        async with asyncio.timeout(SECONDS):
            await self._ended()

    async def _ended(self) -> None:
        with suppress(ConnectionError):
            while await self._reader.read(1 << 16):
                pass


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def head(method: str = "POST", path: str = "/in/feedback", **headers: object) -> bytes:
    """Of a request; `_` in the name of a header is a hyphen."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{n.replace('_', '-')}: {v}" for n, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()
