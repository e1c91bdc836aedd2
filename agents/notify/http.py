"""What an HTTP answer means for a message, whoever gives it."""

import time
from collections.abc import Mapping

import aiohttp

from npsflow.agents.notify.kind import SEND_SECONDS, Rejected, Result, RetryLater, Unconfirmed
from npsflow.agents.notify.ssrf_guard import NotAllowed
from npsflow.agents.web.retry_after import retry_after

TIMEOUT = aiohttp.ClientTimeout(total=SEND_SECONDS, connect=SEND_SECONDS / 2)
_REJECTS_CONTENT = {400, 413, 422}  # all other errors may go away without a change to the message
_CLOSED = 60.0  # seconds to wait after a refused secret, where the answer names no time


def failed(status: int, headers: Mapping[str, str]) -> Result:
    """The result of an answer that is no success."""
    seconds = retry_after(headers.get("Retry-After", ""), time.time())
    if status in (401, 403):
        return RetryLater(f"it refuses our secret ({status})", seconds or _CLOSED, pause_all=True)
    if status in (429, 503):
        return RetryLater(f"it answers {status}", seconds, pause_all=seconds > 0)
    if status in _REJECTS_CONTENT:
        return Rejected(f"it answers {status}")
    return RetryLater(f"it answers {status}", seconds)


def unanswered(error: BaseException) -> Result:
    """The result where aiohttp raises `error` in place of an answer."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NotAllowed):
            return RetryLater(str(cause))  # a setting or a name that can be mended
        cause = cause.__cause__
    if isinstance(error, ValueError):  # aiohttp's InvalidURL is one, too
        return RetryLater("its address is none")
    if isinstance(error, aiohttp.ClientConnectorError):
        return RetryLater("nobody answers there")
    return Unconfirmed(f"it gives no answer: {type(error).__name__}")
