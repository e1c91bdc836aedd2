"""The web server of intake: answers 2xx only when Kafka has acknowledged."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping

from aiohttp import web

from npsflow.agents.intake.endpoint import Endpoint, Understood
from npsflow.agents.intake.limits import MAX_BODY, OUTCOME, REASON, RequestLimits, no_entrance
from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.intake.producer import Producer
from npsflow.agents.platforms.protocol import CONTENT_TYPE, Delivery, Malformed, Rejected
from npsflow.agents.web.answers import json_answer, retry_answer, text_answer
from npsflow.agents.web.connections import ConnectionLimiter
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
    """`endpoints` by name. `app` has to be served with the same `limiter`."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        producer: Producer,
        limiter: ConnectionLimiter[Metrics],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._endpoints, self._producer, self._clock = endpoints, producer, clock
        limiter.metrics.begin(endpoints)
        self._body_seconds = limiter.limits.body_seconds
        self.app = web.Application(client_max_size=MAX_BODY, middlewares=[RequestLimits(endpoints, limiter).middleware])
        self.app.router.add_post(_ADDRESS, self._receive)
        self.app.router.add_get(_ADDRESS, self._probe)
        health = Health(lambda: producer.ready, "Kafka is away", math.inf, producer.silent_for)  # ready says it sooner
        self.app.router.add_routes(routes(limiter.metrics.registry, health))

    async def _receive(self, request: web.Request) -> web.Response:
        endpoint = self._endpoint(request)
        if endpoint is None:
            return no_entrance(request)
        try:
            body = await self._body(request)
        except TimeoutError:
            request[OUTCOME] = "slow"
            return text_answer(408, "the body took too long")
        delivery, now = Delivery(_headers(request), body, dict(request.query), _path(request)), self._clock()
        if endpoint.webhook.handshake(delivery):
            request[OUTCOME] = "handshake"
            return json_answer({"responses": 0})
        try:
            endpoint.verify(delivery, now)
            if not body:
                raise Malformed("the body is empty")
        except Rejected as error:
            request[OUTCOME], request[REASON] = error.outcome, str(error)
            return text_answer(error.status, str(error))
        try:
            understood = endpoint.understand(delivery, now)
        except Malformed as error:
            understood = Understood(unmapped=str(error))
        return await self._keep(request, endpoint, delivery, understood)

    async def _keep(
        self, request: web.Request, endpoint: Endpoint, delivery: Delivery, understood: Understood
    ) -> web.Response:
        """Write what was understood, and the body as it came if that is not all of it."""
        records = understood.records
        if understood.unmapped:
            records = [*records, self._dead_letter(endpoint, delivery, understood.unmapped)]
        if not await self._producer.write(records):
            request[OUTCOME] = "kafka_away"
            return retry_answer(503, "it cannot be kept just now")
        request[OUTCOME] = understood.outcome
        if understood.unmapped:
            return text_answer(202, f"kept, but not understood: {understood.unmapped}")
        return json_answer({"responses": sum(record.topic == topics.RESPONSES for record in records)})

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

    async def _probe(self, request: web.Request) -> web.Response:
        """For platforms that check the address, by GET or HEAD, before they send to it."""
        if self._endpoint(request) is None:
            return no_entrance(request)
        request[OUTCOME] = "handshake"
        return json_answer({"entrance": request.match_info["name"]})

    def _endpoint(self, request: web.Request) -> Endpoint | None:
        """The entrance that is addressed; None where more stands behind it than it has."""
        endpoint = self._endpoints[request.match_info["name"]]
        return endpoint if endpoint.has_path or not _path(request) else None


def _path(request: web.Request) -> str:
    return request.match_info["path"].strip("/")


def _headers(request: web.Request) -> dict[str, str]:
    """By lower-case name; what is not UTF-8 in them is replaced, so that no signature holds."""
    pairs = ((name.decode(errors="replace"), value.decode(errors="replace")) for name, value in request.raw_headers)
    return {name.lower(): value for name, value in pairs}
