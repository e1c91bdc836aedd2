"""The worker's pages: `/health/live`, `/health/ready`, `/metrics`."""

from collections.abc import Callable
from typing import Any

from aiohttp import web
from mode import Service
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


class Web(Service):
    """Serves on `host`:`port`; `ready` says whether all partitions are restored."""

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, ready: Callable[[], bool], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.host, self.port = host, port
        self._registry, self._ready = registry, ready
        self._runner: web.AppRunner | None = None

    @property
    def web_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def on_start(self) -> None:
        pages = web.Application()
        pages.router.add_get("/health/live", self._live)
        pages.router.add_get("/health/ready", self._readiness)
        pages.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(pages, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()

    async def on_stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def _readiness(self, _: web.Request) -> web.Response:
        ready = self._ready()
        return web.json_response({"status": "ready" if ready else "restoring"}, status=200 if ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})
