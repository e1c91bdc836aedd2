"""Slack's incoming webhooks, for teams without an app of their own: one channel, that of the URL, and no threads.

Source: docs.slack.dev, messaging/sending-messages-using-incoming-webhooks. The last line of a message is its
id, by which a repeated one can be told. Mattermost and Rocket.Chat take the same, and show `text` alone: all is in it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
from msgspec import Struct
from slack_sdk.webhook.async_client import AsyncWebhookClient
from slack_sdk.webhook.webhook_response import WebhookResponse
from yarl import URL

from npsflow.agents.notify.http import failed, host_and_port, unanswered
from npsflow.agents.notify.kind import SEND_SECONDS, Delivered, Kind, Result, Unavailable
from npsflow.agents.notify.kinds.slack import CURES, blocks, fallback, word
from npsflow.agents.notify.ssrf_guard import expect_tls
from npsflow.schemas.errors import SettingsError
from npsflow.streams.notify.message import Message

_CLOSED = 60.0  # seconds to wait at least: what is gone does not come back by itself


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """`internal`: the address may be without TLS, as that of a Mattermost in our own network."""

    internal: bool = False


class IncomingWebhook:
    """One channel, that of the URL."""

    def __init__(self, client: AsyncWebhookClient) -> None:
        self._client, self._receiver = client, host_and_port(URL(client.url))

    def receiver(self, _: str) -> str:
        """Host and port of the URL, whose path is secret."""
        return self._receiver

    async def send(self, message: Message) -> Result:
        """Post it."""
        try:
            answer = await self._client.send(
                text=fallback(message), blocks=blocks(message), unfurl_links=False, unfurl_media=False
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return unanswered(error)
        return Delivered() if answer.status_code == 200 else _refused(answer)


def _refused(answer: WebhookResponse) -> Result:
    """Errors are plain words: nearly all are about the webhook and its channel, not about the message."""
    status, code = answer.status_code, answer.body.strip()
    if code in CURES:
        return Unavailable(f"it refuses us ({status} {code}): {CURES[code]}", _CLOSED, words=f"{status} {code}")
    if status in (404, 410):
        return Unavailable(f"it answers {status}: make a new webhook", _CLOSED, words=f"{status} {word(code)}")
    return failed(status, answer.headers, code)


@asynccontextmanager
async def _open(options: Options, secrets: Sequence[str]) -> AsyncIterator[IncomingWebhook]:
    if not secrets[0].startswith(("https://", "http://")):
        raise SettingsError("the secret of an incoming webhook of Slack is its URL")
    if not options.internal:
        expect_tls("the secret", secrets[0], "`options.internal` allows it")
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=SEND_SECONDS), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        client = AsyncWebhookClient(secrets[0], timeout=int(SEND_SECONDS), session=session, retry_handlers=[])
        yield IncomingWebhook(client)


KIND = Kind(Options, _open, "the URL of an incoming webhook of Slack", per_second=1.0)
