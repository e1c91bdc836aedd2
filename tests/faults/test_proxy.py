"""The bad network itself: what it does to the frames that pass it."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing

import pytest

from npsflow.agents.broker.embedded import HOST, free_port

from .proxy import Api, Proxy

pytestmark = pytest.mark.quick

SECONDS = 60
BIG = 64 << 10


class Wire:
    """A client that asks, and is answered by an echo of its number and its text."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._number = reader, writer, 0

    def ask(self, api: int, text: bytes = b"") -> None:
        self._number += 1
        body = struct.pack(">hhI", api, 0, self._number) + text
        self._writer.write(struct.pack(">I", len(body)) + body)

    async def answer(self) -> tuple[int, bytes]:
        """The next one: its number and what it echoes. Raises IncompleteReadError where the connection has ended."""
        async with asyncio.timeout(SECONDS):
            size = int.from_bytes(await self._reader.readexactly(4))
            body = await self._reader.readexactly(size)
        return int.from_bytes(body[:4]), body[4:]

    async def ended(self) -> bool:
        try:
            async with asyncio.timeout(SECONDS):
                return await self._reader.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._writer.transport.abort()


class Network:
    """A proxy before a broker, what that has been asked for, and connections, closed at the end."""

    def __init__(self, proxy: Proxy, heard: list[int]) -> None:
        self.proxy, self.heard, self._open = proxy, heard, ExitStack()

    async def connect(self) -> Wire:
        wire = Wire(*await asyncio.open_connection(HOST, self.proxy.port))
        self._open.callback(wire.close)
        return wire

    def close(self) -> None:
        self._open.close()


@asynccontextmanager
async def network() -> AsyncIterator[Network]:
    """The broker only echoes."""
    heard: list[int] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                body = await reader.readexactly(int.from_bytes(await reader.readexactly(4)))
                heard.append(int.from_bytes(body[:2]))
                writer.write(struct.pack(">I", len(body) - 4) + body[4:])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.transport.abort()

    target = free_port()
    server = await asyncio.start_server(echo, HOST, target)
    async with server, Proxy(free_port(), target) as proxy:
        with closing(Network(proxy, heard)) as made:
            yield made


async def test_passes_everything_on() -> None:
    async with network() as net:
        wire = await net.connect()
        for number in range(1, 4):
            wire.ask(Api.PRODUCE, b"x" * number * BIG)
        assert [await wire.answer() for _ in range(3)] == [(n, b"x" * n * BIG) for n in range(1, 4)]
        assert net.proxy.connections == 1


async def test_cut() -> None:
    async with network() as net:
        wires = [await net.connect() for _ in range(2)]
        for wire in wires:
            wire.ask(Api.PRODUCE)
            await wire.answer()
        assert net.proxy.cut() == 2
        assert [await wire.ended() for wire in wires] == [True, True]
        again = await net.connect()
        again.ask(Api.PRODUCE)
        assert await again.answer() == (1, b"")


async def test_lost_answer() -> None:
    """The broker has done what was asked, the client never hears of it; the answers before it arrive."""
    async with network() as net:
        wire = await net.connect()
        net.proxy.lose(Api.END_TXN)
        wire.ask(Api.PRODUCE)
        assert await wire.answer() == (1, b"")
        wire.ask(Api.END_TXN)
        assert await wire.ended()
        assert net.heard == [Api.PRODUCE, Api.END_TXN]
        assert net.proxy.lost == {Api.END_TXN: 1}
        again = await net.connect()
        again.ask(Api.END_TXN)
        assert await again.answer() == (1, b"")


async def test_lost_request() -> None:
    async with network() as net:
        net.proxy.lose(Api.END_TXN, times=2, what="request")
        for _ in range(2):
            wire = await net.connect()
            wire.ask(Api.END_TXN)
            assert await wire.ended()
        assert net.heard == []
        assert net.proxy.lost == {Api.END_TXN: 2}


async def test_silence() -> None:
    """What was there swallows for good, what is new is well; with `swallowing` the other way round."""
    async with network() as net:
        old = await net.connect()
        old.ask(Api.PRODUCE)
        await old.answer()
        assert net.proxy.swallow() == 1
        old.ask(Api.END_TXN)
        new = await net.connect()
        new.ask(Api.PRODUCE)
        assert await new.answer() == (1, b"")
        net.proxy.swallowing = True
        later = await net.connect()
        later.ask(Api.END_TXN)
        net.proxy.lose(Api.PRODUCE, silently=True)
        new.ask(Api.PRODUCE)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await asyncio.gather(old.answer(), later.answer(), new.answer())
        assert net.heard == [Api.PRODUCE] * 3
        assert net.proxy.connections == 3


async def test_delay_and_throttle() -> None:
    """Never faster than set: a frame takes the delay both ways, and bytes the time that the rate gives them."""
    async with network() as net:
        wire = await net.connect()
        net.proxy.delay = 0.2
        began = time.monotonic()
        for _ in range(3):
            wire.ask(Api.PRODUCE)
        for _ in range(3):
            await wire.answer()
        assert time.monotonic() - began >= 0.4
        net.proxy.delay, net.proxy.rate = 0.0, 4.0 * BIG
        began = time.monotonic()
        wire.ask(Api.PRODUCE, b"x" * BIG)
        await wire.answer()
        assert time.monotonic() - began >= 0.25


async def test_nothing_is_mixed_up_when_the_rate_changes() -> None:
    """In the middle of a frame, of which every part is different."""
    async with network() as net:
        wire = await net.connect()
        text = b"".join(b"%08d" % number for number in range(BIG // 8))
        net.proxy.rate = 4.0 * BIG
        wire.ask(Api.PRODUCE, text)
        await asyncio.sleep(0.05)
        net.proxy.rate = float("inf")
        assert await wire.answer() == (1, text)


async def test_nobody_there() -> None:
    async with Proxy(free_port(), free_port()) as proxy:
        with closing(Network(proxy, [])) as net:
            assert await (await net.connect()).ended()
