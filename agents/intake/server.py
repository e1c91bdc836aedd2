"""The web server of intake: answers 2xx only when Kafka has acknowledged."""

import asyncio
import time
from collections.abc import Callable, Mapping

from aiohttp import web

from npsflow.agents.intake.endpoint import Endpoint
from npsflow.agents.intake.limits import MAX_BODY, OUTCOME, RequestLimits
from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.intake.producer import Producer
from npsflow.agents.platforms.protocol import Delivery, Rejected
from npsflow.agents.web.answers import json_answer, retry_answer, text_answer
from npsflow.agents.web.connections import ConnectionLimiter
from npsflow.schemas import topics
from npsflow.schemas.headers import DeadLetter
from npsflow.schemas.times import rfc3339
from npsflow.streams.engine.health import routes
from npsflow.streams.intake.entrance import KeyedRecord
from npsflow.streams.intake.mapping import Unmapped


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
        self._body_seconds = limiter.limits.body_seconds
        self.app = web.Application(client_max_size=MAX_BODY, middlewares=[RequestLimits(endpoints, limiter).middleware])
        self.app.router.add_post("/in/{name}", self._receive)
        self.app.router.add_get("/in/{name}", self._probe)
        self.app.router.add_routes(routes(limiter.metrics.registry, lambda: producer.ready, "Kafka is away"))

    async def _receive(self, request: web.Request) -> web.Response:
        endpoint = self._endpoints[request.match_info["name"]]
        try:
            body = await self._body(request)
        except TimeoutError:
            request[OUTCOME] = "slow"
            return text_answer(408, "the body took too long")
        delivery = Delivery(_headers(request), body, dict(request.query))
        try:
            endpoint.verify(delivery, self._clock())
            records, outcome = endpoint.records(delivery, self._clock()), "accepted"
        except Rejected as error:
            request[OUTCOME] = error.outcome
            return text_answer(error.status, str(error))
        except Unmapped as error:
            outcome = "unmapped"
            written = await self._producer.write([self._dead_letter(endpoint, body, str(error))])
            reply = text_answer(202, f"kept, but not understood: {error}")
        else:
            if any(len(record.value or b"") > topics.MAX_INPUT for record in records):
                request[OUTCOME] = "too_large"
                return text_answer(413, "what it becomes is too large")
            written = await self._producer.write(records)
            reply = json_answer({"responses": sum(record.topic == topics.RESPONSES for record in records)})
        if not written:
            request[OUTCOME] = "kafka_away"
            return retry_answer(503, "it cannot be kept just now")
        request[OUTCOME] = outcome
        return reply

    async def _body(self, request: web.Request) -> bytes:
        if request.content.is_eof():  # it came with the head
            return await request.read()
        async with asyncio.timeout(self._body_seconds):
            return await request.read()

    def _dead_letter(self, endpoint: Endpoint, body: bytes, why: str) -> KeyedRecord:
        entrance, at = endpoint.entrance, rfc3339(int(self._clock() * 1000))
        letter = DeadLetter("unmapped", why, f"intake/{entrance.name}", 0, 0, at, entrance.source)
        return KeyedRecord(topics.DEAD_LETTERS, None, body, letter.headers([]))

    async def _probe(self, request: web.Request) -> web.Response:
        """For platforms that check the address, by GET or HEAD, before they send to it."""
        request[OUTCOME] = "handshake"
        return json_answer({"entrance": request.match_info["name"]})


def _headers(request: web.Request) -> dict[str, str]:
    """By lower-case name; what is not UTF-8 in them is replaced, so that no signature holds."""
    pairs = ((name.decode(errors="replace"), value.decode(errors="replace")) for name, value in request.raw_headers)
    return {name.lower(): value for name, value in pairs}
