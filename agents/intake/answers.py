"""What a sender hears: JSON of one line, never with anything of what it sent."""

from aiohttp import web

RETRY_AFTER = 5


def said(status: int, text: str) -> web.Response:
    return web.json_response({"error" if status >= 400 else "status": text}, status=status)


def again(status: int, text: str, seconds: int = RETRY_AFTER) -> web.Response:
    """To be sent once more, after so many seconds."""
    answer = said(status, text)
    answer.headers["Retry-After"] = str(seconds)
    return answer
