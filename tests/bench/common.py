"""What all figures share: a cluster, installations on it, processes that are measured, lines of JSON."""

import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka.admin import AdminClient

from npsflow.agents.broker.download import fetch_kafka
from npsflow.agents.broker.embedded import Broker, free_port
from npsflow.agents.kafka import clients
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.topics import RESPONSES
from npsflow.streams.config import settings
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine import admin
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.engine.kafka.security import VARIABLES, Security
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.stage import Output
from npsflow.streams.topology import wanted
from tests.bench.data import Encoded

FIXED = "idle_ticks = false\n"
"""Settings for fixed input: nothing happens behind its end."""

SCALE = "NPSFLOW_TEST_SCALE"
"""Environment variable, a number: what part of everything is measured."""

_ROOT = Path(__file__).parents[2]
_CHUNK = 20_000
_PATIENCE = 300.0  # seconds for the longest step of a process
_DELETE_SECONDS = 10.0


def report(
    bench: str, value: float, unit: str, limit: float | None = None, ratio: float | None = None, **more: Any
) -> None:
    """One figure, on standard output. `limit`: what it is held against; `ratio`: value / limit unless given.

    `load` is that of the last minute, ours included: on a busy machine a figure says little.
    """
    if ratio is None and limit:
        ratio = value / limit
    line = {
        "bench": bench,
        "value": value,
        "unit": unit,
        "limit": limit,
        "ratio": ratio,
        **more,
        "load": os.getloadavg()[0],
    }
    print(json.dumps({name: _short(of) for name, of in line.items()}), flush=True)


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"  {text}", file=sys.stderr, flush=True)


def scaled(count: int) -> int:
    """So many at full size; fewer where SCALE is set to try things out."""
    return max(1, round(count * float(os.environ.get(SCALE, "1"))))


def _short(value: Any) -> Any:
    """Four digits are more than a measurement is worth."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


class NotMeasured(RuntimeError):
    """A process ended, or did something else than was to be measured."""


# Where it runs.


@contextmanager
def cluster() -> Iterator[Installation]:
    """The cluster of NPSFLOW_BROKERS, else a Kafka of our own, gone at the end."""
    given = read_installation()
    if os.environ.get("NPSFLOW_BROKERS"):
        yield given
        return
    fetch_kafka(say)
    with tempfile.TemporaryDirectory(prefix="npsflow-bench-") as folder:
        broker = Broker(Path(folder), free_port())
        say("Kafka starts")
        broker.start()
        try:
            yield msgspec.structs.replace(given, brokers=broker.bootstrap, security=Security())
        finally:
            broker.stop()


@dataclass(frozen=True)
class BenchHarness:
    """Topics under a prefix that nobody else has; `environment` leads a process there."""

    installation: Installation
    settings: Settings
    environment: dict[str, str]

    def fill(self, records: Iterable[Encoded], topic: str = RESPONSES) -> int:
        """Produce the records, each to the partition of its key; gives how many."""
        return clients.run(self._fill(records, topic))

    async def _fill(self, records: Iterable[Encoded], topic: str) -> int:
        count, partitions, records = 0, self.settings.topics.partitions, iter(records)
        async with clients.producer(self.installation) as producer:
            outputs = Outputs(producer, self.installation.prefix, 0)
            while chunk := list(islice(records, _CHUNK)):
                for key, value in chunk:
                    outputs.emit(Output(topic, partition_of(key, partitions), key, value, []))
                await clients.deliver(producer, outputs)
                count += len(chunk)
        return count


@contextmanager
def bench_harness(at: Installation, toml: str = FIXED) -> Iterator[BenchHarness]:
    """With the settings `toml`; its topics and groups are deleted at the end."""
    installation, chosen = msgspec.structs.replace(at, prefix=f"bench-{secrets.token_hex(3)}."), settings.parse(toml)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        config.write(toml)
        config.flush()
        names = {
            "NPSFLOW_BROKERS": installation.brokers,
            "NPSFLOW_PREFIX": installation.prefix,
            "NPSFLOW_CONFIG": config.name,
        }
        if installation.security == Security():
            names |= dict.fromkeys(VARIABLES, "")  # what is set may be for another cluster than our own
        clients.run(_create(installation, chosen))
        try:
            yield BenchHarness(installation, chosen, os.environ | names)
        finally:
            _delete(installation)


async def _create(installation: Installation, chosen: Settings) -> None:
    async with clients.admin(installation) as client:
        await admin.create(client, wanted(chosen, installation))


def _delete(installation: Installation) -> None:
    client = AdminClient(_librdkafka(installation) | {"log_level": 3})
    names = [
        name for name in client.list_topics(timeout=_DELETE_SECONDS).topics if name.startswith(installation.prefix)
    ]
    for topic in client.delete_topics(names).values():
        topic.result(_DELETE_SECONDS)
    found = client.list_consumer_groups().result(_DELETE_SECONDS).valid
    if groups := [group.group_id for group in found if group.group_id.startswith(installation.prefix)]:
        for group in client.delete_consumer_groups(groups).values():
            group.exception(_DELETE_SECONDS)  # one that is not empty yet stays until its offsets expire


def _librdkafka(installation: Installation) -> dict[str, str | int | float | bool]:
    """How confluent-kafka gets in."""
    security = installation.security
    given = {
        "bootstrap.servers": installation.brokers,
        "security.protocol": security.protocol,
        "ssl.ca.location": security.ca,
        "ssl.certificate.location": security.certificate,
        "ssl.key.location": security.key,
        "ssl.key.password": security.key_password.reveal(),
    }
    if security.login:
        given |= {"sasl.mechanism": security.mechanism, "sasl.username": security.username}
        given["sasl.password"] = security.password.reveal()
    return {name: value for name, value in given.items() if value}


# Processes.


class Process:
    """A module of this package in a process of its own, which prints lines of JSON and reads lines of text."""

    def __init__(self, module: str, *args: str, environment: Mapping[str, str] = os.environ) -> None:
        self._name = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}", *args],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        """It ends when its input does, and is killed when it does not."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def ask(self, line: str) -> None:
        assert self._process.stdin
        print(line, file=self._process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        """Its next line. Raises NotMeasured when there is none."""
        assert self._process.stdout
        too_late = threading.Timer(_PATIENCE, self._process.kill)
        too_late.start()
        try:
            line = self._process.stdout.readline()
        finally:
            too_late.cancel()
        if not line:
            raise NotMeasured(f"{self._name} ended without a word, or said nothing for {_PATIENCE:.0f} s")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measured(module: str, *args: str, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The one line that a process of this package has to say."""
    with Process(module, *args, environment=environment) as process:
        return process.answer()


# Within a measured process.


def tell(**what: Any) -> None:
    """Answer the process that measures this one, whatever else takes over standard output."""
    print(json.dumps(what), file=sys.__stdout__, flush=True)


def one_core() -> bool:
    """Keep this process on one core, the last it may use; False where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return True


def cpu_seconds() -> float:
    """User and system time of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    """The most memory this process has had."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: its getrusage counts what the parent had when it forked
        kilobytes = status.read_text().partition("VmHWM:")[2].split()[0]
        return int(kilobytes) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def starved_seconds() -> float:
    """How long this process could have gone on and had no core to do so; 0 where the system does not tell."""
    stat = Path("/proc/self/schedstat")
    return int(stat.read_text().split()[1]) / 1e9 if stat.exists() else 0.0


def use_uvloop() -> None:
    if sys.platform != "win32":
        from npsflow.agents.runtime import event_loop

        event_loop.use_uvloop()
