"""Slack's incoming webhooks, for teams without an app of their own: one channel, that of the URL, and no threads.

Source: docs.slack.dev, messaging/sending-messages-using-incoming-webhooks. The last line of a message is its
id, by which a repeated one can be told.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
from msgspec import Struct
from slack_sdk.webhook.async_client import AsyncWebhookClient

from npsflow.agents.notify.http import failed, unanswered
from npsflow.agents.notify.kind import SEND_SECONDS, Delivered, Kind, Result
from npsflow.agents.notify.kinds.slack import blocks, fallback
from npsflow.agents.notify.ssrf_guard import expect_tls
from npsflow.schemas.errors import SettingsError
from npsflow.streams.notify.message import Message


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """It has none."""


class IncomingWebhook:
    """One channel, that of the URL."""

    def __init__(self, client: AsyncWebhookClient) -> None:
        self._client = client

    async def send(self, message: Message) -> Result:
        """Post it."""
        try:
            answer = await self._client.send(
                text=fallback(message), blocks=blocks(message), unfurl_links=False, unfurl_media=False
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return unanswered(error)
        return Delivered() if answer.status_code == 200 else failed(answer.status_code, answer.headers)


@asynccontextmanager
async def _open(options: Options, secrets: Sequence[str]) -> AsyncIterator[IncomingWebhook]:
    if not secrets[0].startswith(("https://", "http://")):
        raise SettingsError("the secret of an incoming webhook of Slack is its URL")
    expect_tls("the secret", secrets[0])
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=SEND_SECONDS), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        client = AsyncWebhookClient(secrets[0], timeout=int(SEND_SECONDS), session=session, retry_handlers=[])
        yield IncomingWebhook(client)


KIND = Kind(Options, _open, "the URL of an incoming webhook of Slack", per_second=1.0)
