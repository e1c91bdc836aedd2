"""Where messages end: stand-ins that keep to what their vendors document, and refuse what those would refuse."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook, WebhookVerificationError

How = Literal["silent", "later", "busy", "broken", "locked"]
"""`silent`: takes it and gives no answer; `later`: as much as it can take, come back in 7 s; `busy`: an error that
passes; `broken`: an answer that makes no sense; `locked`: it does not know our secret."""

RETRY_AFTER = 7


@dataclass
class Got:
    """One message as it came. `id`: what marks a repeated one; `shown`: what a person reads; `thread`: of which."""

    id: str
    shown: str
    data: Any = None
    to: str = ""
    thread: str = ""
    reference: str = ""


@dataclass
class End:
    """What all have in common."""

    received: list[Got] = field(default_factory=list)
    behaviour: list[How] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """What a vendor would have refused."""

    def how(self) -> How | None:
        return self.behaviour.pop(0) if self.behaviour else None


class HttpEnd(End):
    """Answers over HTTP."""

    async def answer(self, request: web.Request, how: How | None, good: web.Response) -> web.Response:
        match how:
            case "silent":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case "later":
                return web.Response(status=429, headers={"Retry-After": str(RETRY_AFTER)})
            case "busy":
                return web.Response(status=500)
            case "broken":
                return web.Response(text="<html>", content_type="text/html", status=302)
            case "locked":
                return web.Response(status=401)
        return good


class Endpoint(HttpEnd):
    """A receiver of webhooks, which verifies with the library of those who wrote the specification."""

    SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.status = 204
        self.statuses: dict[str, int] = {}
        """By id, where that is another one."""
        self.asked: list[str] = []
        """The id of every request, whatever became of it."""
        self.seconds = 0.0
        """How long it takes to answer."""
        self.on_take: Callable[[str], object] = lambda _: None

    async def take(self, request: web.Request) -> web.Response:
        body, how = await request.read(), self.how()
        try:
            event = Webhook(self.SECRET).verify(body, dict(request.headers))
        except WebhookVerificationError:
            return web.Response(status=401)
        if len(body) >= 20_480 or set(event) != {"type", "timestamp", "data"}:
            self.complaints.append("too large, or not of this shape")
        name = request.headers["webhook-id"]
        self.asked.append(name)
        self.on_take(name)
        await asyncio.sleep(self.seconds)
        status = self.statuses.get(name, self.status)
        if how in (None, "silent") and status < 300:
            self.received.append(Got(name, body.decode(), event, to=request.path))
        return await self.answer(request, how, web.Response(status=status))

    def ids(self) -> list[str]:
        """Of what it took."""
        return [got.id for got in self.received]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application(client_max_size=1 << 22)
        app.router.add_post("/{name:.*}", self.take)
        async with TestServer(app) as server:
            self.url = str(server.make_url("/all"))
            yield self.url
