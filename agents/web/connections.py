"""Limits on connections: how many there are, and how long each may take over every step.

aiohttp has one time-out of its own, for a client that sends no request (an hour by default), and none for a client that
does not take its answers. It logs a request that it cannot read with a traceback and the client's address. It repeats
an unknown `Expect` header in its answer, or fails on it.

All that npsflow overrides or replaces in aiohttp is here, and checked by tests/agents/web/test_aiohttp_contract.py.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Generic, NoReturn, Protocol, TypeVar, cast

from aiohttp import web
from prometheus_client import Counter as PrometheusCounter

from npsflow.agents.web.answers import text_answer
from npsflow.agents.web.limits import MAX_HEADERS, MAX_LINE, Limits
from npsflow.agents.web.senders import Senders

_LINGER_SECONDS = 2.0  # of reading on after an answer, so that the client reads it before the connection ends
_CONTINUE = "100-continue"
_SWEEPS = 10  # in the shortest of the time-outs

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Shortcut = Callable[[web.Request], Awaitable[web.StreamResponse] | None]
"""Answers a request that the application need not be asked about, or gives None: its router takes its time."""


class ConnectionCounters(Protocol):
    """What a process counts of its connections. `requests` has two labels: the page, and the outcome."""

    requests: PrometheusCounter
    connections_refused: PrometheusCounter
    connections_cut: PrometheusCounter


M = TypeVar("M", bound=ConnectionCounters)


class ConnectionLimiter(Generic[M]):
    """The open connections. A trusted proxy, through which many senders come, may have any share of them."""

    def __init__(self, limits: Limits, senders: Senders, metrics: M) -> None:
        self.limits, self.metrics, self.senders = limits, metrics, senders
        self._open: set[Connection] = set()
        self._by_sender: Counter[str] = Counter()

    def protocols(self, server: web.Server, shortcut: Shortcut | None = None) -> Callable[[], "Connection"]:
        """A protocol factory for `loop.create_server`: the connections of this server, limited."""
        server.request_handler = _timed(server.request_handler, shortcut)
        return lambda: Connection(self, server)

    def admit(self, connection: "Connection") -> bool:
        """Whether a new connection may stay; counts it, admitted or refused."""
        limits, too_many = self.limits, self._by_sender[connection.sender] >= self.limits.connections_of_one
        if len(self._open) >= limits.connections or (too_many and not connection.is_proxy):
            self.metrics.connections_refused.inc()
            return False
        self._open.add(connection)
        self._by_sender[connection.sender] += 1
        return True

    def remove(self, connection: "Connection") -> None:
        """A connection has ended."""
        if connection in self._open:
            self._open.remove(connection)
            self._by_sender -= Counter([connection.sender])  # drops senders without connections

    async def cut_late(self) -> NoReturn:
        """Abort connections that are past their deadline, until cancelled."""
        limits, loop = self.limits, asyncio.get_running_loop()
        every = min(limits.head_seconds, limits.whole_seconds, limits.idle_seconds) / _SWEEPS
        while True:
            await asyncio.sleep(every)
            now = loop.time()
            for connection in [connection for connection in self._open if connection.deadline < now]:
                self.metrics.connections_cut.inc()
                connection.cut()


class Connection(web.RequestHandler):
    """A connection of aiohttp that has to finish its next step before `deadline`, in seconds of the loop's clock."""

    def __init__(self, limiter: ConnectionLimiter[Any], server: web.Server) -> None:
        self._clock = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=self._clock,
            access_log=None,  # type: ignore[arg-type]
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            lingering_time=_LINGER_SECONDS,
            auto_decompress=False,  # signatures are of the bytes as sent; and a decompression bomb stays small
        )
        self.deadline, self.peer, self.sender, self.is_proxy = 0.0, "", "", False
        self._limiter, self._admitted, self._idle = limiter, False, True
        self._socket: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Abort the connection at once if there are too many."""
        self._socket = cast(asyncio.Transport, transport)
        self.peer = (transport.get_extra_info("peername") or [""])[0]
        senders = self._limiter.senders
        self.sender, self.is_proxy = senders.identify(self.peer), senders.is_trusted(self.peer)
        self._admitted = self._limiter.admit(self)
        if self._admitted:
            self.deadline = self._clock.time() + self._limiter.limits.idle_seconds
            super().connection_made(transport)
        else:
            self._socket.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room for another one."""
        if self._admitted:
            self._limiter.remove(self)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """With the first byte of a request the time for its head begins."""
        if self._idle:
            self._idle, self.deadline = False, self._clock.time() + self._limiter.limits.head_seconds
        super().data_received(data)

    def request_started(self) -> None:
        """The head of a request is complete."""
        self._idle, self.deadline = False, self._clock.time() + self._limiter.limits.whole_seconds

    def request_finished(self) -> None:
        """The request has its answer, which may still have to be sent."""
        self._idle, self.deadline = True, self._clock.time() + self._limiter.limits.idle_seconds

    def cut(self) -> None:
        """Abort the connection."""
        if self._socket is not None:
            self._socket.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or has too large a head. Unlike aiohttp's own, neither logs nor quotes it."""
        self._limiter.metrics.requests.labels("unknown", "malformed").inc()
        answer = text_answer(status, "this is not a request that can be read")
        answer.force_close()
        return answer


def connection_of(request: web.BaseRequest) -> Connection:
    """The connection that a request came over. Its server has to be served with a limiter."""
    connection = request.protocol
    assert isinstance(connection, Connection)
    return connection


def _timed(handler: Handler, shortcut: Shortcut | None) -> Handler:
    """Notes on the connection how far its request is, and lets it expect nothing that aiohttp does not know."""

    async def handle(request: web.Request) -> web.StreamResponse:
        connection = connection_of(request)
        connection.request_started()
        try:
            if (expected := request.headers.get("Expect")) is None:
                if shortcut is not None and (answer := shortcut(request)) is not None:
                    return await answer
            elif expected.lower() != _CONTINUE:
                return text_answer(417, f"there is nothing to expect but {_CONTINUE}")
            return await handler(request)
        finally:
            connection.request_finished()

    return handle  # type: ignore[return-value]
