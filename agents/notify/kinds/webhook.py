"""Any HTTPS address: a POST that is signed as Standard Webhooks 1.0.0 ask for.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import time
from base64 import b64decode
from binascii import Error
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
from msgspec import Struct
from yarl import URL

from npsflow.agents.notify.http import TIMEOUT, failed, host_and_port, unanswered, words_of
from npsflow.agents.notify.kind import Delivered, Disabled, Kind, Rejected, Result, RetryLater, Unavailable
from npsflow.agents.notify.ssrf_guard import NotAllowed, PublicResolver, expect_allowed
from npsflow.agents.web.signatures import standard_webhook
from npsflow.schemas import codec
from npsflow.streams.notify.message import Message
from npsflow.streams.notify.payload import fit

_MAX_BODY = 20_000  # bytes; the specification advises less than 20 kB
_PREFIX = "whsec_"
_ENVELOPE = 500  # bytes of it for type, timestamp and braces


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """`internal`: the address may be one of our own network, and without TLS."""

    internal: bool = False


class Webhook:
    """`secrets`: each signs, so that a receiver can change from one to the next. `clock` in seconds."""

    def __init__(
        self, session: aiohttp.ClientSession, options: Options, secrets: Sequence[str], clock: Callable[[], float]
    ) -> None:
        self._session, self._options, self._secrets, self._clock = session, options, secrets, clock

    async def send(self, message: Message) -> Result:
        """Post it, signed; redirects are not followed."""
        body, stamp = _body(message), str(int(self._clock()))
        signed = [standard_webhook(secret, message.id, stamp, body) for secret in self._secrets]
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(signed),
        }
        try:
            url = URL(message.to)
            expect_allowed(url, internal=self._options.internal)
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False, timeout=TIMEOUT
            ) as answer:
                status, answered = answer.status, answer.headers
                words = "" if 200 <= status < 300 else await words_of(answer)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return unanswered(error)
        if 200 <= status < 300:
            return Delivered(message.id)
        if status == 410:
            return Disabled("it answers 410: it wants nothing any more", f"410 {words}".strip())
        return _of_this_address(failed(status, answered, words))

    def receiver(self, address: str) -> str:
        """Host and port of its URL."""
        try:
            return host_and_port(URL(address))
        except ValueError:
            return ""


def _of_this_address(result: Result) -> Result:
    """An answer says something about its URL, not about others of the host. Everything may be mended there."""
    match result:
        case RetryLater(concerns="receiver") | Unavailable():
            return result._replace(concerns="address")
        case Rejected(reason, words):
            return RetryLater(reason, words=words)
    return result


def _body(message: Message) -> bytes:
    whole = {"type": message.type, "timestamp": message.at}
    data = {"title": message.title} | dict(message.data)
    return codec.dumps(whole | {"data": fit(data, _MAX_BODY - _ENVELOPE)})


@asynccontextmanager
async def _open(options: Options, secrets: Sequence[str]) -> AsyncIterator[Webhook]:
    connector = aiohttp.TCPConnector(resolver=None if options.internal else PublicResolver())
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Webhook(session, options, secrets, time.time)


def _secret_fits(secret: str) -> bool:
    """As the specification asks. Intake takes other secrets too, which platforms have made."""
    try:
        return secret.startswith(_PREFIX) and 24 <= len(b64decode(secret.removeprefix(_PREFIX), validate=True)) <= 64
    except Error:
        return False


def _address_problem(options: Options, address: str) -> str:
    try:
        url = URL(address)
        if url.scheme not in ("https", "http") or not url.host:
            return "is no URL"
        expect_allowed(url, internal=options.internal)
    except ValueError:
        return "is no URL"
    except NotAllowed as error:
        return f"is not allowed: {error}"
    return ""


KIND = Kind(
    Options,
    _open,
    "whsec_ and base64 of 24 to 64 bytes, as `echo whsec_$(openssl rand -base64 32)` makes",
    secret_fits=_secret_fits,
    two_secrets=True,
    address="its URL",
    address_problem=_address_problem,
    per_second=100.0,
    separate_addresses=True,
)
