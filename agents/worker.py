"""Composition root of a worker: settings and surroundings in, a running Faust app out."""

import asyncio
from collections.abc import Iterable
from typing import NoReturn

import mode
from prometheus_client import CollectorRegistry

from npsflow.agents.runtime.process import prepare
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.app import Host
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.clients import client_options
from npsflow.streams.engine.metrics import Metrics
from npsflow.streams.engine.replay import PublishedOutputs, Replayed
from npsflow.streams.topology import STAGES


def host(
    settings: Settings,
    installation: Installation,
    stages: Iterable[str],
    web: tuple[str, int] | None,
    name: str | None = None,
    published: PublishedOutputs | None = None,
) -> Host:
    """A worker of these stages, not yet started. With `published` it rebuilds: those outputs are not written again."""
    made = [(make(settings, installation), agent) for make, agent in (STAGES[stage] for stage in stages)]
    if published is not None:
        made = [(Replayed(stage, published), agent) for stage, agent in made]
    return Host(
        installation,
        client_options(installation),
        made,
        Metrics(CollectorRegistry(), [stage for stage, _ in made]),
        web,
        name,
        rebuilding=published is not None,
    )


def run(
    settings: Settings, installation: Installation, stages: Iterable[str], web: tuple[str, int], name: str | None
) -> NoReturn:
    """Run until SIGTERM or Ctrl-C; everything folded is committed before it returns."""
    prepare()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = host(settings, installation, stages, web, name).app
    _Worker(app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True).execute_from_commandline()


class _Worker(mode.Worker):
    """Deaf to two signals on which mode writes local variables, responses among them, or waits in a debugger."""

    def _on_sigusr1(self) -> None: ...

    def _on_sigusr2(self) -> None: ...
