"""`npsflow import` on a real Kafka, with a worker: sent once, safe to repeat, whenever it is killed."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from npsflow.agents.broker.embedded import Broker, free_port
from npsflow.agents.kafka import reading
from npsflow.schemas.events import ALERT_RAISED
from npsflow.schemas.topics import DEAD_LETTERS, INVITATIONS, RESPONSES, SERVICE_RECOVERY
from npsflow.streams.classify.counters import OUTCOMES
from tests.agents.platforms.conformance import FIXTURES
from tests.broker.command_harness import CommandHarness, working
from tests.support.waiting import wait_until

MAPPING = """
[intake.old]
platform = "delighted"
survey_id = "s"
[intake.old.fields]
"customer.id" = "person_properties.customer"
"""
DELIGHTED = ("--platform", "delighted")


@pytest.fixture
def harness(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> CommandHarness:
    made = CommandHarness(broker, re.sub(r"[\W_]+", "-", request.node.name) + ".", tmp_path)
    made.config.write_text(MAPPING)
    assert made.run("topics", "create").exit_code == 0
    return made


def export(folder: Path, ages: list[timedelta], score: int | None = None) -> str:
    """A file of one response for each age, newest first."""
    now = datetime.now(UTC)
    rows = [
        f"r{n},nps,{n % 11 if score is None else score},{now - age:%Y-%m-%d %H:%M:%S},C-{n}"
        for n, age in enumerate(ages)
    ]
    path = folder / "export.csv"
    path.write_text("\n".join(["Response ID,Survey Type,Score,Created At,customer", *rows]))
    return str(path)


def outcomes(harness: CommandHarness) -> dict[str, int]:
    """What the worker has counted and committed."""
    counted = asyncio.run(reading.counters(harness.installation, "classify"))
    return {name: counted[name] for name in OUTCOMES if counted[name]}


def raised(harness: CommandHarness) -> list[str]:
    """The responses of alerts; decisions about cases stand on the topic, too."""
    events = harness.records(SERVICE_RECOVERY)
    alerts = [record for record in events if ("ce_type", ALERT_RAISED.encode()) in record.headers]
    return [json.loads(alert.value or b"")["response_id"] for alert in alerts]


def test_a_dry_run_sends_nothing_and_says_what_would_be_sent(harness: CommandHarness, tmp_path: Path) -> None:
    file = export(tmp_path, [timedelta(days=n) for n in range(44)])
    Path(file).write_text(Path(file).read_text() + "\nr99,nps,2\nr98,nps,2,2026-02-30 10:00:00,secret@example.com\n")
    bad = tmp_path / "refused.csv"
    result = harness.run("import", file, *DELIGHTED, "--zone", "UTC", "--dry-run", "--refused", str(bad))
    printed = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert printed[0] == "46 lines read"
    assert printed[1].startswith("44 responses would be sent: nps, ")
    assert "8 more than 35 days before the newest: counted in passing, not to be corrected afterwards" in printed
    assert (
        "21 alerts at most would be stale, not actionable: older than seven days (critical 9, high 6, medium 6)"
        in printed
    )
    assert "7 alerts at most would be fresh and reach subscribers now (critical 3, high 2, medium 2)" in printed
    assert printed[-3:] == [
        "2 lines refused",
        "line 46: ragged: 3 columns where the header has 5",
        "line 47: invalid_time: submitted_at: there is no such date or time",
    ]
    assert "secret" not in result.output
    assert harness.records(RESPONSES) == []

    header, *refused = bad.read_text().splitlines()
    assert header == "Response ID,Survey Type,Score,Created At,customer"
    assert [line[:4] for line in refused] == ["r99,", "r98,"]
    again = harness.run("import", str(bad), *DELIGHTED, "--zone", "UTC", "--dry-run")
    assert "2 lines refused" in again.stdout  # it has a header of its own: it can be mended and imported


def test_a_dry_run_needs_no_kafka(harness: CommandHarness, tmp_path: Path) -> None:
    harness.environment["NPSFLOW_BROKERS"] = f"127.0.0.1:{free_port()}"
    file = export(tmp_path, [timedelta(days=1)])
    result = harness.run("import", file, *DELIGHTED, "--zone", "UTC", "--dry-run")
    assert result.exit_code == 0
    assert "how far npsflow is, is not known: " in result.stdout
    assert harness.run("import", file, *DELIGHTED, "--zone", "UTC").exit_code == 1


def test_sent_in_order_and_safe_to_repeat(harness: CommandHarness, tmp_path: Path) -> None:
    file = export(tmp_path, [timedelta(hours=n) for n in range(66)])
    first = harness.run("import", file, *DELIGHTED, "--zone", "UTC")
    assert first.exit_code == 0, first.output
    assert "66 responses sent: nps, " in first.stdout
    records = harness.records(RESPONSES)
    for partition in range(4):
        times = [json.loads(r.value or b"")["submitted_at"] for r in records if r.partition == partition]
        assert times
        assert times == sorted(times)
    with working(harness):
        wait_until(lambda: outcomes(harness).get("counted") == 66)
        assert harness.run("import", file, *DELIGHTED, "--zone", "UTC").exit_code == 0
        wait_until(lambda: outcomes(harness) == {"counted": 66, "repeated": 66})
    assert sorted(r.value or b"" for r in harness.records(RESPONSES)) == sorted([r.value or b"" for r in records] * 2)
    assert sorted(raised(harness)) == sorted(f"r{n}" for n in range(66) if n % 11 < 7)


DYING = """
import os, signal
from npsflow.agents.kafka import clients, reading
from npsflow.agents.cli import main

