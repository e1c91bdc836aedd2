"""The web server of the board: cases, how well they go, and actions on them, for those who have the token."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from npsflow.agents.board import query
from npsflow.agents.board.metrics import Metrics
from npsflow.agents.cases.actions import NoAction, action_of, send
from npsflow.agents.cases.reader import CaseReader
from npsflow.agents.kafka import clients
from npsflow.agents.web.connections import Connection
from npsflow.agents.web.signatures import matches
from npsflow.schemas import codec
from npsflow.schemas.cases import TeamAction
from npsflow.streams.engine.health import routes
from npsflow.streams.engine.installation import Installation
from npsflow.streams.recovery.case_index import ListedCase
from npsflow.streams.recovery.report import as_json, report

log = logging.getLogger(__name__)

MAX_BODY = 256 << 10
"""Bytes: a comment of the most characters, even where each is escaped."""

_READ_SECONDS = 10.0
_KAFKA_SECONDS = 4.0
_RETRY_AFTER = {"Retry-After": "5"}
_IDS = ("case_id", "alert_id", "follow_up_id")
_NOT_HERE = ("fixed", "forget")  # they are about more than one case
_JSON = "application/json"
_NOT_KEPT = {"Cache-Control": "no-store"}  # by nobody on the way: it is about customers

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """`secrets` are the tokens that hold now, two while one replaces the other; `patience` in seconds, for ?wait=1.

    `app` is to be served by `connections.listening`.
    """

    def __init__(
        self,
        book: CaseReader,
        producer: AIOKafkaProducer,
        installation: Installation,
        secrets: Sequence[str],
        metrics: Metrics,
        patience: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._book, self._producer, self._installation, self._secrets = book, producer, installation, secrets
        self._metrics, self._patience, self._clock = metrics, patience, clock
        self.app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guard])
        watched = routes(metrics.registry, lambda: book.ready, "reading")
        self._open = {route.path for route in watched}
        self.app.router.add_routes(watched)
        self.app.router.add_get("/cases", self._list)
        self.app.router.add_get("/cases/report", self._report)
        self.app.router.add_get("/cases/{id}", self._show)
        self.app.router.add_post("/cases/{id}/actions", self._act)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every answer is JSON, no mistake of ours shows, and all that is about customers needs the token.

        Tells the connection how far its request is.
        """
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.begun()
        resource = request.match_info.route.resource
        page = resource.canonical if resource is not None else "unknown"
        try:
            answer = self._turned_away(request, page) or await handler(request)
        except web.HTTPException as error:
            answer = _said(error.status, error.text or error.reason)
            answer.headers.update({name: error.headers[name] for name in ("Allow",) if name in error.headers})
        except (web.RequestPayloadError, ConnectionError):
            answer = _said(400, "the body cannot be read")
        except Exception as error:
            log.error("a request failed: please report this", extra={"page": page, "error": type(error).__name__})
            answer = _said(500, "our mistake")
        finally:
            connection.ended()
        if page not in self._open:
            answer.headers.update(_NOT_KEPT)
        self._metrics.requests.labels(page, str(answer.status)).inc()
        return answer

    def _turned_away(self, request: web.Request, page: str) -> web.Response | None:
        if page in self._open:
            return None
        given = request.headers.get("Authorization", "")
        if not matches(given, self._secrets, lambda secret: f"Bearer {secret}"):
            answer = _said(401, "the bearer token is missing or wrong")
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        return None if self._book.ready else _said(503, "cases are still being read", _RETRY_AFTER)

    async def _list(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        limit, after = query.limit(asked.pop("limit", "100")), query.after(asked.pop("after", ""))
        found = self._book.cases.listed(query.wanted(asked), self._now())
        rest = found if after is None else [one for one in found if one.place > after]
        cases, more = b",".join(one.packed for one in rest[:limit]), b""
        if len(rest) > limit:
            more = b',"next":%b' % codec.dumps(query.behind(rest[limit - 1]))
        return web.Response(body=b'{"cases":[%b]%b,"total":%d}' % (cases, more, len(found)), content_type=_JSON)

    async def _report(self, request: web.Request) -> web.Response:
        now = self._now()
        found = self._book.cases.listed(query.wanted(dict(request.query)), now)
        # Of many cases it takes seconds, in which others want their answers.
        made = await asyncio.to_thread(lambda: as_json(report((one.file() for one in found), now)))
        return web.Response(body=made, content_type=_JSON)

    async def _show(self, request: web.Request) -> web.Response:
        return web.Response(body=self._found(request).packed, content_type=_JSON)

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _found(self, request: web.Request) -> ListedCase:
        one = self._book.cases.find(request.match_info["id"])
        if one is None:
            raise web.HTTPNotFound(text="there is no such case")
        return one

    async def _act(self, request: web.Request) -> web.Response:
        one, waits = self._found(request), query.truth(request.query.get("wait", "0"), "wait")
        action = await _action(request, one.case_id)
        accepted = {"action_id": action.action_id}
        try:
            async with asyncio.timeout(_KAFKA_SECONDS):
                await send(self._producer, self._installation, one.key, one.partition, action)
        except clients.FORBIDDEN as error:
            log.error("%s", clients.forbidden(error))
            text = "this board may not send actions: whoever runs it finds in its log what to allow"
            return web.json_response(accepted | {"error": text}, status=500)
        except (KafkaError, TimeoutError) as error:
            log.warning("an action could not be kept", extra={"error": type(error).__name__})
            # Nobody knows whether Kafka has it; sent again under this id it counts once.
            text = "it cannot be kept just now, send it again with this action_id"
            return web.json_response(accepted | {"error": text}, status=503, headers=_RETRY_AFTER)
        if not waits:
            return web.json_response(accepted, status=202)
        try:
            async with asyncio.timeout(self._patience):
                entry = await self._book.answered(one.case_id, action.action_id)
        except TimeoutError:
            return web.json_response(accepted | {"status": "nothing came of it yet"}, status=202)
        now = self._book.cases.find(one.case_id) or one
        if entry.what == "action_refused":
            refused = {"error": "refused", "reason": entry.reason, "status": now.status}
            return web.json_response(accepted | refused, status=409)
        return web.Response(body=now.packed, content_type=_JSON)


async def _action(request: web.Request, case_id: str) -> TeamAction:
    try:
        async with asyncio.timeout(_READ_SECONDS):
            said = codec.loads(await request.read())
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the body took too long") from None
    except codec.NotJson:
        query.malformed("the body is not JSON")
    if not isinstance(said, dict):
        query.malformed("the JSON is not an object")
    if named := [name for name in _IDS if name in said]:
        query.malformed(f"`{named[0]}`: the case is named by the path")
    if said.get("action") in _NOT_HERE:
        query.malformed("this action is not about one case")
    try:
        return action_of({"action_id": uuid.uuid4().hex} | said | {"case_id": case_id})
    except NoAction as error:
        query.malformed(str(error))


def _said(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)
