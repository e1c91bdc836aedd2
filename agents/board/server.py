"""The web server of the board: cases, and actions on them, for those who have the token."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn, get_args

from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from npsflow.agents.acting import NoAction, action_of, send
from npsflow.agents.board.metrics import Metrics
from npsflow.agents.casebook import Casebook
from npsflow.agents.intake.signing import matches
from npsflow.schemas import codec
from npsflow.schemas.cases import Kind, TeamAction
from npsflow.streams.recovery.standing import Standing, Wanted
from npsflow.streams.settings import Where
from npsflow.streams.web import routes

log = logging.getLogger(__name__)

MAX_BODY = 64 << 10
_READ_SECONDS = 10.0
_KAFKA_SECONDS = 4.0
_MOST_LISTED = 1000
_RETRY_AFTER = {"Retry-After": "5"}
_TRUTHS = {"1": True, "true": True, "0": False, "false": False}
_IDS = ("case_id", "alert_id", "follow_up_id")
_NOT_HERE = ("fixed", "forget")  # they are about more than one case
_JSON = "application/json"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """`secrets` are the tokens that hold now, two while one replaces the other; `patience` in seconds, for ?wait=1."""

    def __init__(
        self,
        book: Casebook,
        producer: AIOKafkaProducer,
        where: Where,
        secrets: Sequence[str],
        metrics: Metrics,
        patience: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._book, self._producer, self._where, self._secrets = book, producer, where, secrets
        self._metrics, self._patience, self._clock = metrics, patience, clock
        self.app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guard])
        self.app.router.add_routes(routes(metrics.registry, lambda: book.ready, "reading"))
        self.app.router.add_get("/cases", self._list)
        self.app.router.add_get("/cases/{id}", self._show)
        self.app.router.add_post("/cases/{id}/actions", self._act)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every answer is JSON, no mistake of ours shows, and all that is about customers needs the token."""
        resource = request.match_info.route.resource
        page = resource.canonical if resource is not None else "unknown"
        try:
            answer = self._turned_away(request) or await handler(request)
        except web.HTTPException as error:
            answer = _said(error.status, error.text or error.reason)
            answer.headers.update({name: error.headers[name] for name in ("Allow",) if name in error.headers})
        except Exception as error:
            log.error("a request failed: please report this", extra={"page": page, "error": type(error).__name__})
            answer = _said(500, "our mistake")
        self._metrics.requests.labels(page, str(answer.status)).inc()
        return answer

    def _turned_away(self, request: web.Request) -> web.Response | None:
        if not request.path.startswith("/cases"):
            return None
        given = request.headers.get("Authorization", "")
        if not matches(given, self._secrets, lambda secret: f"Bearer {secret}"):
            answer = _said(401, "the bearer token is missing or wrong")
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        return None if self._book.ready else _said(503, "cases are still being read", _RETRY_AFTER)

    async def _list(self, request: web.Request) -> web.Response:
        wanted, limit = _wanted(request.query)
        found = self._book.cases.listed(wanted, int(self._clock() * 1000))
        cases = b",".join(one.packed for one in found[:limit])
        return web.Response(body=b'{"cases":[%b],"total":%d}' % (cases, len(found)), content_type=_JSON)

    async def _show(self, request: web.Request) -> web.Response:
        return web.Response(body=self._found(request).packed, content_type=_JSON)

    def _found(self, request: web.Request) -> Standing:
        one = self._book.cases.find(request.match_info["id"])
        if one is None:
            raise web.HTTPNotFound(text="there is no such case")
        return one

    async def _act(self, request: web.Request) -> web.Response:
        one, waits = self._found(request), _truth(request.query.get("wait", "0"), "wait")
        action = await _action(request, one.case_id)
        accepted = {"action_id": action.action_id}
        try:
            async with asyncio.timeout(_KAFKA_SECONDS):
                await send(self._producer, self._where, one.key, one.partition, action)
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
        _malformed("the body is not JSON")
    if not isinstance(said, dict):
        _malformed("the JSON is not an object")
    if named := [name for name in _IDS if name in said]:
        _malformed(f"`{named[0]}`: the case is named by the path")
    if said.get("action") in _NOT_HERE:
        _malformed("this action is not about one case")
    try:
        return action_of({"action_id": uuid.uuid4().hex} | said | {"case_id": case_id})
    except NoAction as error:
        _malformed(str(error))


def _wanted(query: Mapping[str, str]) -> tuple[Wanted, int]:
    """What is asked for, and how many at most."""
    given: dict[str, Any] = dict(query)
    limit = given.pop("limit", "100")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:5]) <= _MOST_LISTED):
        _malformed(f"limit is a number from 1 to {_MOST_LISTED}")
    if unknown := given.keys() - {"open", "overdue", "owner", "department", "kind"}:
        _malformed(f"there is no `{sorted(unknown)[0]}` to ask for" if len(unknown) == 1 else "unknown questions")
    if given.get("kind", "recovery") not in get_args(Kind):
        _malformed(f"kind is one of {', '.join(get_args(Kind))}")
    given |= {name: _truth(given[name], name) for name in ("open", "overdue") if name in given}
    return Wanted(**given), int(limit)


def _truth(text: str, name: str) -> bool:
    if text not in _TRUTHS:
        _malformed(f"{name} is 1 or 0")
    return _TRUTHS[text]


def _malformed(why: str) -> NoReturn:
    raise web.HTTPBadRequest(text=why)


def _said(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)
