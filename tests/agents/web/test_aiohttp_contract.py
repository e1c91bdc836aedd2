"""What npsflow overrides and replaces in aiohttp is still there, and still called as it expects."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from inspect import signature

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from npsflow.agents.broker.embedded import HOST
from npsflow.agents.web.connections import Connection, ConnectionLimiter, connection_of
from npsflow.agents.web.limits import Limits
from npsflow.agents.web.senders import Senders
from npsflow.agents.web.serving import serve
from tests.agents.intake.raw import connected, head

OVERRIDDEN = ("connection_made", "connection_lost", "data_received", "handle_error")
ARGUMENTS = (
    "manager", "loop", "access_log", "max_line_size", "max_field_size", "max_headers", "lingering_time",
    "auto_decompress",
)  # fmt: skip
LIMITS = Limits(connections=2, connections_of_one=2)


@dataclass
class Counters:
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.requests = Counter("requests", "-", ("page", "outcome"), registry=self.registry)
        self.connections_refused = Counter("refused", "-", registry=self.registry)
        self.connections_cut = Counter("cut", "-", registry=self.registry)

    def malformed(self) -> float | None:
        return self.registry.get_sample_value("requests_total", {"page": "unknown", "outcome": "malformed"})


class Site:
    """An application whose one page says whether it sees the connection, served with a limiter."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.limiter = ConnectionLimiter(LIMITS, Senders(), self.counters)
        self.connections: list[Connection] = []
        self.app = web.Application()
        self.app.router.add_get("/", self.show)

    async def show(self, request: web.Request) -> web.Response:
        self.connections.append(connection_of(request))
        return web.Response(text="seen")

    @asynccontextmanager
    async def served(self) -> AsyncIterator[int]:
        async with serve(self.app, HOST, 0, self.limiter) as port:
            yield port


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_what_is_overridden_takes_the_same_arguments(name: str) -> None:
    ours, theirs = (list(signature(getattr(class_, name)).parameters) for class_ in (Connection, web.RequestHandler))
    assert ours == theirs


def test_a_connection_is_made_with_known_arguments() -> None:
    assert set(ARGUMENTS) <= signature(web.RequestHandler).parameters.keys()


async def test_names_of_ours_hide_none_of_theirs() -> None:
    site = Site()
    async with site.served() as port, connected(port) as raw:
        raw.send(head("GET", "/"))
        assert await raw.answer() == (200, b"seen")
        (connection,) = site.connections
        own = (vars(Connection).keys() | vars(connection).keys()) - {*OVERRIDDEN, "__init__"}
        theirs = set(dir(web.RequestHandler)) - set(dir(object)) - {"__dict__", "__module__", "__annotations__"}
        assert own & theirs == set()


async def test_every_handler_is_behind_the_check_of_expect() -> None:
    """`Server.request_handler` is replaced before connections take it."""
    site = Site()
    async with site.served() as port, connected(port) as raw:
        raw.send(head("GET", "/", Expect="the-unexpected"))
        status, body = await raw.answer()
    assert (status, site.connections) == (417, [])
    assert "unexpected" not in json.loads(body)["error"]


async def test_what_cannot_be_read_is_answered_by_us() -> None:
    """`handle_error` is called for it, and the connection ends."""
    site = Site()
    async with site.served() as port, connected(port) as raw:
        raw.send(b"GET / nonsense/9.9\r\n\r\n")
        assert await raw.answer() == (400, b'{"error":"this is not a request that can be read"}')
        await raw.ended()
    assert site.counters.malformed() == 1


async def test_connections_beyond_the_limit_never_reach_aiohttp() -> None:
    """`connection_made` and `connection_lost` are called for each."""
    site = Site()
    async with site.served() as port:
        async with connected(port), connected(port), connected(port) as third:
            await third.ended()

        async def answered() -> bool:
            async with connected(port) as raw:
                raw.send(head("GET", "/"))
                return await raw.answer() == (200, b"seen")

        async with asyncio.timeout(10):
            while not await answered():  # until the connections before it have ended
                pass
    assert (site.counters.registry.get_sample_value("refused_total") or 0) >= 1
