"""A platform's API, asked for the answers that its event does not hold: data, or one of the ways to get none.

Unanswered
├── Later               something stands in the way that may pass
│   └── TokenRefused    it does not let us in: a person has to look
└── Never               what was asked for is not there, and will not be
"""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from yarl import URL

from npsflow.agents.web.rate_limit import RateLimit
from npsflow.schemas import codec
from npsflow.streams.intake.mapping import Submission

_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
_MOST = 16 << 20  # bytes of an answer
_CLOSED = 60.0  # seconds, where it does not say how long it lets nobody in
_LONGEST = 86_400.0
_PART = re.compile(r"[\w-]+", re.ASCII)
_PASSING = {408, 425, 429}


class Unanswered(Exception):
    """No data. The text holds nothing of what was asked or answered, and no token."""

    outcome = "failed"


class Later(Unanswered):
    """`seconds`: how long at least to wait, where that is known."""

    outcome = "later"

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(why)
        self.seconds = seconds


class TokenRefused(Later):
    outcome = "refused"


class Never(Unanswered):
    outcome = "never"


def bearer_token(token: str) -> dict[str, str]:
    """As OAuth 2.0 has it (RFC 6750)."""
    return {"Authorization": f"Bearer {token}"}


def tells_nothing(headers: Mapping[str, str]) -> float:
    """Of a platform whose headers say nothing about its limits."""
    return 0.0


@dataclass(frozen=True, slots=True)
class Answers:
    """How a platform hands out answers.

    `base`: its address, empty where every account has one of its own. `per_minute`: requests that its documentation
    allows. `get(api, ids)`: all that it says of what an event named; raises Unanswered. `token`: the headers that carry
    one. `used_up(headers)`: seconds until it answers again, told by what it has just answered; 0 is at once.
    """

    base: str
    per_minute: int
    get: Callable[["Api", Mapping[str, str]], Coroutine[Any, Any, list[Submission]]]
    token: Callable[[str], dict[str, str]] = bearer_token
    used_up: Callable[[Mapping[str, str]], float] = tells_nothing


class Api:
    """One account of a platform. `token` is asked before each request: it may be renewed; `clock` in seconds."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        answers: Answers,
        base: str,
        per_minute: float,
        token: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._session, self._answers, self._base, self._token = session, answers, base.rstrip("/"), token
        self._limit, self._clock = RateLimit(per_minute / 60), clock
        self.open_at = 0.0
        """Before this time it lets nobody in."""

    async def get(self, *path: str, **query: str) -> dict[str, Any]:
        """The JSON object at this path. Raises Unanswered."""
        if not all(_PART.fullmatch(part) for part in path):
            raise Never("an id is none that this platform gives")  # it might lead to another place of the API
        while wait := self._limit.wait("", time.monotonic()):
            await asyncio.sleep(wait)
        try:
            headers = self._answers.token(self._token())
        except OSError as error:
            raise self._refused(f"the token cannot be read: {type(error).__name__}") from None
        # A token must not follow a redirect to who knows where.
        asking = self._session.get(
            URL("/".join((self._base, *path))), params=query, headers=headers, allow_redirects=False, timeout=_TIMEOUT
        )
        try:
            async with asking as answer:
                return await self._read(answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Later(f"it does not answer: {type(error).__name__}") from None

    async def _read(self, answer: aiohttp.ClientResponse) -> dict[str, Any]:
        used_up = self._answers.used_up(answer.headers)
        self._close(used_up)
        status = answer.status
        if status in (401, 403):
            raise self._refused(f"it refuses the token ({status})")
        if status in _PASSING or status >= 500:
            seconds = _retry_after(answer.headers.get("Retry-After", ""), self._clock()) or used_up
            if status == 429:
                seconds = seconds or _CLOSED
                self._close(seconds)
            raise Later(f"it answers {status}", seconds)
        if status >= 400:
            raise Never(f"it answers {status}")
        if status != 200:
            raise Later(f"it answers {status}: see whether `api` is its address")
        return await _json(answer)

    def _refused(self, why: str) -> TokenRefused:
        self._close(_CLOSED)
        return TokenRefused(why, _CLOSED)

    def _close(self, seconds: float) -> None:
        self.open_at = max(self.open_at, self._clock() + min(seconds, _LONGEST)) if seconds > 0 else self.open_at


async def _json(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _MOST:
            raise Never(f"its answer is larger than {_MOST >> 20} MiB")
    try:
        found = codec.loads(bytes(body))
    except codec.NotJson:
        raise Later("its answer is not JSON") from None
    if not isinstance(found, dict):
        raise Later("its answer is no JSON object")
    return found


def _retry_after(given: str, now: float) -> float:
    """Seconds, from a number of them or a date (RFC 9110, 10.2.3); 0 where it says neither."""
    if given.isascii() and given.isdigit():
        return min(float(given), _LONGEST)
    try:
        date = parsedate_to_datetime(given)
    except ValueError:
        return 0.0
    return min(max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now), _LONGEST)
