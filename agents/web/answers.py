"""What a sender hears: JSON of one line, never with anything of what it sent."""

from collections.abc import Mapping

from aiohttp import web

from npsflow.schemas import codec

RETRY_AFTER = 5

_JSON = {"Content-Type": "application/json"}


def answer(what: Mapping[str, object], status: int = 200) -> web.Response:
    return web.Response(body=codec.dumps(what), status=status, headers=_JSON)


def said(status: int, text: str) -> web.Response:
    return answer({"error" if status >= 400 else "status": text}, status)


def again(status: int, text: str, seconds: int = RETRY_AFTER) -> web.Response:
    """To be sent once more, after so many seconds."""
    made = said(status, text)
    made.headers["Retry-After"] = str(seconds)
    return made
