"""Answers to senders: one line of JSON, with nothing of what was sent."""

from collections.abc import Mapping

from aiohttp import web

from npsflow.schemas import codec

RETRY_AFTER = 5
"""Seconds."""

_JSON = {"Content-Type": "application/json"}


def json_answer(content: Mapping[str, object], status: int = 200) -> web.Response:
    """An answer with this JSON object."""
    return web.Response(body=codec.dumps(content), status=status, headers=_JSON)


def text_answer(status: int, text: str) -> web.Response:
    """`{"error": text}`, or `{"status": text}` below status 400."""
    return json_answer({"error" if status >= 400 else "status": text}, status)


def retry_answer(status: int, text: str, seconds: int = RETRY_AFTER) -> web.Response:
    """An error after which the request is to be sent again, in so many seconds."""
    answer = text_answer(status, text)
    answer.headers["Retry-After"] = str(seconds)
    return answer