deliver, times = clients.deliver, 0

async def dying(client, outputs):
    global times
    times += 1
    if times == 3:  # part of it is under way, and nobody waits for the answer
        for batch_of, batch in outputs.take()[:2]:
            await client.send_batch(batch, batch_of.topic, partition=batch_of.partition)
        os.kill(os.getpid(), signal.SIGKILL)
    await deliver(client, outputs)

clients.deliver = dying
main()
"""


@pytest.mark.parametrize("days", [20, 700])
def test_killed_halfway_and_run_again_every_response_counts_once(
    harness: CommandHarness, tmp_path: Path, days: int
) -> None:
    """Within the horizon what was sent twice is repeated; beyond it, it may come too late, and changes nothing."""
    count = 8_000
    file = export(tmp_path, [timedelta(days=days) * (n / count) for n in range(count)], score=2)
    arguments = ["import", file, *DELIGHTED, "--zone", "UTC"]
    with working(harness):
        killed = subprocess.run([sys.executable, "-c", DYING, *arguments], env=os.environ | harness.environment)
        assert killed.returncode == -signal.SIGKILL
        assert 4_000 <= len(harness.records(RESPONSES)) < count
        assert harness.run(*arguments).exit_code == 0
        wait_until(lambda: outcomes(harness).get("counted") == count)
        wait_until(lambda: sum(outcomes(harness).values()) == len(harness.records(RESPONSES)))
    assert sorted(raised(harness)) == sorted(f"r{n}" for n in range(count))
    late = {dict(letter.headers)["npsflow_dlq_reason"] for letter in harness.records(DEAD_LETTERS)}
    assert late <= ({b"too_late"} if days > 35 else set())


def test_what_a_running_system_would_refuse_is_not_sent(harness: CommandHarness, tmp_path: Path) -> None:
    file = export(tmp_path, [timedelta(days=n) for n in range(100)])
    newest = tmp_path / "newest.csv"
    header, *rows = Path(file).read_text().splitlines()
    newest.write_text("\n".join([header, *rows[:20]]))
    with working(harness):
        assert harness.run("import", str(newest), *DELIGHTED, "--zone", "UTC").exit_code == 0
        wait_until(lambda: outcomes(harness).get("counted") == 20)
        result = harness.run("import", file, *DELIGHTED, "--zone", "UTC")
        assert "not sent: more than 35 days before what npsflow has seen; they would be dead letters" in result.stdout
        wait_until(lambda: outcomes(harness).get("repeated") == 20)
    assert harness.records(DEAD_LETTERS) == []


def test_invitations_go_to_their_own_topic(harness: CommandHarness) -> None:
    result = harness.run("import", str(FIXTURES / "delighted" / "export" / "people.json"), *DELIGHTED)
    assert result.exit_code == 0, result.output
    assert "2 invitations sent: 2026-02-26 to 2026-02-26" in result.stdout
    assert sorted(record.key or b"" for record in harness.records(INVITATIONS)) == [
        b"delighted/9001-1772100000",
        b"delighted/9004-1772100030",
    ]
    assert harness.records(RESPONSES) == []


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        (MAPPING, ("--platform", "paper"), "'paper' is not a platform; there are asknicely, chatwoot, delighted, "),
        (MAPPING, ("--platform", "typeform"), 'no [intake.NAME] has platform = "typeform"'),
        (MAPPING + MAPPING.replace("old", "new"), DELIGHTED, "choose one of old, new with --intake"),
        (MAPPING, (*DELIGHTED, "--intake", "new"), "there is no [intake.new] of delighted; known: old"),
        (MAPPING, (*DELIGHTED, "--zone", "Mars/Base"), "'Mars/Base' is not a time zone"),
    ],
)
def test_what_is_said_wrongly_is_named(
    tmp_path: Path, broker: Broker, settings: str, arguments: tuple[str, ...], message: str
) -> None:
    harness = CommandHarness(broker, "import-wrong.", tmp_path)
    harness.config.write_text(settings)
    result = harness.run("import", export(tmp_path, [timedelta(days=1)]), *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
