"""Stand-ins of platforms' APIs: what the vendors document of tokens, limits, errors and pages, on this machine."""

import asyncio
import copy
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

FIXTURES = Path(__file__).parents[1] / "platforms" / "fixtures"
TOKEN = "a-token-that-nobody-may-see"
OTHER_TOKEN = "another-token-that-nobody-may-see"

Headers = Mapping[str, str]


class Standin:
    """Answers what stands in a platform's `answers.json`; `next` says what it does instead, once for each request."""

    def __init__(self, platform: str, prefix: str = "") -> None:
        self.answers: dict[str, Any] = json.loads((FIXTURES / platform / "answers.json").read_text())
        self.tokens = {TOKEN, OTHER_TOKEN}
        self.asked: list[tuple[str, str]] = []
        """Path with query, and token, of every request."""
        self._prefix, self._next = prefix, deque[tuple[int, Headers]]()
        self.slow = asyncio.Event()
        self.slow.set()
        self.raw: bytes | None = None
        """Answered instead of JSON."""

    def next(self, status: int, headers: Headers | None = None, times: int = 1) -> None:
        self._next.extend([(status, headers or {})] * times)

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Its address, as in `api`."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        async with TestServer(app) as server:
            yield str(server.make_url(self._prefix or "/")).rstrip("/")

    async def _answer(self, request: web.Request) -> web.Response:
        token = self.token(request)
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        path = "?".join(filter(None, (request.path.removeprefix(self._prefix + "/"), query)))
        self.asked.append((path, token))
        await self.slow.wait()
        if self.raw is not None:
            return web.Response(body=self.raw)
        if self._next:
            status, headers = self._next.popleft()
            return web.json_response(self.error(status), status=status, headers=headers)
        if token not in self.tokens:
            return web.json_response(self.error(401), status=401)
        if path not in self.answers:
            return web.json_response(self.error(404), status=404)
        return web.json_response(self.answers[path], headers=self.limits())

    def token(self, request: web.Request) -> str:
        return request.headers.get("Authorization", "").removeprefix("Bearer ")

    def error(self, status: int) -> Any:
        return {"error": {"status": status}}

    def limits(self) -> Headers:
        return {}


class SurveyMonkey(Standin):
    """api.surveymonkey.com/v3: errors by number; every answer says what is left of the day's and the minute's limit."""

    def __init__(self) -> None:
        super().__init__("surveymonkey", "/v3")
        self.left = {"Day": 500, "Minute": 120}
        self.reset = {"Day": 3600, "Minute": 30}

    def add(self, response: str, score: int) -> None:
        """Another response of the same survey."""
        mine = copy.deepcopy(next(iter(self.answers.values()))) | {"id": response}
        mine["pages"][0]["questions"][0]["answers"][0]["choice_metadata"]["weight"] = str(score)
        self.answers[f"surveys/105724755/responses/{response}/details?simple=true"] = mine

    def error(self, status: int) -> Any:
        number = {401: "1011", 403: "1014", 404: "1020", 429: "1040", 500: "1050", 503: "1051"}.get(status, "1000")
        return {"error": {"docs": "https://api.surveymonkey.com/v3/docs#error-codes", "message": "No.", "id": number,
                          "name": "Error", "http_status_code": status}}  # fmt: skip

    def limits(self) -> Headers:
        return {
            f"X-Ratelimit-App-Global-{name}-{what}": str(values[name])
            for what, values in (("Remaining", self.left), ("Reset", self.reset))
            for name in ("Day", "Minute")
        }


class Qualtrics(Standin):
    """DATACENTER.qualtrics.com/API/v3: the token in a header of its own, errors under `meta`."""

    def __init__(self) -> None:
        super().__init__("qualtrics", "/API/v3")

    def token(self, request: web.Request) -> str:
        return request.headers.get("X-API-TOKEN", "")

    def error(self, status: int) -> Any:
        error = {"errorMessage": "No.", "errorCode": f"TEST_{status}"}
        return {
            "meta": {"httpStatus": str(status), "error": error, "requestId": "74768340-3902-4f6d-9327-f5fdc2cdb9ec"}
        }


class GoogleForms(Standin):
    """forms.googleapis.com/v1: pages, each with the token of the next; errors by code and status."""

    def __init__(self) -> None:
        super().__init__("google_forms", "/v1")

    def error(self, status: int) -> Any:
        return {"error": {"code": status, "message": "No.", "status": "RESOURCE_EXHAUSTED"}}


STANDINS: dict[str, Callable[[], Standin]] = {
    "surveymonkey": SurveyMonkey,
    "qualtrics": Qualtrics,
    "google_forms": GoogleForms,
}
