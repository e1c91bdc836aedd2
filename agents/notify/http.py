"""What an HTTP answer means for a message, whoever gives it."""

import os
import time
from collections.abc import Mapping

import aiohttp
from yarl import URL

from npsflow.agents.notify.kind import SEND_SECONDS, Rejected, Result, RetryLater, Unavailable, Unconfirmed
from npsflow.agents.notify.ssrf_guard import NotAllowed
from npsflow.agents.web.retry_after import retry_after

TIMEOUT = aiohttp.ClientTimeout(total=SEND_SECONDS, connect=SEND_SECONDS / 2)
_REJECTS_CONTENT = {400, 413, 422}
_ABOUT_IT = {409, 423, 425}  # the message comes too soon, or together with another
_CLOSED = 60.0  # seconds to wait after a refused secret, where the answer names no time
_MOST_WORDS = 300  # characters of an answer


def failed(status: int, headers: Mapping[str, str], words: str = "") -> Result:
    """The result of an answer that is no success; `words`: what it says."""
    seconds = retry_after(headers.get("Retry-After", ""), time.time())
    words = f"{status} {_one_line(words)}".strip()
    if status in (401, 403, 407):
        reason = f"it refuses our secret ({status}): set the right one and start again"
        return Unavailable(reason, seconds or _CLOSED, words=words)
    if status == 429:
        return Unavailable("it says that this is too much (429)", seconds, words=words)
    if status == 503 and seconds:
        return Unavailable("it takes nothing for now (503)", seconds, words=words)
    if status in _REJECTS_CONTENT:
        return Rejected(f"it answers {status}", words)
    return RetryLater(f"it answers {status}", seconds, "message" if status in _ABOUT_IT else "receiver", words)


def unanswered(error: BaseException) -> Result:
    """The result where aiohttp raises `error` in place of an answer."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NotAllowed):
            return Unavailable(str(cause))  # a setting or a name that can be mended
        cause = cause.__cause__
    words = _one_line(str(error)) if isinstance(error, aiohttp.ClientConnectorError) else ""  # others name the URL
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Unavailable("its certificate is not trusted", words=words)
    if isinstance(error, aiohttp.ClientSSLError):
        return Unavailable("it cannot be reached: no TLS", words=words)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unavailable("it cannot be reached: its name is not known", words=words)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unavailable(f"it cannot be reached: {in_words(error.os_error)}", words=words)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Unavailable("it cannot be reached: it does not answer in time")
    if isinstance(error, ValueError):  # aiohttp's InvalidURL is one, too
        return Unavailable("its address is none", concerns="address")
    return Unconfirmed(f"it gives no answer: {type(error).__name__}")


def in_words(error: BaseException) -> str:
    """Why there is no connection, in the words of the system."""
    number = error.errno if isinstance(error, OSError) and error.errno else 0
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return os.strerror(number).lower() if number > 0 else type(error).__name__


async def words_of(answer: aiohttp.ClientResponse) -> str:
    """What an answer that is no success says, as far as it is text and soon there."""
    try:
        return (await answer.content.read(4 * _MOST_WORDS)).decode(errors="replace")
    except (aiohttp.ClientError, TimeoutError, OSError):
        return ""


def host_and_port(url: URL) -> str:
    """Where a URL leads, without what may be secret in it."""
    return f"{url.host}:{url.port}"


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_MOST_WORDS]
