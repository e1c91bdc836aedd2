"""Connections: how many there may be, and how long each may take over every step.

aiohttp has one time-out of its own for a client that sends no request, an hour by default, and none for one that does
not take its answers. It logs a request that it cannot read with its traceback and the address of the sender, and quotes
an `Expect` that it does not know, or stumbles over it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar, cast

from aiohttp import web
from prometheus_client import Counter as Count

from npsflow.agents.web.answers import said
from npsflow.agents.web.limits import MAX_HEADERS, MAX_LINE, Limits
from npsflow.agents.web.senders import Senders

_LINGER_SECONDS = 2.0  # of reading on behind an answer, so that the sender reads it before the connection ends
_STOP_SECONDS = 20.0  # for what is under way at the end: a body that stays away, and Kafka
_GO_ON = "100-continue"
_SWEEPS = 10  # in the shortest of the time-outs

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Counts(Protocol):
    """What a process that listens counts. `requests` has two labels: what was asked for, and what became of it."""

    requests: Count
    connections_refused: Count
    connections_cut: Count


M = TypeVar("M", bound=Counts)


class Door(Generic[M]):
    """Who is inside. A trusted proxy, behind which everybody comes from one address, may have any share of it."""

    def __init__(self, limits: Limits, senders: Senders, metrics: M) -> None:
        self.limits, self.metrics, self.senders = limits, metrics, senders
        self._inside: set[Connection] = set()
        self._of_one: Counter[str] = Counter()

    def let_in(self, connection: "Connection") -> bool:
        limits, too_many = self.limits, self._of_one[connection.sender] >= self.limits.connections_of_one
        if len(self._inside) >= limits.connections or (too_many and not connection.is_proxy):
            self.metrics.connections_refused.inc()
            return False
        self._inside.add(connection)
        self._of_one[connection.sender] += 1
        return True

    def leaves(self, connection: "Connection") -> None:
        if connection in self._inside:
            self._inside.remove(connection)
            self._of_one -= Counter([connection.sender])  # keeps none that has come to zero

    async def sweep(self) -> None:
        """Cut, until it is cancelled, those that have taken too long."""
        limits, loop = self.limits, asyncio.get_running_loop()
        every = min(limits.head_seconds, limits.whole_seconds, limits.idle_seconds) / _SWEEPS
        while True:
            await asyncio.sleep(every)
            now = loop.time()
            for connection in [late for late in self._inside if late.deadline < now]:
                self.metrics.connections_cut.inc()
                connection.cut()


class Connection(web.RequestHandler):
    """One of aiohttp's, which has until `deadline` for its next step."""

    def __init__(self, door: Door[Any], server: web.Server) -> None:
        self._clock = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=self._clock,
            access_log=None,  # type: ignore[arg-type]
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            lingering_time=_LINGER_SECONDS,
            auto_decompress=False,  # what is signed is what was sent; and a bomb stays small
        )
        self.deadline, self.peer, self.sender, self.is_proxy = 0.0, "", "", False
        self._door, self._is_in, self._between = door, False, True
        self._socket: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)
        self.peer = (transport.get_extra_info("peername") or [""])[0]
        self.sender, self.is_proxy = self._door.senders.of(self.peer), self._door.senders.is_trusted(self.peer)
        self._is_in = self._door.let_in(self)
        if self._is_in:
            self.deadline = self._clock.time() + self._door.limits.idle_seconds
            super().connection_made(transport)
        else:
            self._socket.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._is_in:
            self._door.leaves(self)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._between:
            self._between, self.deadline = False, self._clock.time() + self._door.limits.head_seconds
        super().data_received(data)

    def begun(self) -> None:
        """The head of a request is complete."""
        self._between, self.deadline = False, self._clock.time() + self._door.limits.whole_seconds

    def ended(self) -> None:
        """The request has its answer, which may still have to be sent."""
        self._between, self.deadline = True, self._clock.time() + self._door.limits.idle_seconds

    def cut(self) -> None:
        if self._socket is not None:
            self._socket.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """For what is no HTTP, or too large a head: neither log nor answer quote it, as aiohttp's own would."""
        self._door.metrics.requests.labels("unknown", "malformed").inc()
        answer = said(status, "this is not a request that can be read")
        answer.force_close()
        return answer


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int, door: Door[Any]) -> AsyncIterator[int]:
    """Serve while the block runs; gives the port. At its end, whatever is under way is answered first."""
    runner = web.AppRunner(app, shutdown_timeout=_STOP_SECONDS)
    await runner.setup()
    server = runner.server
    assert server is not None
    server.request_handler = _expecting(server.request_handler)
    loop = asyncio.get_running_loop()
    try:
        listener = await loop.create_server(lambda: Connection(door, server), host, port)
        sweeping = loop.create_task(door.sweep())
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
            await runner.cleanup()
            sweeping.cancel()
    finally:
        await runner.cleanup()


def _expecting(handler: Handler) -> Handler:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", _GO_ON).lower() != _GO_ON:
            return said(417, f"there is nothing to expect but {_GO_ON}")
        return await handler(request)

    return handle
