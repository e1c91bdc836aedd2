"""A stand-in of Slack's Web API: chat.postMessage, with the limits of Block Kit.

Sources: docs.slack.dev, chat.postMessage and reference/block-kit/blocks.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from .ends import RETRY_AFTER, Got, HttpEnd

TOKEN = "xoxb-a-token-of-the-test"
INCOMING = "/services/T0/B0/secret"


class SlackApi(HttpEnd):
    def __init__(self) -> None:
        super().__init__()
        self.channels: dict[str, set[str]] = {"C0ALL": set(), "C0ANNA": set()}

    async def take(self, request: web.Request) -> web.Response:
        sent: Any = await (request.json() if request.content_type == "application/json" else request.post())
        how = self.how()
        if request.headers.get("Authorization") != f"Bearer {TOKEN}" or how == "locked":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        if how == "later":
            headers = {"Retry-After": str(RETRY_AFTER)}
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
        if how not in (None, "silent"):
            return await self.answer(request, how, web.Response())
        if wrong := self._wrong(sent):
            self.complaints.append(wrong)
            return web.json_response({"ok": False, "error": wrong})
        channel, thread = sent["channel"], sent.get("thread_ts", "")
        if channel not in self.channels:
            return web.json_response({"ok": False, "error": "channel_not_found"})
        if thread and thread not in self.channels[channel]:
            return web.json_response({"ok": False, "error": "thread_not_found"})
        stamp = f"1772377331.{sum(map(len, self.channels.values())):06}"
        self.channels[channel].add(stamp)
        metadata = _json(sent["metadata"])
        self.received.append(
            Got(metadata["event_payload"]["id"], shown(sent), sent, channel, thread, f"{channel} {stamp}")
        )
        return await self.answer(request, how, web.json_response({"ok": True, "channel": channel, "ts": stamp}))

    async def take_incoming(self, request: web.Request) -> web.Response:
        """As an incoming webhook: errors are plain words."""
        sent, how = await request.json(), self.how()
        if request.path != INCOMING or how == "locked":
            return web.Response(status=403, text="invalid_token")
        if how not in (None, "silent"):
            return await self.answer(request, how, web.Response())
        if wrong := self._wrong(sent):
            self.complaints.append(wrong)
            return web.Response(status=400, text="invalid_payload")
        if sent.keys() - {"text", "blocks", "unfurl_links", "unfurl_media"}:
            self.complaints.append("what no incoming webhook takes")
        self.received.append(Got(shown(sent).splitlines()[-1], shown(sent), sent))
        return await self.answer(request, how, web.Response(text="ok"))

    @staticmethod
    def _wrong(sent: Any) -> str:
        blocks = _json(sent.get("blocks", "[]"))
        if not sent.get("text"):
            return "no_text"
        if len(sent["text"]) > 40_000 or len(json.dumps(blocks)) > 40_000:
            return "msg_too_long"
        return "invalid_blocks" if len(blocks) > 50 or any(map(_wrong_block, blocks)) else ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application(client_max_size=1 << 22)
        app.router.add_post("/api/chat.postMessage", self.take)
        app.router.add_post("/services/{name:.*}", self.take_incoming)
        async with TestServer(app) as server:
            yield str(server.make_url("/api/"))


def _json(given: Any) -> Any:
    return json.loads(given) if isinstance(given, str) else given


def _wrong_block(block: dict[str, Any]) -> bool:
    match block["type"]:
        case "header":
            return block["text"]["type"] != "plain_text" or not 1 <= len(block["text"]["text"]) <= 150
        case "section":
            fields = block.get("fields", [])
            texts = [block["text"]] if "text" in block else []
            if not (fields or texts) or len(fields) > 10:
                return True
            return any(map(_wrong_text, fields, [2000] * len(fields))) or any(map(_wrong_text, texts, [3000]))
        case "context":
            return not 1 <= len(block["elements"]) <= 10 or any(len(e["text"]) > 2000 for e in block["elements"])
    return True


def _wrong_text(text: dict[str, Any], most: int) -> bool:
    return text["type"] not in ("mrkdwn", "plain_text") or not 1 <= len(text["text"]) <= most


def shown(sent: Any) -> str:
    """What a person reads: markup that is left would do something."""
    found = []
    for block in _json(sent.get("blocks", "[]")):
        parts = [block.get("text"), *block.get("fields", ()), *block.get("elements", ())]
        for part in parts:
            if part is not None:
                text = part["text"]
                if part["type"] == "mrkdwn":
                    assert "<" not in text, "something that Slack would make a link or a mention of"
                    text = unescape(text)
                found.append(text.replace("\u200b", ""))
    return "\n".join(found)
