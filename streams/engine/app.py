"""The Faust application: hosts sources, agents and web pages. Kafka never passes through Faust itself.

Faust's own consumer takes 95 µs for each message and loses or repeats some after a crash (ARCHITECTURE.md); as a host
of services, agents and their supervision it costs 60 µs for a batch of thousands.
"""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import faust
from faust.app.base import BootStrategy

from npsflow.streams.engine.committer import CommitRateLimit
from npsflow.streams.engine.health import Web
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.metrics import Metrics
from npsflow.streams.engine.source import Batch, Source
from npsflow.streams.stage import Stage

COMMITS_PER_SECOND = 40

Agent = Callable[[AsyncIterator[Batch]], Awaitable[None]]


class _Boot(BootStrategy):
    enable_kafka = False


class Host:
    """A Faust app with a source for each stage, each feeding its agent, and the web pages of the worker."""

    def __init__(
        self,
        installation: Installation,
        client: dict[str, Any],
        stages: Iterable[tuple[Stage, Agent]],
        metrics: Metrics,
        web: tuple[str, int] | None,
        name: str | None = None,
        rebuilding: bool = False,
    ) -> None:
        """`client`: keyword arguments of every Kafka client; `web`: host and port of the pages, None for none.

        A `name` that lasts makes membership static: a worker back within the session keeps its partitions.
        """
        self.app = faust.App(
            f"{installation.prefix}npsflow",
            env_prefix="NPSFLOW_FAUST_",  # else BROKER_URL or WEB_PORT of the environment would override arguments
            broker="kafka://unused",
            autodiscover=False,
            web_enabled=web is not None,
            datadir=tempfile.gettempdir(),
        )
        self.app.boot_strategy = _Boot(self.app)
        self.metrics, commit_rate = metrics, CommitRateLimit(COMMITS_PER_SECOND)
        self.sources: list[Source] = []
        for stage, agent in stages:
            channel = self.app.channel(maxsize=1)
            self.app.agent(channel, name=f"npsflow.{stage.name}")(agent)  # type: ignore[arg-type]
            self.sources.append(
                Source(stage, installation, client, _sender(channel), metrics, commit_rate, name, rebuilding)
            )
            self.app.service(self.sources[-1])  # type: ignore[arg-type]
        if web is not None:
            self.app.web_server(Web(*web, metrics.registry, lambda: self.ready))
        self.app.on_startup_finished = self._open_channels

    async def _open_channels(self) -> None:
        self.app.flow_control.resume()

    @property
    def ready(self) -> bool:
        """Whether every assigned partition of every stage is restored and being read."""
        return all(source.ready for source in self.sources)


def _sender(channel: Any) -> Callable[[Batch], Awaitable[Any]]:
    async def send(batch: Batch) -> None:
        await channel.put(batch)

    return send
