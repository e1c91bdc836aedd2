"""The web server of intake: answers 2xx only when Kafka has acknowledged."""

import asyncio
import time
from collections.abc import Callable, Mapping

from aiohttp import web

from npsflow.agents.intake.delivery import Delivery, TurnedDown
from npsflow.agents.intake.entrance import Entrance
from npsflow.agents.intake.limits import MAX_BODY, OUTCOME, Guard
from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.intake.producer import Keeper
from npsflow.agents.web.answers import again, answer, said
from npsflow.agents.web.connections import Door
from npsflow.schemas import topics
from npsflow.schemas.headers import DeadLetter, Headers
from npsflow.schemas.times import rfc3339
from npsflow.streams.engine.health import routes
from npsflow.streams.intake.mapping import Unmapped


class Server:
    """`entrances` by name. `app` is to be served by `listening`, through the same `door`."""

    def __init__(
        self,
        entrances: Mapping[str, Entrance],
        keeper: Keeper,
        door: Door[Metrics],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._entrances, self._keeper, self._clock = entrances, keeper, clock
        self._body_seconds = door.limits.body_seconds
        self.app = web.Application(client_max_size=MAX_BODY, middlewares=[Guard(entrances, door).middleware])
        self.app.router.add_post("/in/{name}", self._deliver)
        self.app.router.add_get("/in/{name}", self._there)
        self.app.router.add_routes(routes(door.metrics.registry, lambda: keeper.ready, "Kafka is away"))

    async def _deliver(self, request: web.Request) -> web.Response:
        entrance = self._entrances[request.match_info["name"]]
        try:
            body = await self._body(request)
        except TimeoutError:
            request[OUTCOME] = "slow"
            return said(408, "the body took too long")
        delivery = Delivery(_headers(request), body, dict(request.query))
        try:
            entrance.verify(delivery, self._clock())
            records, outcome = entrance.records(delivery, self._clock()), "accepted"
        except TurnedDown as error:
            request[OUTCOME] = error.outcome
            return said(error.status, str(error))
        except Unmapped as error:
            outcome = "unmapped"
            kept = await self._keeper.keep([(topics.DEAD_LETTERS, None, body)], self._letter(entrance, str(error)))
            reply = said(202, f"kept, but not understood: {error}")
        else:
            if any(len(record.value) > topics.MAX_INPUT for record in records):
                request[OUTCOME] = "too_large"
                return said(413, "what it becomes is too large")
            kept = await self._keeper.keep(records, [])
            reply = answer({"responses": sum(record.topic == topics.RESPONSES for record in records)})
        if not kept:
            request[OUTCOME] = "kafka_away"
            return again(503, "it cannot be kept just now")
        request[OUTCOME] = outcome
        return reply

    async def _body(self, request: web.Request) -> bytes:
        if request.content.is_eof():  # it has come with its head
            return await request.read()
        async with asyncio.timeout(self._body_seconds):
            return await request.read()

    def _letter(self, entrance: Entrance, why: str) -> Headers:
        at, source = rfc3339(int(self._clock() * 1000)), entrance.form.source or entrance.form.platform
        return DeadLetter("unmapped", why, f"intake/{entrance.name}", 0, 0, at, source).headers([])

    async def _there(self, request: web.Request) -> web.Response:
        """For those who look whether there is anything, by GET or HEAD, before they send."""
        request[OUTCOME] = "handshake"
        return answer({"entrance": request.match_info["name"]})


def _headers(request: web.Request) -> dict[str, str]:
    """By lower-case name; what is not UTF-8 in them is replaced, and is then no signature of anything."""
    pairs = ((name.decode(errors="replace"), value.decode(errors="replace")) for name, value in request.raw_headers)
    return {name.lower(): value for name, value in pairs}
