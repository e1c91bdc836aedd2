"""The web server of intake: answers 2xx only when Kafka has acknowledged."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial

from aiohttp import web

from npsflow.agents.intake.endpoint import Endpoint, Understood
from npsflow.agents.intake.limits import MAX_BODY, Answer, RequestLimits, no_entrance
from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.intake.producer import Producer
from npsflow.agents.platforms.protocol import CONTENT_TYPE, Delivery, Malformed, Rejected
from npsflow.agents.web.answers import json_answer, retry_answer, text_answer
from npsflow.agents.web.connections import ConnectionLimiter
from npsflow.agents.web.serving import serve
from npsflow.schemas import topics
from npsflow.schemas.headers import DeadLetter
from npsflow.schemas.times import rfc3339
from npsflow.streams.engine.health import Health, routes
from npsflow.streams.intake.entrance import KeyedRecord

_ADDRESS = "/{_:/*}in/{__:/*}{name}{path:(/.*)?}"
"""Slashes too many are no other entrance: people and proxies add them, and no POST survives a redirect.

The path behind the entrance may be its secret.
"""


class Server:
    """`endpoints` by name."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        producer: Producer,
        limiter: ConnectionLimiter[Metrics],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._endpoints, self._producer, self._clock, self._limiter = endpoints, producer, clock, limiter
        limiter.metrics.begin(endpoints)
        self._limits = RequestLimits(endpoints, limiter)
        self._usual = {f"/in/{name}": name for name in endpoints}
        self._body_seconds = limiter.limits.body_seconds
        self._app = web.Application(client_max_size=MAX_BODY, middlewares=[self._limits.elsewhere])
        self._app.router.add_post(_ADDRESS, partial(self._routed, self._receive))
        self._app.router.add_get(_ADDRESS, partial(self._routed, self._probe))
        health = Health(lambda: producer.ready, "Kafka is away", math.inf, producer.silent_for)  # ready says it sooner
        self._app.router.add_routes(routes(limiter.metrics.registry, health))

    def serve(self, host: str, port: int) -> AbstractAsyncContextManager[int]:
        """As `npsflow.agents.web.serving.serve`."""
        return serve(self._app, host, port, self._limiter, self._shortcut)

    def _shortcut(self, request: web.Request) -> Awaitable[web.StreamResponse] | None:
        """The answer to a webhook at the usual address of an entrance; aiohttp's router would take a tenth of all."""
        if request.method != "POST" or (name := self._usual.get(request.rel_url.raw_path)) is None:
            return None
        return self._limits.limited(request, name, partial(self._receive, request, name, ""))

    async def _routed(
        self, handler: Callable[[web.Request, str, str], Awaitable[Answer]], request: web.Request
    ) -> web.StreamResponse:
        name, path = request.match_info["name"], request.match_info["path"].strip("/")
        return await self._limits.limited(request, name, partial(handler, request, name, path))

    async def _receive(self, request: web.Request, name: str, path: str) -> Answer:
        endpoint = self._endpoint(name, path)
        if endpoint is None:
            return no_entrance()
        try:
            body = await self._body(request)
        except TimeoutError:
            return Answer("slow", text_answer(408, "the body took too long"))
        query = dict(request.query) if request.rel_url.raw_query_string else {}
        delivery, now = Delivery(_headers(request), body, query, path), self._clock()
        if endpoint.webhook.handshake(delivery):
            return Answer("handshake", json_answer({"responses": 0}))
        try:
            endpoint.verify(delivery, now)
            if not body:
                raise Malformed("the body is empty")
        except Rejected as error:
            return Answer(error.outcome, text_answer(error.status, str(error)), str(error))
        try:
            understood = endpoint.understand(delivery, now)
        except Malformed as error:
            understood = Understood(unmapped=str(error))
        return await self._keep(endpoint, delivery, understood)

    async def _keep(self, endpoint: Endpoint, delivery: Delivery, understood: Understood) -> Answer:
        """Write what was understood, and the body as it came if that is not all of it."""
        records = understood.records
        if understood.unmapped:
            records = [*records, self._dead_letter(endpoint, delivery, understood.unmapped)]
        if not await self._producer.write(records):
            return Answer("kafka_away", retry_answer(503, "it cannot be kept just now"))
        if understood.unmapped:
            return Answer(understood.outcome, text_answer(202, f"kept, but not understood: {understood.unmapped}"))
        count = sum(record.topic == topics.RESPONSES for record in records)
        return Answer(understood.outcome, json_answer({"responses": count}))

    async def _body(self, request: web.Request) -> bytes:
        if request.content.is_eof():  # it came with the head
            return await request.read()
        async with asyncio.timeout(self._body_seconds):
            return await request.read()

    def _dead_letter(self, endpoint: Endpoint, delivery: Delivery, why: str) -> KeyedRecord:
        """With the header that a replay needs to read the body."""
        entrance, at = endpoint.entrance, rfc3339(int(self._clock() * 1000))
        letter = DeadLetter("unmapped", why, f"intake/{entrance.name}", 0, 0, at, entrance.source)
        own = [(name, delivery.headers[name].encode()) for name in (CONTENT_TYPE,) if name in delivery.headers]
        return KeyedRecord(topics.DEAD_LETTERS, None, delivery.body, letter.headers(own))

    async def _probe(self, request: web.Request, name: str, path: str) -> Answer:
        """For platforms that check the address, by GET or HEAD, before they send to it."""
        if self._endpoint(name, path) is None:
            return no_entrance()
        return Answer("handshake", json_answer({"entrance": name}))

    def _endpoint(self, name: str, path: str) -> Endpoint | None:
        """The entrance that is addressed; None where more stands behind it than it has."""
        endpoint = self._endpoints[name]
        return endpoint if endpoint.has_path or not path else None


def _headers(request: web.Request) -> dict[str, str]:
    """By lower-case name; what is not UTF-8 in them is replaced, so that no signature holds."""
    return {str(n, "utf-8", "replace").lower(): str(v, "utf-8", "replace") for n, v in request.raw_headers}
