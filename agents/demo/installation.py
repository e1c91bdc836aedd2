"""What the demo runs on: a broker, topics under a prefix of its own, two workers, intake; all gone when it ends."""

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiokafka import TopicPartition

from npsflow.agents.broker.download import fetch_kafka
from npsflow.agents.broker.embedded import Broker, free_port
from npsflow.agents.demo import show, webhooks
from npsflow.agents.demo.interrupts import Interrupts
from npsflow.agents.demo.workers import DemoFailed, Intake, Process, Worker
from npsflow.agents.kafka import clients
from npsflow.schemas.errors import NpsflowError
from npsflow.schemas.topics import BY_NAME
from npsflow.streams.config import settings
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine import admin
from npsflow.streams.engine.admin import Wanted
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.engine.kafka.security import VARIABLES, Security
from npsflow.streams.topology import STAGES, wanted

# The oracle knows no wall clock: windows end where the data end, so idle ticks are off while both are compared. They
# stay off behind that, too: the trickle carries the time on.
_SETTINGS = "idle_ticks = false\n" + webhooks.settings(webhooks.ENTRANCES)

_START_SECONDS = 60.0
_POLL = 0.05
_STOP_SECONDS = 2.0  # of workers and intake
_DELETE_SECONDS = 1.0
_CALM_STOP, _QUICK_STOP = 30.0, 1.0  # of the embedded broker: its first stop ever also prepares faster starts


@dataclass
class DemoInstallation:
    """Where it is, its settings, its processes, and what handles Ctrl-C."""

    installation: Installation
    settings: Settings
    workers: list[Worker]
    intake: Intake
    interrupts: Interrupts

    def check(self) -> None:
        """Raises DemoFailed when a process has ended by itself."""
        for process in (*self.workers, self.intake):
            process.check()

    def inputs(self, stage: str) -> list[TopicPartition]:
        """What the stage reads."""
        make, _ = STAGES[stage]
        counts = {"input": self.settings.topics.partitions, "panes": self.settings.topics.pane_partitions}
        return [
            TopicPartition(self.installation.topic(name), partition)
            for name in make(self.settings, self.installation).inputs
            for partition in range(counts[BY_NAME[name].partitions])
        ]

    def await_ready(self) -> None:
        """Return when all partitions are restored and being read, and intake writes. Raises DemoFailed."""
        first, *others = self.workers
        # The first may be ready alone, before others have joined: once it is ready after them, all are.
        for process in (first, *others, first, self.intake):
            _until(process.ready, self.check, f"{process.called} is not ready")


@contextmanager
def demo_installation(interrupts: Interrupts) -> Iterator[DemoInstallation]:
    """Start everything; stop it at the end, within five seconds where that is Ctrl-C or an error."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="npsflow-demo-")))
        installation, chosen = _cluster(folder, cleanup), settings.parse(_SETTINGS)
        with show.waiting("topics are made"):
            interrupts.run(_make_topics(installation, wanted(chosen, installation), cleanup))
        config = folder / "npsflow.toml"
        config.write_text(_SETTINGS)
        names = {
            "NPSFLOW_BROKERS": installation.brokers,
            "NPSFLOW_PREFIX": installation.prefix,
            "NPSFLOW_CONFIG": str(config),
        }
        stages = {"one": "classify,rollup", "two": "classify,recover"}  # they share the partitions of classify
        if installation.security == Security():
            names |= dict.fromkeys(VARIABLES, "")  # what is set may be for another cluster than the demo's own
        workers = [Worker(name, of, os.environ | names, folder) for name, of in stages.items()]
        intake = Intake(webhooks.ENTRANCES, os.environ | names, folder)
        cleanup.callback(_stop, [*workers, intake])
        here = DemoInstallation(installation, chosen, workers, intake, interrupts)
        with show.waiting("workers and intake start") as progress:
            for process in (*workers, intake):
                process.start()
            here.await_ready()
        show.say(f"Workers and intake are ready after {progress.seconds:.1f} s")
        for worker in workers:
            show.say(f"  {worker.name}: {worker.stages} on {worker.url}")
        show.say(f"  intake: {', '.join(webhooks.PLATFORMS)} on {intake.url}")
        yield here


def _cluster(folder: Path, cleanup: ExitStack) -> Installation:
    """The cluster of NPSFLOW_BROKERS, else a Kafka of the demo's own; in both under a prefix of its own."""
    configured = read_installation()
    prefix = f"demo-{secrets.token_hex(3)}."
    if os.environ.get("NPSFLOW_BROKERS"):
        show.say(f"Kafka is that of NPSFLOW_BROKERS, {configured.brokers}; all names begin with {prefix}")
        return msgspec.structs.replace(configured, prefix=prefix)
    with show.waiting("Kafka is fetched") as progress:
        fetch_kafka(lambda message: setattr(progress, "detail", message))
    broker = Broker(folder / "kafka", free_port(), brief=True)
    cleanup.push(lambda kind, *_: broker.stop(_QUICK_STOP if kind else _CALM_STOP))
    with show.waiting("Kafka starts") as progress:
        broker.start()
    show.say(f"Kafka runs on {broker.bootstrap} after {progress.seconds:.1f} s")
    return msgspec.structs.replace(configured, brokers=broker.bootstrap, prefix=prefix, security=Security())


async def _make_topics(installation: Installation, wanted: list[Wanted], cleanup: ExitStack) -> None:
    async with clients.admin(installation) as client:
        if os.environ.get("NPSFLOW_BROKERS"):  # one that is not the demo's own
            cleanup.callback(_remove, installation, [topic.name for topic in wanted])
        await admin.create(client, wanted)


def _remove(installation: Installation, names: list[str]) -> None:
    try:
        clients.run(_delete(installation, names))
    except NpsflowError as error:
        show.say(f"Topics that begin with {installation.prefix} could not be deleted: {error}")


async def _delete(installation: Installation, names: list[str]) -> None:
    async with asyncio.timeout(_DELETE_SECONDS), clients.admin(installation) as client:
        await client.delete_topics(names)


def _stop(processes: Sequence[Process]) -> None:
    """All at once, within a few seconds altogether."""
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(max(0.0, deadline - time.monotonic()))


def _until(condition: Callable[[], bool], check: Callable[[], None], otherwise: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        check()
        if time.monotonic() > deadline:
            raise DemoFailed(f"{otherwise} after {_START_SECONDS:.0f} s")
        time.sleep(_POLL)
