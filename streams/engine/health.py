"""The pages of a process: `/health/live`, `/health/ready`, `/metrics`."""

from collections.abc import Callable
from typing import Any

from aiohttp import web
from mode import Service
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


def routes(registry: CollectorRegistry, ready: Callable[[], bool], not_yet: str = "restoring") -> list[web.RouteDef]:
    """Make the pages by which a process is watched; `not_yet` says what it does while it is not `ready`."""

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def readiness(_: web.Request) -> web.Response:
        is_ready = ready()
        return web.json_response({"status": "ready" if is_ready else not_yet}, status=200 if is_ready else 503)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    return [web.get("/health/live", live), web.get("/health/ready", readiness), web.get("/metrics", metrics)]


class Web(Service):
    """Serves the pages on `host`:`port`."""

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, ready: Callable[[], bool], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.host, self.port = host, port
        self._routes = routes(registry, ready)
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
