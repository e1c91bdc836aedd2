"""`npsflow demo`: shows what it should, can be tried out by hand, and leaves nothing behind."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from npsflow.agents.broker.embedded import HOST, Broker
from npsflow.agents.kafka import clients
from npsflow.streams.engine.installation import Installation
from tests.support.waiting import wait_until

SECONDS = 120
STOP_SECONDS = 5
DEMO = (sys.executable, "-m", "npsflow.agents.entry", "demo")
HALF = """
from npsflow.agents.demo import run
from npsflow.agents.entry import main
run._COUNT, run._NEWEST, run._MORE_COUNT = 10_000, 1_000, 5_000
main()
"""
"""The same with half of the responses, which is half of the work; with all of them it is a step of `.ci/run`."""

PARTS = (
    r"^\(a\)",
    r"gives a 2 .* without a comment \(Formbricks\)",
    r"alert raised after \d+ ms: critical, due \d{4}-\d\d-\d\d \d\d:\d\d UTC, answer by chat$",
    r"open question: \S",
    r"case opened after \d+ ms, of service-recovery: “Thank you for your answer. What is ",
    r"The comment comes later",
    r"alert enriched after \d+ ms: revision 2, new: comment$",
    r"case contacted after \d+ ms$",
    r"case resolved after \d+ ms$",
    r"case loop closed after \d+ ms$",
    r"won back after \d+ ms: 2 then, 9 now$",
    r"gives a 3 ",
    r"alert raised after \d+ ms: high, ",
    r"corrected to a 9",
    r"alert retracted after \d+ ms, because of its category$",
    r"follow-up requested after \d+ ms: thank, and ask for a referral$",
    r"^\(b\)",
    r" 9\d\d of the last three days as signed webhooks of typeform, formbricks, generic;",
    r"department +24h +95% interval +n +7d +95% interval +n$",
    r"Delivery .* dropped: the intervals do not overlap$",
    r"^\(c\)",
    r"kill -9 of worker one after 2,500 of 5,000 more responses",
    r"Started again at once",
    r"expected +lost +emitted twice +different$",
    *(rf"{name} +[1-9][\d,]* +0 +0 +0$" for name in ("alert events", "follow-up events", "dead letters")),
    r"windows +[1-9]\d* +0 +- +0$",
    r"^\(d\)",
    r"too_late +[1-9]\d* ",
    r"sum +[1-9]\d*$",
)


@contextmanager
def demo(broker: Broker, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """HALF of the demo on this broker, in a process of its own that is killed at the end if it is still there."""
    with subprocess.Popen(
        [sys.executable, "-c", HALF, "demo", *arguments],
        env=os.environ | {"NPSFLOW_BROKERS": broker.bootstrap, "PYTHONUNBUFFERED": "1", "TMPDIR": str(folder)},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], pattern: str) -> list[str]:
    """What it prints, up to the first line that has the pattern."""
    lines = []
    assert process.stdout
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if re.search(pattern, line):
            return lines
    pytest.fail(f"it ended without saying {pattern!r}:\n" + "\n".join(lines))


def rest(process: subprocess.Popen[str]) -> str:
    """What it still prints until it ends."""
    return process.communicate(timeout=SECONDS)[0]


def assert_parts(lines: list[str]) -> None:
    """All parts are there, in order, and the sums are right."""
    remaining = iter(lines)
    missing = [part for part in PARTS if not any(re.search(part, line) for line in remaining)]
    assert not missing, "\n".join(["the first of these is missing, or out of order:", *missing, *lines])
    head = next(number for number, line in enumerate(lines) if re.search(r"^ +outcome +records$", line))
    rows = dict(line.replace(",", "").split() for line in lines[head + 1 : head + 10])
    total, read, *outcomes = (int(rows[name]) for name in ("sum", "read", *(rows.keys() - {"sum", "read"})))
    assert len(outcomes) == 7
    assert sum(outcomes) == total == read > 15_000
    (dead,) = (line.split()[1] for line in lines[head + 10 :] if line.split()[:1] == ["sum"])
    assert dead == rows["dead"]


def topics_left(broker: Broker) -> list[str]:
    async def names() -> list[str]:
        async with clients.admin(Installation(broker.bootstrap)) as client:
            return [name for name in await client.list_topics() if name.startswith("demo-")]

    return asyncio.run(names())


def assert_nothing_listens(lines: list[str]) -> None:
    """The ports of both workers and of intake are closed, at the latest in a moment."""
    ports = {int(port) for line in lines for port in re.findall(r" on http://[\d.]+:(\d+)$", line)}
    assert len(ports) == 3
    wait_until(lambda: not any(map(listens, ports)), STOP_SECONDS)


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except ConnectionRefusedError:
        return False
    except OSError:  # it is just being closed
        return True
    return True


def test_shows_the_four_parts_and_stays_up_for_the_commands_it_names(broker: Broker, tmp_path: Path) -> None:
    """With --once it ends there, and is a step of `.ci/run`."""
    with demo(broker, tmp_path) as process:
        lines = read_until(process, r" produce -$")
        assert_parts(lines)
        assert not any("\033" in line for line in lines)
        follow, produce = (line.strip() for line in lines if line.endswith((" alerts --follow", " produce -")))

        sent = subprocess.run(produce, shell=True, cwd=tmp_path, capture_output=True, timeout=SECONDS, check=True)
        assert sent.stdout.startswith(b"1 records sent")
        with subprocess.Popen(f"exec env {follow}", shell=True, cwd=tmp_path, stdout=subprocess.PIPE) as alerts:
            assert alerts.stdout
            assert any(re.search(rb"raised +critical +nps 2 +C-1 ", line) for line in alerts.stdout)
            alerts.terminate()

        process.terminate()
        assert process.wait(STOP_SECONDS) == 0
        assert rest(process) == "stopped: nothing of the demo runs any more\n"
    assert_nothing_listens(lines)
    assert topics_left(broker) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_leaves_no_process_behind(broker: Broker, tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM is heard as SIGINT is: see above."""
    with demo(broker, tmp_path, "--once") as process:
        lines = read_until(process, r"^\(a\)")
        process.send_signal(number)
        assert process.wait(STOP_SECONDS) == (-number if number == signal.SIGKILL else 130)
        assert "Traceback" not in rest(process)
    assert_nothing_listens(lines)


def test_says_what_is_wrong(broker: Broker, tmp_path: Path) -> None:
    environment = os.environ | {"NPSFLOW_BROKERS": f"{HOST}:1"}
    done = subprocess.run(
        [*DEMO, "--once"], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Error: reach: no Kafka broker answers at {HOST}:1 (Connection refused): "
        "start one (`npsflow broker`), or set NPSFLOW_BROKERS"
    ]
