"""What stands in for a broker where a test needs its answer at a moment of its own, or none: ApiVersions, Metadata."""

import asyncio
import socket
import struct
from contextlib import suppress

HOST = "127.0.0.1"
_METADATA, _API_VERSIONS = 3, 18
_LEADER = 0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class StandIn:
    """Open as long as its `async with` block lasts; every topic has one partition, which it leads."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[set[str]] = []
        """The topics of each request for metadata."""
        self.connections = 0
        """How many were ever made."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answering = True
        """Whether it answers for metadata on the connections that there are; it does on those that are made later."""
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "StandIn":
        self._server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.reset()

    def reset(self) -> None:
        """End all connections as a killed broker ends those with something unread."""
        for writer in self._writers:
            if not writer.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                writer.transport.abort()
        self._writers.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        answering = self.answering
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frame = await reader.readexactly(int.from_bytes(await reader.readexactly(4)))
                api, _, number = struct.unpack_from(">hhi", frame)
                answer = self._versions() if api == _API_VERSIONS else await self._metadata(frame)
                if api == _API_VERSIONS or self.answering or not answering:
                    writer.write(struct.pack(">ii", len(answer) + 4, number) + answer)
        writer.transport.abort()

    def _versions(self) -> bytes:
        return struct.pack(">hi", 0, 2) + b"".join(struct.pack(">hhh", api, 0, 0) for api in (_METADATA, _API_VERSIONS))

    async def _metadata(self, frame: bytes) -> bytes:
        topics = _texts(frame[10 + int.from_bytes(frame[8:10]) :])
        self.asked.append(set(topics))
        await self.may_answer.wait()
        partition = struct.pack(">ihiiii", 1, 0, 0, _LEADER, 0, 0)
        brokers = struct.pack(">ii", 1, _LEADER) + _text(HOST) + struct.pack(">i", self.port)
        return brokers + struct.pack(">i", len(topics)) + b"".join(b"\0\0" + _text(t) + partition for t in topics)


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _texts(array: bytes) -> list[str]:
    count, at, texts = int.from_bytes(array[:4]), 4, []
    for _ in range(count):
        size = int.from_bytes(array[at : at + 2])
        texts.append(array[at + 2 : at + 2 + size].decode())
        at += 2 + size
    return texts
