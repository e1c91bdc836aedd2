"""What stands before every endpoint: it limits and counts requests, and shows senders no error of ours."""

import logging
import time
from collections.abc import Awaitable, Callable, Container
from typing import NamedTuple

from aiohttp import web
from prometheus_client import Counter

from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.web.answers import retry_answer, text_answer
from npsflow.agents.web.connections import ConnectionLimiter, connection_of
from npsflow.agents.web.rate_limit import RateLimit

log = logging.getLogger(__name__)

MAX_BODY = 1 << 20
"""Bytes of a body, as it is sent; a compressed one is not accepted."""

_LOG_EVERY = 60.0  # seconds, of one outcome at one entrance
_NOT_LOGGED = {"accepted", "no_score", "ignored", "handshake", "failed", "kafka_away"}
"""All is well, or it is logged where it happens."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Answer(NamedTuple):
    """What became of a request, see Metrics, and what it is answered; `reason` for the log, without anything of it."""

    outcome: str
    response: web.Response
    reason: str = ""


def no_entrance() -> Answer:
    """The answer where no entrance is."""
    return Answer("unknown", text_answer(404, "there is no such entrance"))


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
    async def elsewhere(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Any path without a page is no entrance."""
        try:
            return await handler(request)
        except web.HTTPNotFound:
            outcome, response, _ = no_entrance()
            self._note("unknown", outcome, "")
            return response

    async def limited(
        self, request: web.Request, name: str, handler: Callable[[], Awaitable[Answer]]
    ) -> web.StreamResponse:
        """What the handler answers a request at this entrance, if it may go on; counted and logged."""
        began, outcome, reason = time.monotonic(), "failed", ""
        self._at_once += 1
        try:
            outcome, response, reason = self._refusal(request, name, began) or await handler()
            return response
        except web.HTTPException as error:
            outcome = "too_large" if error.status == 413 else "malformed"
            return text_answer(error.status, error.reason)
        except web.RequestPayloadError:
            outcome = "malformed"
            return text_answer(400, "the body cannot be read")
        except ConnectionError:
            outcome = "gone"
            return text_answer(400, "the body ended too early")  # nobody hears it
        except Exception as error:
            log.error("a request failed: please report this", extra={"intake": name, "error": type(error).__name__})
            return text_answer(500, "our mistake, please send it again")
        finally:
            self._at_once -= 1
            self._note("unknown" if outcome == "unknown" else name, outcome, reason)
            self._metrics.latency.observe(time.monotonic() - began)

    def _note(self, entrance: str, outcome: str, reason: str) -> None:
        self._count(entrance, outcome)
        if outcome not in _NOT_LOGGED:
            self._log(entrance, outcome, reason)

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

    def _refusal(self, request: web.Request, name: str, now: float) -> Answer | None:
        """The answer to a request that is refused before its body is read, None if it is not."""
        if name not in self._names:
            return no_entrance()
        if self._at_once > self._limits.at_once:
            return Answer("busy", retry_answer(503, "too many requests at once"))
        if wait := self._rate.wait(self._sender(request), now):
            return Answer("limited", retry_answer(429, "too many requests", int(wait) + 1))
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return Answer("compressed", text_answer(415, "the body must not be compressed"))
        if (request.content_length or 0) > MAX_BODY:
            return Answer("too_large", text_answer(413, f"a body may have {MAX_BODY} bytes"))
        return None

    def _sender(self, request: web.Request) -> str:
        connection = connection_of(request)
        if not connection.is_proxy:
            return connection.sender
        return self._senders.identify(connection.peer, request.headers.getall("X-Forwarded-For", ()))
