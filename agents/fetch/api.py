"""The HTTP client of a platform's API: an answer, or why there is none."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import aiohttp
from yarl import URL

from npsflow.agents.platforms.protocol import Answers, Permanent, TokenRefused, Transient
from npsflow.agents.web.rate_limit import RateLimit
from npsflow.agents.web.retry_after import LONGEST, retry_after
from npsflow.schemas import codec

TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
MAX_BYTES = 16 << 20
"""Of an answer."""

_CLOSED = 60.0  # seconds, where it does not say how long it is closed
_PART = re.compile(r"[\w-]+", re.ASCII)
_PASSING = {408, 425, 429}


class HttpApi:
    """The API for one account.

    `base`: its address; `per_minute`: requests that are allowed; `token()` is called before each request, as the token
    may have been renewed, and may raise OSError; `clock()` in seconds since 1970. `timeout` and `max_bytes` limit an
    answer.
    """

    timeout = TIMEOUT
    max_bytes = MAX_BYTES

    def __init__(
        self,
        session: aiohttp.ClientSession,
        answers: Answers,
        base: str,
        per_minute: float,
        token: Callable[[], str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._session, self._answers, self._base, self._token = session, answers, base.rstrip("/"), token
        self._limit, self._clock = RateLimit(per_minute / 60), clock
        self.open_at = 0.0
        """Seconds since 1970: no request is answered before."""

    async def get(self, *path: str, **query: str) -> dict[str, Any]:
        """The JSON object at this path. Raises TokenRefused, Transient or Permanent."""
        if not all(_PART.fullmatch(part) for part in path):
            raise Permanent("an id is none that this platform gives")  # it might lead to another place of the API
        await self._wait_for_limit()
        try:
            headers = self._answers.token(self._token())
        except OSError as error:
            raise self._refused(f"the token cannot be read: {type(error).__name__}") from None
        request = self._session.get(
            URL("/".join((self._base, *path))),
            params=query,
            headers=headers,
            allow_redirects=False,  # they would take the token with them
            timeout=self.timeout,
        )
        try:
            async with request as answer:
                return await self._read(answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Transient(f"it does not answer: {type(error).__name__}") from None

    async def _wait_for_limit(self) -> None:
        wait = self._limit.wait("", time.monotonic())
        while wait:  # others may be first
            await asyncio.sleep(wait)
            wait = self._limit.wait("", time.monotonic())

    async def _read(self, answer: aiohttp.ClientResponse) -> dict[str, Any]:
        used_up = self._answers.used_up(answer.headers)
        self._close(used_up)
        status = answer.status
        if status in (401, 403):
            raise self._refused(f"it refuses the token ({status})")
        if status in _PASSING or status >= 500:
            seconds = retry_after(answer.headers.get("Retry-After", ""), self._clock()) or used_up
            if status == 429:
                seconds = seconds or _CLOSED
                self._close(seconds)
            raise Transient(f"it answers {status}", seconds)
        if status >= 400:
            raise Permanent(f"it answers {status}")
        if status != 200:
            raise Transient(f"it answers {status}: see whether `api` is its address")
        return await self._json(answer)

    def _refused(self, why: str) -> TokenRefused:
        self._close(_CLOSED)
        return TokenRefused(why, _CLOSED)

    def _close(self, seconds: float) -> None:
        self.open_at = max(self.open_at, self._clock() + min(seconds, LONGEST)) if seconds > 0 else self.open_at

    async def _json(self, answer: aiohttp.ClientResponse) -> dict[str, Any]:
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > self.max_bytes:
                raise Permanent(f"its answer is larger than {self.max_bytes >> 20} MiB")
        try:
            value = codec.loads_lenient(bytes(body))
        except codec.NotJson:
            raise Transient("its answer is not JSON") from None
        if not isinstance(value, dict):
            raise Transient("its answer is no JSON object")
        return value
