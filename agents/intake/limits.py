"""The middleware before every endpoint: it limits and counts requests, and shows senders no error of ours."""

import logging
import time
from collections.abc import Awaitable, Callable, Container

from aiohttp import web
from prometheus_client import Counter

from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.web.answers import retry_answer, text_answer
from npsflow.agents.web.connections import Connection, ConnectionLimiter, connection_of
from npsflow.agents.web.rate_limit import RateLimit

log = logging.getLogger(__name__)

MAX_BODY = 1 << 20
"""Bytes of a body, as it is sent; a compressed one is not accepted."""

OUTCOME = web.RequestKey("outcome", str)
"""Set by the handler: the outcome of a request, see Metrics."""
REASON = web.RequestKey("reason", str)
"""Set by the handler for the log: why a request is refused, without anything of it."""

_LOG_EVERY = 60.0  # seconds, of one outcome at one entrance
_NOT_LOGGED = {"accepted", "no_score", "ignored", "handshake", "failed", "kafka_away"}
"""All is well, or it is logged where it happens."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def no_entrance(request: web.Request) -> web.Response:
    """The answer where no entrance is."""
    request[OUTCOME] = "unknown"
    return text_answer(404, "there is no such entrance")


class RequestLimits:
    """`names`: of all endpoints."""

    def __init__(self, names: Container[str], limiter: ConnectionLimiter[Metrics]) -> None:
        self._names, self._limits, self._metrics, self._senders = (
            names,
            limiter.limits,
            limiter.metrics,
            limiter.senders,
        )
        self._rate, self._at_once = RateLimit(limiter.limits.rate), 0
        self._counters: dict[tuple[str, str], Counter] = {}
        self._log_again: dict[tuple[str, str], float] = {}

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Notes on the connection how far its request is. Limits hold for endpoints, not for health and metrics."""
        connection = connection_of(request)
        connection.request_started()
        try:
            name = request.match_info.get("name")
            if name is None:
                return await self._elsewhere(request, handler)
            return await self._limited(request, handler, name, self._sender(request, connection))
        finally:
            connection.request_finished()

    async def _elsewhere(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Health and metrics; any other path is no entrance."""
        try:
            return await handler(request)
        except web.HTTPNotFound:
            self._count("unknown", "unknown")
            self._log("unknown", "unknown", "")
            return no_entrance(request)

    def _sender(self, request: web.Request, connection: Connection) -> str:
        if not connection.is_proxy:
            return connection.sender
        return self._senders.identify(connection.peer, request.headers.getall("X-Forwarded-For", ()))

    async def _limited(self, request: web.Request, handler: Handler, name: str, sender: str) -> web.StreamResponse:
        began = time.monotonic()
        self._at_once += 1
        request[OUTCOME] = "failed"
        try:
            return self._refusal(request, name, sender, began) or await handler(request)
        except web.HTTPException as error:
            request[OUTCOME] = "too_large" if error.status == 413 else "malformed"
            return text_answer(error.status, error.reason)
        except web.RequestPayloadError:
            request[OUTCOME] = "malformed"
            return text_answer(400, "the body cannot be read")
        except ConnectionError:
            request[OUTCOME] = "gone"
            return text_answer(400, "the body ended too early")  # nobody hears it
        except Exception as error:
            log.error("a request failed: please report this", extra={"intake": name, "error": type(error).__name__})
            return text_answer(500, "our mistake, please send it again")
        finally:
            self._at_once -= 1
            known = "unknown" if request[OUTCOME] == "unknown" else name
            self._count(known, request[OUTCOME])
            if request[OUTCOME] not in _NOT_LOGGED:
                self._log(known, request[OUTCOME], request.get(REASON, ""))
            self._metrics.latency.observe(time.monotonic() - began)

    def _count(self, entrance: str, outcome: str) -> None:
        counter = self._counters.get((entrance, outcome))
        if counter is None:  # to find it takes prometheus_client as long as all else that is counted
            counter = self._counters[entrance, outcome] = self._metrics.requests.labels(entrance, outcome)
        counter.inc()

    def _log(self, entrance: str, outcome: str, reason: str) -> None:
        """At most once a minute: whoever sends what is refused goes on sending it."""
        now = time.monotonic()
        if now >= self._log_again.get((entrance, outcome), 0.0):
            self._log_again[entrance, outcome] = now + _LOG_EVERY
            extra = {"intake": entrance, "outcome": outcome} | ({"why": reason} if reason else {})
            text = "a webhook is kept, but not understood" if outcome == "unmapped" else "a webhook is not accepted"
            log.warning(text, extra=extra)

    def _refusal(self, request: web.Request, name: str, sender: str, now: float) -> web.Response | None:
        """The answer to a request that is refused before its body is read, None if it is not."""
        if name not in self._names:
            return no_entrance(request)
        if self._at_once > self._limits.at_once:
            request[OUTCOME] = "busy"
            return retry_answer(503, "too many requests at once")
        if wait := self._rate.wait(sender, now):
            request[OUTCOME] = "limited"
            return retry_answer(429, "too many requests", int(wait) + 1)
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            request[OUTCOME] = "compressed"
            return text_answer(415, "the body must not be compressed")
        if (request.content_length or 0) > MAX_BODY:
            request[OUTCOME] = "too_large"
            return text_answer(413, f"a body may have {MAX_BODY} bytes")
        return None
