"""The web server of intake: answers 2xx only when Kafka has acknowledged."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from npsflow.agents.intake.delivery import Delivery, TurnedDown
from npsflow.agents.intake.limits import RateLimit
from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.intake.turning import Entrance
from npsflow.agents.serving import add_pages
from npsflow.schemas import topics
from npsflow.schemas.headers import Headers, dead_letter
from npsflow.streams.forms import Unmapped
from npsflow.streams.partitioner import partition_of
from npsflow.streams.settings import Where
from npsflow.streams.times import rfc3339

log = logging.getLogger(__name__)

MAX_BODY = 1 << 20
_READ_SECONDS = 10.0
_KAFKA_SECONDS = 4.0  # with what comes before and after it, a sender hears within five
_RETRY_AFTER = 5
_MOST_AT_ONCE = 500
_OUTCOME = web.RequestKey("outcome", str)


class Server:
    """`entrances` by name; `producer` is idempotent, started, and waits for all replicas; `partitions` of the input."""

    def __init__(
        self,
        entrances: Mapping[str, Entrance],
        producer: AIOKafkaProducer,
        where: Where,
        partitions: int,
        metrics: Metrics,
        rate: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._entrances, self._producer, self._where, self._partitions = entrances, producer, where, partitions
        self._metrics, self._limit, self._clock = metrics, RateLimit(rate), clock
        self._at_once = 0
        self.app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guard])
        self.app.router.add_post("/in/{name}", self._deliver)
        self.app.router.add_get("/in/{name}", self._there)
        add_pages(self.app, metrics.registry)

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Count and time what comes to an entrance, turn away what is too much, let no mistake of ours show."""
        name = request.match_info.get("name")
        if name is None:
            return await handler(request)
        began = time.monotonic()
        self._at_once += 1
        request[_OUTCOME] = "failed"
        try:
            return self._turned_away(request, name, began) or await handler(request)
        except web.HTTPException as error:
            request[_OUTCOME] = "too_large" if error.status == 413 else "malformed"
            return _said(error.status, error.reason)
        except Exception as error:
            log.error("a request failed: please report this", extra={"intake": name, "error": type(error).__name__})
            return _said(500, "our mistake, please send it again")
        finally:
            self._at_once -= 1
            known = name if name in self._entrances else "unknown"
            self._metrics.requests.labels(known, request[_OUTCOME]).inc()
            self._metrics.latency.observe(time.monotonic() - began)

    def _turned_away(self, request: web.Request, name: str, now: float) -> web.Response | None:
        if name not in self._entrances:
            request[_OUTCOME] = "unknown"
            return _said(404, "there is no such entrance")
        if self._at_once > _MOST_AT_ONCE:
            request[_OUTCOME] = "busy"
            return _again(503, "too many requests at once", _RETRY_AFTER)
        if wait := self._limit.wait(request.remote or "", now):
            request[_OUTCOME] = "limited"
            return _again(429, "too many requests", int(wait) + 1)
        return None

    async def _deliver(self, request: web.Request) -> web.Response:
        entrance = self._entrances[request.match_info["name"]]
        try:
            async with asyncio.timeout(_READ_SECONDS):
                body = await request.read()
        except TimeoutError:
            request[_OUTCOME] = "slow"
            return _said(408, "the body took too long")
        delivery = Delivery({name.lower(): value for name, value in request.headers.items()}, body, request.query)
        try:
            entrance.verify(delivery, self._clock())
            records, outcome = entrance.records(delivery, self._clock()), "accepted"
        except TurnedDown as error:
            request[_OUTCOME] = error.outcome
            return _said(error.status, str(error))
        except Unmapped as error:
            outcome = "unmapped"
            kept = await self._write([(topics.DEAD_LETTERS, None, body)], self._letter(entrance, str(error)))
            answer = _said(202, f"kept, but not understood: {error}")
        else:
            kept = await self._write(records, [])
            answer = web.json_response({"responses": sum(record.topic == topics.RESPONSES for record in records)})
        if not kept:
            request[_OUTCOME] = "kafka_away"
            return _again(503, "it cannot be kept just now", _RETRY_AFTER)
        request[_OUTCOME] = outcome
        return answer

    async def _write(self, records: Sequence[tuple[str, bytes | None, bytes]], headers: Headers) -> bool:
        """Whether Kafka has all of it. What it has although nobody knows is harmless: it comes once more, repeated."""
        try:
            async with asyncio.timeout(_KAFKA_SECONDS):
                sent = [
                    await self._producer.send(
                        self._where.topic(topic), value, key, self._partition(key), headers=headers
                    )
                    for topic, key, value in records
                ]
                await asyncio.gather(*sent)
        except (KafkaError, TimeoutError) as error:
            self._metrics.produce_failures.inc()
            log.warning("a webhook could not be kept", extra={"error": type(error).__name__})
            return False
        return True

    def _partition(self, key: bytes | None) -> int:
        return 0 if key is None else partition_of(key, self._partitions)

    def _letter(self, entrance: Entrance, why: str) -> Headers:
        at, source = rfc3339(int(self._clock() * 1000)), entrance.form.source or entrance.form.platform
        return dead_letter([], "unmapped", why, f"intake/{entrance.name}", 0, 0, at, source)

    async def _there(self, request: web.Request) -> web.Response:
        """For those who look whether there is anything, by GET or HEAD, before they send."""
        request[_OUTCOME] = "handshake"
        return web.json_response({"entrance": request.match_info["name"]})


def _said(status: int, text: str) -> web.Response:
    return web.json_response({"error" if status >= 400 else "status": text}, status=status)


def _again(status: int, text: str, seconds: int) -> web.Response:
    answer = _said(status, text)
    answer.headers["Retry-After"] = str(seconds)
    return answer
