"""What HTTP's answers mean for a message, whoever gives them."""

import time
from collections.abc import Mapping

import aiohttp

from npsflow.agents.notify.kind import SECONDS, Again, Never, Result, Unknown
from npsflow.agents.notify.ssrf_guard import NotAllowed
from npsflow.agents.web.retry_after import retry_after

TIMEOUT = aiohttp.ClientTimeout(total=SECONDS, connect=SECONDS / 2)
_CONTENT = {400, 413, 422}  # said of what was sent; all else may be mended without changing it
_CLOSED = 60.0  # seconds, where it does not say how long it lets nobody in


def failed(status: int, headers: Mapping[str, str]) -> Result:
    """An answer that is no success: whether it passes, and how long to wait."""
    seconds = retry_after(headers.get("Retry-After", ""), time.time())
    if status in (401, 403):
        return Again(f"it refuses our secret ({status})", seconds or _CLOSED, everybody=True)
    if status in (429, 503):
        return Again(f"it answers {status}", seconds, everybody=seconds > 0)
    return Never(f"it answers {status}") if status in _CONTENT else Again(f"it answers {status}", seconds)


def unanswered(error: BaseException) -> Result:
    """No answer at all, or none that can be trusted to be one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NotAllowed):
            return Again(str(cause))  # a setting or a name that can be mended
        cause = cause.__cause__
    if isinstance(error, ValueError):  # aiohttp's InvalidURL is one, too
        return Again("its address is none")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Again("nobody answers there")
    return Unknown(f"it gives no answer: {type(error).__name__}")
