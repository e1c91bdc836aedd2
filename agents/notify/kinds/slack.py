"""Slack: chat.postMessage with Block Kit, one thread for each case and channel.

Sources: docs.slack.dev, chat.postMessage, reference/block-kit/blocks, apis/web-api/rate-limits, message metadata. Slack
has no idempotency key: the event's id is in the message's metadata, where whoever looks can tell a repeated one.
"""

import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from msgspec import Struct
from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.web.async_client import AsyncWebClient
from yarl import URL

from npsflow.agents.notify.http import failed, host_and_port, unanswered
from npsflow.agents.notify.kind import (
    SEND_SECONDS,
    Delivered,
    Kind,
    Rejected,
    Result,
    RetryLater,
    Unavailable,
    Unconfirmed,
)
from npsflow.agents.notify.ssrf_guard import expect_tls
from npsflow.agents.web.retry_after import retry_after
from npsflow.streams.notify.message import Message

_MAX_HEADER, _MAX_SECTION, _MAX_FIELDS, _MAX_FIELD, _MAX_BLOCKS = 150, 3000, 10, 2000, 50
_MAX_TEXT = 4000  # of the fallback, which Slack advises to keep below
_MAX_QUOTE = 2500
_CLOSED = 60.0
_MARKUP = re.compile(r"(?<![^\W_])[*_~`]")  # within a word they are what they are
_RENEW = "set a new bot token and start again"
CURES = {
    "channel_not_found": "name a channel that is there, or invite the bot to a private one",
    "not_in_channel": "invite the bot to the channel",
    "is_archived": "unarchive the channel, or name another one",
    "channel_is_archived": "unarchive the channel, or make a webhook of another one",
    "user_not_found": "name a person or channel that is there",
    "invalid_auth": _RENEW,
    "not_authed": _RENEW,
    "account_inactive": _RENEW,
    "token_revoked": _RENEW,
    "token_expired": _RENEW,
    "not_allowed_token_type": "the token has to be one of a bot, which begins with xoxb-",
    "missing_scope": "give the app the scope chat:write and install it again",
    "no_permission": "an administrator of the workspace has to allow the app",
    "access_denied": "an administrator of the workspace has to allow the app",
    "action_prohibited": "an administrator of the workspace has to allow it",
    "restricted_action": "the settings of the channel or workspace have to let the app write",
    "posting_to_general_channel_denied": "an administrator has to allow it, or name another channel",
    "invalid_token": "make a new webhook",
    "no_service": "the webhook is removed or disabled: make a new one",
    "no_service_id": "the webhook is removed: make a new one",
    "no_team": "the workspace is gone: make a new webhook",
    "team_disabled": "the workspace is switched off",
}
"""What to do about errors that are about us or our settings, and not about a message."""
_OF_A_CHANNEL = ("channel_", "not_in_channel", "is_archived", "user_not_found", "restricted_action", "posting_to_")
_OF_A_MESSAGE = ("invalid_blocks", "msg_", "no_text", "too_many_", "invalid_metadata", "metadata_", "markdown_text_")
_TOO_MUCH = ("ratelimited", "rate_limited", "message_limit_exceeded")
_NO_REPLY = {
    "cannot_reply_to_message", "thread_not_found", "restricted_action_thread_locked",
    "restricted_action_non_threadable_channel",
}  # fmt: skip


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """`api`: another address than Slack's own, as its GovSlack has."""

    api: str = "https://slack.com/api/"

    def __post_init__(self) -> None:
        expect_tls("api", self.api)


class _NoReply(Exception):
    """A thread takes no replies, or is gone."""


class Slack:
    """A workspace, through the bot of an app."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client, self._receiver = client, host_and_port(URL(client.base_url))

    def receiver(self, _: str) -> str:
        """Host and port of the API."""
        return self._receiver

    async def send(self, message: Message) -> Result:
        """Post it, in its case's thread if that is in the same channel."""
        channel, _, thread = message.thread.partition(" ")
        try:
            return await self._post(message, thread if channel == message.to else "")
        except _NoReply:
            return await self._post(message, "")

    async def _post(self, message: Message, thread: str) -> Result:
        """Raises _NoReply if the thread takes no replies."""
        try:
            answer = await self._client.chat_postMessage(
                channel=message.to,
                text=fallback(message),
                blocks=blocks(message),
                thread_ts=thread or None,
                reply_broadcast=True if thread and message.severity == "critical" else None,
                unfurl_links=False,
                unfurl_media=False,
                metadata={"event_type": "npsflow", "event_payload": {"id": message.id}},
            )
        except SlackApiError as error:
            if thread and _code(error.response) in _NO_REPLY:
                raise _NoReply from None
            return _refused(error)
        except (SlackRequestError, AttributeError):  # the latter where it answers with a plain text
            return Unconfirmed("its answer cannot be read")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return unanswered(error)
        # The channel may have been named where Slack answers with its id: a thread is found by what we called it.
        return Delivered(f"{message.to} {answer.get('ts', '')}")


