"""A bad network: a TCP proxy before the broker that cuts, delays, throttles and swallows, and loses single answers.

It knows the frames of Kafka's protocol: four bytes of length, and then, of a request, the number of what is asked
(`Api`), a version and a number that the answer repeats.
"""

import asyncio
import struct
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import IntEnum
from math import inf
from typing import Any, Literal, NamedTuple

from npsflow.agents.broker.embedded import HOST

_PIECE = 4096
_FEW = 64  # frames on their way in one direction: a client that sends faster has to wait


class Api(IntEnum):
    """What requests ask for, as far as tests name it."""

    PRODUCE = 0
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


_NAMED = frozenset(Api)


class Proxy:
    """Leads what connects to `port` on to `target`, another port here. Open as long as its `async with` block lasts."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self.delay = 0.0
        """Seconds that each frame takes, in each direction."""
        self.rate = inf
        """Bytes a second, of all connections together, in each direction."""
        self.swallowing = False
        """Whether connections made from now on are accepted, and nothing that is sent on them arrives."""
        self.lost = Counter[Api]()
        """Requests or answers that were lost because of `lose`."""
        self.at_loss: Callable[[], None] | None = None
        """Called at the moment when something is lost."""
        self.at_answer: Callable[[Api, bytes], None] | None = None
        """Called with each answer, and the request that it answers, before it is handed on."""
        self.last_lost = b""
        """The frame of the request that was lost last, or whose answer was."""
        self._links = set[_Link]()
        self._empty = asyncio.Event()
        self._empty.set()
        self._losses = dict[tuple[int, str], deque[_Loss]]()
        self._free = {"request": 0.0, "answer": 0.0}

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._connected, HOST, self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await self._empty.wait()

    @property
    def connections(self) -> int:
        return len(self._links)

    def cut(self) -> int:
        """Close every connection, on both sides; gives how many."""
        for link in self._links:
            link.cut()
        return len(self._links)

    def swallow(self) -> int:
        """Every connection there is stays open, and nothing arrives on it any more; gives how many."""
        for link in self._links:
            link.dead = True
        return len(self._links)

    def lose(
        self,
        api: Api,
        times: int = 1,
        what: Literal["request", "answer"] = "answer",
        silently: bool = False,
        of: bytes = b"",
    ) -> None:
        """Lose the next request of this kind, or the next answer to one, so many times, and cut its connection.

        `silently`: the connection is not cut, but nothing arrives on it any more. `of`: what the request must hold.
        """
        self._losses.setdefault((api, what), deque()).extend([_Loss(silently, of)] * times)

    # For links.

    def loss(self, request: bytes, what: str) -> bool | None:
        """Whether this request, or the answer to it, is to be lost silently; None if it is not to be lost."""
        waiting = self._losses.get((api_of(request), what))
        if not waiting or waiting[0].of not in request:
            return None
        self.lost[Api(api_of(request))] += 1
        self.last_lost = request
        if self.at_loss is not None:
            self.at_loss()
        return waiting.popleft().silently

    async def pass_piece(self, size: int, what: str) -> None:
        """Return when so many bytes have had their time at the present rate."""
        now = time.monotonic()
        self._free[what] = max(now, self._free[what]) + size / self.rate
        await asyncio.sleep(self._free[what] - now)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward = await asyncio.open_connection(HOST, self._target)
        except OSError:  # the broker is down
            writer.transport.abort()
            return
        link = _Link(self, writer, onward[1], self.swallowing)
        self._links.add(link)
        self._empty.clear()
        try:
            await link.run(reader, onward[0])
        finally:
            link.cut()
            self._links.discard(link)
            if not self._links:
                self._empty.set()


class _Loss(NamedTuple):
    """See `Proxy.lose`."""

    silently: bool
    of: bytes


def api_of(request: bytes) -> int:
    """What a request asks for; -1 if there is none."""
    return int.from_bytes(request[4:6]) if request else -1


def transactional_id(request: bytes) -> bytes:
    """The field of a request that begins with one (InitProducerId, AddPartitionsToTxn, EndTxn), length and all."""
    (client,) = struct.unpack_from(">h", request, 12)
    (length,) = struct.unpack_from(">h", request, 14 + client)
    return request[14 + client : 16 + client + length]


class _Link:
    """One connection, and its continuation to the broker."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, broker: asyncio.StreamWriter, dead: bool) -> None:
        self._proxy, self._client, self._broker = proxy, client, broker
        self.dead = dead
        """Nothing arrives any more: for good, since a stream with a gap would be another fault than a bad network."""
        self._asked = dict[int, bytes]()

    def cut(self) -> None:
        self._client.transport.abort()
        self._broker.transport.abort()

    async def run(self, client: asyncio.StreamReader, broker: asyncio.StreamReader) -> None:
        """Return when either side has ended it, or it was cut."""
        requests, answers = asyncio.Queue[tuple[float, bytes]](_FEW), asyncio.Queue[tuple[float, bytes]](_FEW)
        await _first(
            self._read(client, "request", requests),
            self._write(self._broker, "request", requests),
            self._read(broker, "answer", answers),
            self._write(self._client, "answer", answers),
        )

    async def _read(self, reader: asyncio.StreamReader, what: str, frames: asyncio.Queue[tuple[float, bytes]]) -> None:
        while True:
            head = await reader.readexactly(4)
            frame = head + await reader.readexactly(int.from_bytes(head))
            request = self._request(frame, what)
            if what == "answer" and self._proxy.at_answer is not None and api_of(request) in _NAMED:
                self._proxy.at_answer(Api(api_of(request)), request)
            if (silently := self._proxy.loss(request, what)) is False:
                return
            if silently:
                self.dead = True
            await frames.put((time.monotonic() + self._proxy.delay, frame))

    async def _write(self, writer: asyncio.StreamWriter, what: str, frames: asyncio.Queue[tuple[float, bytes]]) -> None:
        while True:
            due, frame = await frames.get()
            await asyncio.sleep(due - time.monotonic())
            # Of each piece, whatever the rate becomes meanwhile.
            size = len(frame) if self._proxy.rate == inf else _PIECE
            for start in range(0, len(frame), size):
                piece = frame[start : start + size]
                await self._proxy.pass_piece(len(piece), what)
                if not self.dead:
                    writer.write(piece)
                    await writer.drain()

    def _request(self, frame: bytes, what: str) -> bytes:
        """The request itself, or the one that the frame answers."""
        if what == "answer":
            return self._asked.pop(int.from_bytes(frame[4:8]), b"")
        self._asked[int.from_bytes(frame[8:12])] = frame
        return frame


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Return when one of them has ended, and the others with it; that a connection has ended is no error."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
                await task
