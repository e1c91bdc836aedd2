"""The pages of a process: `/health/live`, `/health/ready`, `/metrics`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from mode import Service
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

LIVE_SECONDS = 300.0
"""A process that has heard nothing from Kafka for longer is to be started anew: its client may be what is broken."""


@dataclass(frozen=True)
class Health:
    """How a process is; `not_yet` says what it does while it is not `ready`.

    `silent_for`: seconds since it last heard from Kafka. For longer than `limit` seconds, NPSFLOW_SESSION_MS, it is not
    ready whatever it thinks: by then its consumer group has given it up. `problems`: what else keeps it from its work.
    """

    ready: Callable[[], bool]
    not_yet: str
    limit: float
    silent_for: Callable[[], float] = lambda: 0.0
    problems: Callable[[], Sequence[str]] = tuple

    @property
    def silent(self) -> bool:
        """Whether Kafka has been silent for too long."""
        return self.silent_for() > self.limit

    def readiness(self) -> tuple[bool, dict[str, object]]:
        """Whether it does its work, and what to say of it."""
        if (seconds := self.silent_for()) > self.limit:
            return False, _silence(seconds) | {"limit_seconds": self.limit, "setting": "NPSFLOW_SESSION_MS"}
        if not self.ready():
            return False, {"status": self.not_yet}
        found = list(self.problems())
        return not found, {"status": "failing", "problems": found} if found else {"status": "ready"}

    def liveness(self) -> tuple[bool, dict[str, object]]:
        """Whether it may go on, and what to say of it."""
        if (seconds := self.silent_for()) > LIVE_SECONDS:
            return False, _silence(seconds) | {"limit_seconds": LIVE_SECONDS}
        return True, {"status": "live"}


def _silence(seconds: float) -> dict[str, object]:
    return {"status": "Kafka is away", "silent_seconds": int(seconds)}


def routes(registry: CollectorRegistry, health: Health) -> list[web.RouteDef]:
    """Make the pages by which a process is watched."""

    def answer(good: bool, content: dict[str, object]) -> web.Response:
        return web.json_response(content, status=200 if good else 503)

    async def live(_: web.Request) -> web.Response:
        return answer(*health.liveness())

    async def ready(_: web.Request) -> web.Response:
        return answer(*health.readiness())

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    return [web.get("/health/live", live), web.get("/health/ready", ready), web.get("/metrics", metrics)]


class Web(Service):
    """Serves the pages on `host`:`port`."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.host, self.port = host, port
        self._routes = routes(registry, health)
        self._runner: web.AppRunner | None = None

    @property
    def web_url(self) -> str:
        """Where it serves; mode shows it."""
        return f"http://{self.host}:{self.port}"

    async def on_start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        pages = web.Application()
        pages.router.add_routes(self._routes)
        self._runner = web.AppRunner(pages, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()

    async def on_stop(self) -> None:
        """Close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
