"""The Faust application: hosts sources, agents and web pages. Kafka never passes through Faust itself.

Faust's own consumer takes 95 µs for each message and loses or repeats some after a crash (ARCHITECTURE.md); as a host
of services, agents and their supervision it costs 60 µs for a batch of up to 250.
"""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import faust
from faust.app.base import BootStrategy

from npsflow.streams.engine.context import Context, EngineSettings
from npsflow.streams.engine.health import Health, Web
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.logs import LogObserver
from npsflow.streams.engine.metrics import Metrics
from npsflow.streams.engine.observer import Observer, Observers
from npsflow.streams.engine.pace import Pace
from npsflow.streams.engine.source import Batch, Source
from npsflow.streams.stage import Stage

Agent = Callable[[AsyncIterator[Batch]], Awaitable[None]]
"""A Faust agent: takes the batches of a stage and folds each, see Batch."""


_UNUSED: dict[str, Any] = dict.fromkeys(
    (
        *("Table", "SetTable", "GlobalTable", "SetGlobalTable", "TableManager", "Topic", "Router", "Worker"),
        *("PartitionAssignor", "LeaderAssignor", "ConsumerScheduler"),
    ),
    object,
)
"""Classes that Faust would import, and with them twenty modules, though nothing here uses them."""


class _Boot(BootStrategy):
    enable_kafka = False
    enable_sensors = False  # they count what Faust consumes, once a second


class _App(faust.App):
    async def on_started(self) -> None:
        """As the original, but for tables, which are not there to be restored."""
        await self.on_started_init_web_server()
        await self.on_started_init_extra_services()
        if self.on_startup_finished:
            await self.on_startup_finished()

    async def on_stop(self) -> None:
        await super().on_stop()
        # The consumer is never started, but has made an event loop for its thread, which nobody else closes.
        self.consumer._thread.thread_loop.close()  # type: ignore[attr-defined] # noqa: SLF001


class Host:
    """A Faust app with a source for each stage, each feeding its agent, and the web pages of the worker."""

    def __init__(
        self,
        installation: Installation,
        stages: Iterable[tuple[Stage, Agent]],
        metrics: Metrics,
        *,
        web: tuple[str, int] | None = None,
        settings: EngineSettings | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        """`web`: host and port of the pages, None for none; `observers` watch beside `metrics` and the log."""
        self.app = _App(
            f"{installation.prefix}npsflow",
            env_prefix="NPSFLOW_FAUST_",  # else BROKER_URL or WEB_PORT of the environment would override arguments
            broker="kafka://unused",
            autodiscover=False,
            web_enabled=web is not None,
            datadir=tempfile.gettempdir(),
            **_UNUSED,
        )
        self.app.boot_strategy = _Boot(self.app)
        settings, observer = settings or EngineSettings(), Observers([metrics, LogObserver(), *observers])
        pace = Pace(settings.commits_per_second)
        self.sources: list[Source] = []
        for stage, agent in stages:
            channel = self.app.channel(maxsize=1)
            self.app.agent(channel, name=f"npsflow.{stage.name}")(agent)  # type: ignore[arg-type]
            context = Context(stage, installation, settings, observer)
            self.sources.append(Source(context, _sender(channel), pace))
            self.app.service(self.sources[-1])  # type: ignore[arg-type]
        if web is not None:
            health = Health(lambda: self.ready, "restoring", installation.session_ms / 1000, self.silent_for)
            self.app.web_server(Web(*web, metrics.registry, health))
        self.app.on_startup_finished = self._open_channels

    async def _open_channels(self) -> None:
        self.app.flow_control.resume()

    @property
    def ready(self) -> bool:
        """Whether every assigned partition of every stage is restored and being read."""
        return all(source.ready for source in self.sources)

    def silent_for(self) -> float:
        """Seconds since Kafka was last heard of, by the stage for which that is longest ago."""
        return max((source.silent_for() for source in self.sources), default=0.0)


def _sender(channel: Any) -> Callable[[Batch], Awaitable[Any]]:
    async def send(batch: Batch) -> None:
        await channel.put(batch)

    return send
