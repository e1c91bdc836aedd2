"""`rest`: what every process that lasts takes while nothing happens: percent of a core, and memory.

All of them run at the same time on one Kafka, a worker with its three stages first. Kafka's own share is in each line.
"""

import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

from npsflow.agents.broker.embedded import HOST, free_port
from npsflow.streams.engine.installation import Installation
from tests.bench.common import NotMeasured, bench_harness, report, say, scaled

_SETTLE, _SECONDS, _PATIENCE = 10, scaled(30), 60
_CPU_LIMITS = {"worker": 1.0, "notify": 0.3, "fetch": 0.3, "board": 0.3}
_WORKER_MB = 65
_PROC = Path("/proc")
_TOML = """
[notify.desk]
kind = "webhook"
to = { "*" = "http://127.0.0.1:9/" }
options = { internal = true }

[intake.forms]
platform = "surveymonkey"

[[intake.forms.scores]]
question = "weights.1"
metric = "nps"
"""
_SECRETS = {
    "NPSFLOW_SECRET_NOTIFY_DESK": "whsec_YSBzZWNyZXQgb2YgdHdlbnR5LWZvdXIgYnl0",
    "NPSFLOW_TOKEN_FORMS": "a-token-that-nobody-asks-for",
    "NPSFLOW_SECRET_BOARD": secrets.token_hex(16),
}


def run(at: Installation) -> None:
    if not (_PROC / "self" / "schedstat").exists():
        say("rest: not measured, this system has no /proc/self/schedstat")
        return
    with bench_harness(at, _TOML) as here, ExitStack() as stack:
        environment = here.environment | _SECRETS
        pids = {name: stack.enter_context(_process(name, environment)) for name in _CPU_LIMITS}
        if (broker := _broker(at)) is not None:
            pids["broker"] = broker
        say(f"rest: nothing happens for {_SETTLE + _SECONDS} s")
        time.sleep(_SETTLE)
        began, before = time.monotonic(), {name: _cpu_seconds(pid) for name, pid in pids.items()}
        time.sleep(_SECONDS)
        took, after = time.monotonic() - began, {name: _cpu_seconds(pid) for name, pid in pids.items()}
        memory = {name: _memory_mb(pid) for name, pid in pids.items()}
    for name in pids:
        percent = 100 * (after[name] - before[name]) / took
        report(f"rest_{name}", percent, "% of a core", _CPU_LIMITS.get(name))
        if name != "broker":
            resident, own = memory[name]
            report(f"rest_{name}_memory", resident, "MB", _WORKER_MB if name == "worker" else None, own_mb=own)


@contextmanager
def _process(name: str, environment: dict[str, str]) -> Iterator[int]:
    """One command of npsflow, ready; gives its process id."""
    port, where = free_port(), "--web-port" if name == "worker" else "--port"
    command = [name, "desk"] if name == "notify" else [name]
    with subprocess.Popen(
        [sys.executable, "-m", "npsflow.agents.entry", *command, where, str(port)],
        env=environment | {"NPSFLOW_LOG_LEVEL": "WARNING"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _await_ready(name, process, port)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)


def _await_ready(name: str, process: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + _PATIENCE
    while not _is_ready(port):
        if process.poll() is not None or time.monotonic() > end:
            raise NotMeasured(f"{name} did not get ready")
        time.sleep(0.2)


def _is_ready(port: int) -> bool:
    connection = HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _broker(at: Installation) -> int | None:
    """The process of Kafka, where it is one of ours on this machine."""
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            properties = folder / "cwd" / "server.properties"
            if b"kafka.Kafka" in (folder / "cmdline").read_bytes() and at.brokers in properties.read_text():
                return int(folder.name)
    return None


def _cpu_seconds(pid: int) -> float:
    """Time on a core of all threads, to the nanosecond: at rest a tick of 10 ms is too coarse."""
    return sum(int(path.read_text().split()[0]) for path in (_PROC / str(pid) / "task").glob("*/schedstat")) / 1e9


def _memory_mb(pid: int) -> tuple[float, float]:
    """What it has resident, and what of it nobody else has."""
    lines = dict(line.split(":", 1) for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:])
    kb = {name: int(value.split()[0]) for name, value in lines.items()}
    return kb["Rss"] * 1024 / 1e6, (kb["Private_Clean"] + kb["Private_Dirty"]) * 1024 / 1e6
