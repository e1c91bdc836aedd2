"""The web application of the board: cases, their report, and actions on them, for those who have a token."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import web
from aiokafka.errors import KafkaError

from npsflow.agents.board import query
from npsflow.agents.board.metrics import Metrics
from npsflow.agents.cases.actions import Actor, InvalidAction, parse_action
from npsflow.agents.cases.reader import CaseReader
from npsflow.agents.kafka.diagnosis import FORBIDDEN, KafkaFailed, forbidden
from npsflow.agents.web.signatures import matches
from npsflow.schemas import codec
from npsflow.schemas.cases import TeamAction
from npsflow.schemas.times import rfc3339
from npsflow.streams.engine.health import Health, routes
from npsflow.streams.recovery.case_index import ListedCase, position
from npsflow.streams.recovery.report import as_json, report

log = logging.getLogger(__name__)

MAX_BODY = 256 << 10
"""Bytes: enough for the longest comment with every character escaped."""

STALE_SINCE = "Npsflow-Stale-Since"
"""The header of answers that are older than they look: since then Kafka is away."""

_READ_SECONDS = 10.0
_KAFKA_SECONDS = 4.0
_RETRY_AFTER = {"Retry-After": "5"}
_IDS = ("case_id", "alert_id", "follow_up_id")
_NOT_ABOUT_A_CASE = ("fixed", "forget")
_JSON = "application/json"
_HELP = "send the header Authorization: Bearer TOKEN; the token is in NPSFLOW_SECRET_BOARD where the board runs"
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>npsflow board</title>
<h1>The board of npsflow</h1>
<p>It serves cases as JSON to programs that show a token. A browser cannot send it.</p>
<pre>curl -H "Authorization: Bearer TOKEN" "http://HOST:PORT/cases?open=1&amp;kind=unhappy"</pre>
<p>TOKEN is what NPSFLOW_SECRET_BOARD holds where the board runs: ask whoever runs it.
In a terminal that reaches Kafka, <code>npsflow cases</code> shows the same.</p>
"""
_NO_STORE = {"Cache-Control": "no-store"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """`tokens`: each is valid. `patience`: seconds that ?wait=1 waits. `clock` in seconds.

    Serve `app` with a connection limiter.
    """

    def __init__(
        self,
        reader: CaseReader,
        actor: Actor,
        tokens: Sequence[str],
        metrics: Metrics,
        patience: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reader, self._actor, self._tokens = reader, actor, tokens
        self._metrics, self._patience, self._clock = metrics, patience, clock
        self.app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guard])
        limit, silent_for = actor.installation.session_ms / 1000, reader.contact.silent_for
        self._health = Health(lambda: reader.ready, "reading", limit, silent_for)
        open_routes = routes(metrics.registry, self._health)
        self._open = {route.path for route in open_routes}
        self.app.router.add_routes(open_routes)
        self.app.router.add_get("/cases", self._list)
        self.app.router.add_get("/cases/report", self._report)
        self.app.router.add_get("/cases/{id}", self._show)
        self.app.router.add_post("/cases/{id}/actions", self._act)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Ask for the token, and turn every error into JSON without details."""
        resource = request.match_info.route.resource
        page = resource.canonical if resource is not None else "unknown"
        try:
            answer = self._refuse(request, page) or await handler(request)
        except web.HTTPException as error:
            answer = _error(error.status, error.text or error.reason)
            answer.headers.update({name: error.headers[name] for name in ("Allow",) if name in error.headers})
        except (web.RequestPayloadError, ConnectionError):
            answer = _error(400, "the body cannot be read")
        except Exception as error:
            log.error("a request failed: please report this", extra={"page": page, "error": type(error).__name__})
            answer = _error(500, "our mistake")
        if page not in self._open:
            answer.headers.update(_NO_STORE)
            if stale := self._stale_since():
                answer.headers[STALE_SINCE] = stale
        self._metrics.requests.labels(page, str(answer.status)).inc()
        return answer

    def _refuse(self, request: web.Request, page: str) -> web.Response | None:
        if page in self._open:
            return None
        authorization = request.headers.get("Authorization", "")
        if not matches(authorization, self._tokens, lambda token: f"Bearer {token}"):
            return _without_token(request)
        return None if self._reader.ready else _error(503, "cases are still being read", _RETRY_AFTER)

    async def _list(self, request: web.Request) -> web.Response:
        fields = dict(request.query)
        limit, after = query.parse_limit(fields.pop("limit", "100")), query.parse_cursor(fields.pop("after", ""))
        matching = self._reader.cases.select(query.parse_filter(fields), self._now())
        rest = matching if after is None else [listed for listed in matching if position(listed) > after]
        cases, more = b",".join(listed.packed for listed in rest[:limit]), b""
        if len(rest) > limit:
            more = b',"next":%b' % codec.dumps(query.cursor(rest[limit - 1]))
        if stale := self._stale_since():
            more += b',"stale_since":%b' % codec.dumps(stale)
        return web.Response(body=b'{"cases":[%b]%b,"total":%d}' % (cases, more, len(matching)), content_type=_JSON)

    async def _report(self, request: web.Request) -> web.Response:
        now = self._now()
        matching = self._reader.cases.select(query.parse_filter(dict(request.query)), now)
        # With many cases it takes seconds; other requests are answered meanwhile.
        body = await asyncio.to_thread(lambda: as_json(report((listed.record() for listed in matching), now)))
        return web.Response(body=body, content_type=_JSON)

    async def _show(self, request: web.Request) -> web.Response:
        return web.Response(body=self._find(request).packed, content_type=_JSON)

    def _stale_since(self) -> str:
        """Since when nothing new was heard, in RFC 3339; "" while Kafka answers."""
        health = self._health
        return rfc3339(self._now() - int(health.silent_for() * 1000)) if health.silent else ""

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _find(self, request: web.Request) -> ListedCase:
        listed = self._reader.cases.find(request.match_info["id"])
        if listed is None:
            raise web.HTTPNotFound(text="there is no such case")
        return listed

    async def _act(self, request: web.Request) -> web.Response:
        listed, waits = self._find(request), query.parse_bool(request.query.get("wait", "0"), "wait")
        action = await _read_action(request, listed.case_id)
        accepted = {"action_id": action.action_id}
        try:
            async with asyncio.timeout(_KAFKA_SECONDS):
                await self._actor.send(listed.key, listed.partition, action)
        except FORBIDDEN as error:
            log.error("%s", forbidden(error))
            text = "this board may not send actions: whoever runs it finds in its log what to allow"
            return web.json_response(accepted | {"error": text}, status=500)
        except (KafkaError, KafkaFailed, TimeoutError) as error:
            log.warning("an action could not be kept", extra={"error": type(error).__name__})
            # Kafka may have it or not; sent again under this id it counts once.
            text = "it cannot be kept just now, send it again with this action_id"
            return web.json_response(accepted | {"error": text}, status=503, headers=_RETRY_AFTER)
        if not waits:
            return web.json_response(accepted, status=202)
        try:
            async with asyncio.timeout(self._patience):
                entry = await self._reader.wait_for_outcome(listed.case_id, action.action_id)
        except TimeoutError:
            return web.json_response(accepted | {"status": "nothing came of it yet"}, status=202)
        now = self._reader.cases.find(listed.case_id) or listed
        if entry.what == "action_refused":
            refused = {"error": "refused", "reason": entry.reason, "status": now.status}
            return web.json_response(accepted | refused, status=409)
        return web.Response(body=now.packed, content_type=_JSON)


def _without_token(request: web.Request) -> web.Response:
    """What to do about it: a browser gets a page, as it cannot send the token."""
    challenge = {"WWW-Authenticate": "Bearer"}
    if "text/html" in request.headers.get("Accept", ""):
        return web.Response(status=401, text=_PAGE, content_type="text/html", headers=challenge)
    error = {"error": "the bearer token is missing or wrong", "help": _HELP}
    return web.json_response(error, status=401, headers=challenge)


async def _read_action(request: web.Request, case_id: str) -> TeamAction:
    """Raises HTTPBadRequest, HTTPRequestTimeout."""
    try:
        async with asyncio.timeout(_READ_SECONDS):
            body = codec.loads(await request.read())
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the body took too long") from None
    except codec.NotJson:
        query.bad_request("the body is not JSON")
    if not isinstance(body, dict):
        query.bad_request("the JSON is not an object")
    if named := [name for name in _IDS if name in body]:
        query.bad_request(f"`{named[0]}`: the case is named by the path")
    if body.get("action") in _NOT_ABOUT_A_CASE:
        query.bad_request("this action is not about one case")
    try:
        return parse_action({"action_id": uuid.uuid4().hex} | body | {"case_id": case_id})
    except InvalidAction as error:
        query.bad_request(str(error))


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)
