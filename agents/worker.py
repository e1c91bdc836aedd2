"""Composition root of a worker: settings and installation in, a running Faust app out."""

import asyncio
from collections.abc import Iterable
from typing import NoReturn

from aiokafka.errors import InvalidSessionTimeoutError
from prometheus_client import CollectorRegistry

from npsflow.agents.kafka.diagnosis import session_refused
from npsflow.agents.runtime.process import prepare
from npsflow.agents.runtime.signals import Worker
from npsflow.schemas.errors import NpsflowError
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.app import Host
from npsflow.streams.engine.context import EngineSettings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.metrics import Metrics
from npsflow.streams.engine.observer import Observer
from npsflow.streams.engine.replay import PublishedOutputs, Replayed
from npsflow.streams.topology import STAGES


def host(
    settings: Settings,
    installation: Installation,
    stages: Iterable[str],
    *,
    web: tuple[str, int] | None = None,
    engine: EngineSettings | None = None,
    observers: Iterable[Observer] = (),
    published: PublishedOutputs | None = None,
) -> Host:
    """Make a worker of these stages, not yet started.

    With `published` it rebuilds: those outputs are not written again.
    """
    made = [(make(settings, installation), agent) for make, agent in (STAGES[stage] for stage in stages)]
    if published is not None:
        made = [(Replayed(stage, published), agent) for stage, agent in made]
        engine = engine or EngineSettings(rebuilding=True)
    metrics = Metrics(CollectorRegistry(), [stage for stage, _ in made])
    return Host(installation, made, metrics, web=web, settings=engine, observers=observers)


def run(
    settings: Settings, installation: Installation, stages: Iterable[str], web: tuple[str, int], engine: EngineSettings
) -> NoReturn:
    """Run until SIGTERM or Ctrl-C; everything folded is committed before it returns.

    Raises the NpsflowError that it ends by, for which there is no other line: mode's would say less.
    """
    prepare()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = host(settings, installation, stages, web=web, engine=engine).app
    worker = Worker(app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        loop.set_exception_handler(lambda *_: None)  # what the end cut off is not its cause, and comes after it
        cause = worker.crash_reason or end.__context__
        if isinstance(cause, InvalidSessionTimeoutError):
            raise session_refused() from None
        if isinstance(cause, NpsflowError):
            raise cause from None
        raise