def _refused(error: SlackApiError) -> Result:
    """Slack says what is wrong in `error`, mostly with status 200."""
    response: Any = error.response
    if not hasattr(response, "status_code"):  # the client could not read it, and hands over what it had
        return Unconfirmed("its answer cannot be read")
    status, headers = int(response.status_code), dict(response.headers)
    code = _code(response)
    words = f"{code} {_details(response)}".strip()
    if status == 429 or code in _TOO_MUCH:
        wait = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
        seconds = retry_after(str(wait), time.time()) or _CLOSED
        return Unavailable("it says that this is too much", seconds, words=words)
    if status != 200:
        return failed(status, headers, code)
    if code.startswith(_OF_A_CHANNEL):
        return Unavailable(f"it cannot write there: {_with_cure(code)}", concerns="address", words=words)
    if code.startswith(_OF_A_MESSAGE):
        return Rejected(f"it answers {word(code)}", words)
    if code in CURES:
        return Unavailable(f"it refuses our token: {_with_cure(code)}", _CLOSED, words=words)
    return RetryLater(f"it answers {word(code)}", concerns="receiver", words=words)


def _with_cure(code: str) -> str:
    return f"{word(code)}: {CURES[code]}" if code in CURES else word(code)


def _details(response: Any) -> str:
    """Which scopes are missing, where it says so."""
    data = response.data if isinstance(response.data, dict) else {}
    return ", ".join(f"{name} {data[name]}" for name in ("needed", "provided") if isinstance(data.get(name), str))


def _code(response: Any) -> str:
    data = getattr(response, "data", None)
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def word(code: str) -> str:
    """An error of Slack, which is a word: anything else might quote us."""
    return code if code.replace("_", "").isalnum() and len(code) <= 60 else "an error"


def fallback(message: Message) -> str:
    """All that matters as text, for receivers and screens that show no blocks."""
    title, *lines = message.text().splitlines()
    if message.severity and message.severity not in title.casefold():
        title += f" [{message.severity}]"
    link = str(message.data.get("response_url") or "")
    return _cut("\n".join(map(_escaped, [title, *lines, *([link] if link else [])])), _MAX_TEXT)


def blocks(message: Message) -> list[dict[str, Any]]:
    """A message as Block Kit, within its limits; the last block is its id."""
    *first, last = _blocks(message)
    return [*first[: _MAX_BLOCKS - 1], last]


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    yield {"type": "header", "text": {"type": "plain_text", "text": _cut(message.title, _MAX_HEADER)}}
    fields = [_mrkdwn(f"*{_escaped(label)}*\n{_escaped(value)}", _MAX_FIELD) for label, value in message.facts]
    for start in range(0, len(fields), _MAX_FIELDS):
        yield {"type": "section", "fields": fields[start : start + _MAX_FIELDS]}
    if message.quote:
        quoted = "\n".join("> " + line for line in _escaped(_cut(message.quote, _MAX_QUOTE)).splitlines())
        yield {"type": "section", "text": _mrkdwn(quoted, _MAX_SECTION)}
    for section in message.sections:
        lines = "\n".join(f"• {_escaped(line)}" for line in section.lines)
        yield {"type": "section", "text": _mrkdwn(f"*{_escaped(section.heading)}*\n{lines}", _MAX_SECTION)}
    yield {"type": "context", "elements": [_mrkdwn(_escaped(message.id), _MAX_FIELD)]}


def _mrkdwn(text: str, length: int) -> dict[str, Any]:
    """`verbatim` keeps Slack from making links and mentions of the text."""
    return {"type": "mrkdwn", "text": _cut(text, length), "verbatim": True}


def _escaped(text: str) -> str:
    """Escape `&<>` as Slack asks, and put a character without width behind each that could begin markup."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    return _MARKUP.sub("\\g<0>\u200b", text)


def _cut(text: str, length: int) -> str:
    """Cut to `length` characters, but not within an entity."""
    if len(text) <= length:
        return text
    text = text[: length - 1]
    at = text.rfind("&")
    return (text[:at] if at > length - 7 and ";" not in text[at:] else text) + "…"


@asynccontextmanager
async def _open(options: Options, secrets: Sequence[str]) -> AsyncIterator[Slack]:
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=SEND_SECONDS), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        client = AsyncWebClient(
            token=secrets[0], base_url=options.api, timeout=int(SEND_SECONDS), session=session, retry_handlers=[]
        )
        yield Slack(client)


KIND = Kind(Options, _open, "the bot token of a Slack app that may chat:write", address="a channel", per_second=1.0)
