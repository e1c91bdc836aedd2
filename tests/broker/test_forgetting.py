"""`npsflow forget` on a real Kafka: afterwards, and after compaction and retention, nothing says who it was."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from click.testing import CliRunner, Result

from npsflow.agents.broker.embedded import Broker, free_port
from npsflow.agents.cli import main
from npsflow.agents.demo.sample import Line
from npsflow.agents.kafka import clients, reading
from npsflow.schemas import topics
from npsflow.streams.engine.kafka.clients import client_options
from npsflow.streams.intake.entrance import pseudonym
from npsflow.streams.topology import wanted
from tests.conftest import SHORT_SESSIONS
from tests.support.waiting import eventually

from .harness import FIXED, Harness, response_line

SETTINGS = (
    FIXED
    + """
horizon_days = 1
[windows]
lengths = ["1h", "24h"]
[alerts]
private_fields = true
[topics]
partitions = 1
pane_partitions = 1
"""
)
HASTE = SHORT_SESSIONS | {
    "log.retention.check.interval.ms": "200",
    "log.cleaner.backoff.ms": "200",
    "log.segment.delete.delay.ms": "100",
}
KEPT_SHORTLY = {"retention.ms": "5000", "segment.ms": "1000"}
COMPACTED_SOON = {"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.0001", "delete.retention.ms": "200"}
PERSONAL = re.compile(rb"C-4711(?!0)|Ann Example|ann@example|boiler|called her")


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Broker]:
    """A broker that deletes and compacts as soon as it may."""
    broker = Broker(tmp_path / "kafka", free_port(), HASTE, brief=True)
    broker.start()
    yield broker
    broker.stop()


def printed(number: int, customer: dict[str, Any], ago: timedelta = timedelta(), **fields: Any) -> Line:
    submitted = (datetime.now(UTC) - ago).isoformat()
    return response_line(number, submitted_at=submitted, customer=customer, **fields)


async def raw(harness: Harness) -> dict[str, list[str]]:
    """By topic, what of the customer's data is still read from it, uncommitted records too."""
    found: dict[str, list[str]] = {}
    client = client_options(harness.installation)
    async with AIOKafkaConsumer(**client, isolation_level="read_uncommitted") as consumer:
        of = [TopicPartition(topic.name, 0) for topic in wanted(harness.settings, harness.installation)]
        async for record in reading.to_the_end(consumer, of):
            for text in (record.key, record.value, *(value for _, value in record.headers)):
                for hit in PERSONAL.findall(text or b""):
                    found.setdefault(record.topic.removeprefix(harness.installation.prefix), []).append(hit.decode())
    return found


async def run(harness: Harness, folder: Path, *args: str, answer: str = "") -> Result:
    config = folder / "npsflow.toml"
    config.write_text(SETTINGS)
    environment = harness.environment | {"NPSFLOW_CONFIG": str(config)}
    return await asyncio.to_thread(CliRunner().invoke, main, args, env=environment, input=answer)


async def known_cases(harness: Harness) -> list[bytes]:
    latest = {record.key: record.value for record in await harness.read(topics.CASES)}
    return [value for value in latest.values() if value is not None]


@pytest.mark.faults  # it takes long
async def test_nothing_says_who_it_was(hasty: Broker, tmp_path: Path) -> None:
    ann = {"id": "C-4711", "name": "Ann Example", "email": "ann@example.com", "contact_allowed": True}
    before = timedelta(days=2)
    async with Harness(hasty, "forget.", SETTINGS) as harness, harness.worker():
        installation = harness.installation
        harness.produce(
            [
                printed(1, ann, before, score=1, comment="My boiler leaks"),
                printed(2, ann, before, score=10, metric="csat", scale={"min": 0, "max": 10}),  # a dead letter
                printed(3, {"id": "C-47110"}, before, score=2),
                printed(5, {"id": "C-5"}, before, score=5, metric="csat"),
            ]
        )
        async with clients.producer(installation) as producer:
            asked = json.dumps({"invitation_id": "i", "source": "s", "survey_id": "q", "customer": ann}).encode()
            await producer.send_and_wait(installation.topic(topics.INVITATIONS), asked, b"C-4711", 0)

        async def two_cases() -> bool:
            return len(await known_cases(harness)) == 2

        await eventually(two_cases)
        harness.produce([printed(4, ann, before, score=9)])  # with a case open, nothing is asked
        case = next(json.loads(value) for value in await known_cases(harness) if b"boiler" in value)
        done = await run(harness, tmp_path, "act", "contact", case["case_id"], "--comment", "called her")
        assert done.exit_code == 0, done.output
        await eventually(harness.finished)
        windows = await harness.windows()
        assert windows
        held = await raw(harness)
        assert held.keys() == {
            "survey-responses", "survey-responses-dlq", "service-recovery", "customer-follow-up", "recovery-actions",
            "recovery-cases", "survey-invitations", "npsflow-classify-remembered", "npsflow-recover-state",
        }  # fmt: skip

        forgotten = await run(harness, tmp_path, "forget", "C-4711", "--yes")
        assert forgotten.exit_code == 0, forgotten.output
        assert "cases among it: 1;" in forgotten.stdout
        rows = {row.split()[0]: row.split()[1:4] for row in forgotten.stdout.splitlines() if row}
        days = dict.fromkeys(held, (90 + 7, 90 + 8)) | {"survey-responses-dlq": (187, 188)}
        expected = {"survey-responses": "3", "survey-responses-dlq": "1", "survey-invitations": "1"}
        for topic, records in (expected | {"customer-follow-up": "1", "recovery-actions": "2"}).items():
            assert rows[topic][0] == records
            until = datetime.fromisoformat(" ".join(rows[topic][1:])).replace(tzinfo=UTC)
            assert days[topic][0] - 1 <= (until - datetime.now(UTC)).days < days[topic][1]
        assert rows["npsflow-classify-remembered"][0] == "2"
        assert PERSONAL.search(b"".join(await known_cases(harness))) is None
        assert len(await known_cases(harness)) == 1
        assert await harness.windows() == windows  # counts stay

        again = await run(harness, tmp_path, "forget", "C-4711", "--yes")
        assert "cases among it: 0;" in again.stdout
        assert len([r for r in await harness.read(topics.ACTIONS) if b"forget" in (r.value or b"")]) == 1

        for made in wanted(harness.settings, installation):
            if made.config.get("retention.ms") != "-1":
                haste = COMPACTED_SOON if made.config["cleanup.policy"] == "compact" else KEPT_SHORTLY
                await harness.configure_topic(made.name.removeprefix(installation.prefix), {**made.config, **haste})
        numbers = count(100)

        async def gone(left: dict[str, list[str]]) -> bool:
            """Others go on to answer, so that segments end and time passes."""
            number = next(numbers)
            harness.produce([printed(number, {"id": f"C-{number}"}, score=2)])
            left.clear()
            left.update(await raw(harness))
            return not left

        left: dict[str, list[str]] = {}
        await eventually(partial(gone, left), 120)
        assert b"C-47110" in b"".join(await known_cases(harness))


async def test_what_classify_has_still_to_read_is_waited_for(broker: Broker, tmp_path: Path) -> None:
    async with Harness(broker, "forget-behind.", SETTINGS) as harness:
        harness.produce([printed(1, {"id": "C-4711"}, score=1)])
        async with harness.worker("recover"):
            behind = await run(harness, tmp_path, "forget", "C-4711", "--yes", "--timeout", "2")
            assert (behind.exit_code, "classify has not read" in behind.stderr) == (1, True)
            async with harness.worker("classify"):
                done = await run(harness, tmp_path, "forget", "C-4711", "--yes")
                assert "cases among it: 1;" in done.stdout, done.output
        assert await known_cases(harness) == []


@pytest.mark.parametrize("name", ["C/7" + "x" * 252, 'Zoë "7"\\\N{PILE OF POO}'])
async def test_odd_names(broker: Broker, tmp_path: Path, name: str) -> None:
    """As other writers of JSON have them: with their slashes escaped, or all that is not ASCII."""
    escaped = json.dumps(name).replace("/", "\\/")
    async with Harness(broker, f"forget-odd-{len(name)}.", SETTINGS) as harness, harness.worker():
        asked = f'{{"invitation_id":"i","source":"s","survey_id":"q","customer":{{"id":{escaped}}}}}'
        async with clients.producer(harness.installation) as producer:
            await producer.send_and_wait(harness.installation.topic(topics.INVITATIONS), asked.encode())
        harness.produce([printed(1, {"id": name}, score=1), printed(2, {"id": name + "y"}, score=1)])

        async def two_cases() -> bool:
            return len(await known_cases(harness)) == 2

        await eventually(two_cases)
        done = await run(harness, tmp_path, "forget", name, "--yes")
        assert "cases among it: 1;" in done.stdout, done.output
        rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[2:]}
        assert (rows["survey-invitations"], rows["survey-responses"], rows["recovery-actions"]) == ("1", "1", "1")
        (left,) = await known_cases(harness)
        assert json.loads(left)["customer_id"] == name + "y"


async def test_who_is_known_by_an_address(broker: Broker, tmp_path: Path) -> None:
    """Intake has made an id of it; what it refused holds the address itself."""
    key = {"NPSFLOW_SECRET_CUSTOMERS": "of pseudonyms"}
    ann = {"id": pseudonym(" ann@example.com", "of pseudonyms")}
    async with Harness(broker, "forget-address.", SETTINGS) as harness, harness.worker():
        harness.produce(
            [printed(1, ann, score=1), printed(2, {"id": "C-4711"}, score=1), printed(3, {"id": "C-5"}, score=1)]
        )
        async with clients.producer(harness.installation) as producer:
            topic = harness.installation.topic(topics.DEAD_LETTERS)
            await producer.send_and_wait(topic, b'{"to":"Ann@Example.com"} {"to":"joann@example.com"}')
            await producer.send_and_wait(topic, b'{"to":"joann@example.com"}')

        async def three_cases() -> bool:
            return len(await known_cases(harness)) == 3

        await eventually(three_cases)
        keyless = await run(harness, tmp_path, "forget", "ann@example.com", "--yes")
        assert "cases among it: 0;" in keyless.stdout
        assert "NPSFLOW_SECRET_CUSTOMERS is not set" in keyless.stderr
        harness.environment |= key
        done = await run(harness, tmp_path, "forget", "ANN@example.com", "C-4711", "--yes")
        assert "cases among it: 2;" in done.stdout, done.output
        rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[2:]}
        assert (rows["survey-responses"], rows["survey-responses-dlq"], rows["recovery-actions"]) == ("2", "1", "2")
        assert rows["npsflow-classify-remembered"] == "2"
        (left,) = await known_cases(harness)
        assert json.loads(left)["customer_id"] == "C-5"


async def test_an_address_finds_customers_and_a_typo_is_no_success(broker: Broker, tmp_path: Path) -> None:
    ann = {"email": "Ann@Example.com", "name": "Ann Example"}
    async with Harness(broker, "forget-found.", SETTINGS) as harness, harness.worker():
        harness.produce(
            [
                printed(1, {"id": "C-4711"} | ann, score=1),
                printed(2, {"id": "C-4711"} | ann, score=1, metric="csat"),
                printed(3, {"id": "C-4712"} | ann, score=1),
                printed(4, {"id": "C-5", "email": "joann@example.com"}, score=1),
                printed(5, ann, score=1),
            ]
        )

        async def four_cases() -> bool:
            return len(await known_cases(harness)) == 4

        await eventually(four_cases)
        for name, near in ("C-47111", "C-4711"), ("C-5 ", "C-5"), ("ann@exmaple.com", "ann@example.com"), ("Zoë", ""):
            unknown = await run(harness, tmp_path, "forget", "C-4711", name, "--yes")
            assert (unknown.exit_code, unknown.stdout) == (1, "")
            assert f"nothing is known of {name.strip()}; near it there is {near or 'nothing'}" in unknown.stderr
            assert "C-4711; near" not in unknown.stderr
        assert len(await known_cases(harness)) == 4

        told = "Ann <ANN@example.com>"
        chosen = await run(harness, tmp_path, "forget", told, answer="9\n1 2\nn\n")
        assert chosen.exit_code == 1
        number = next(line.split()[0] for line in chosen.stderr.splitlines() if "C-4712," in line)
        assert ["C-5" in line for line in chosen.stderr.splitlines()].count(True) == 0
        chosen = await run(harness, tmp_path, "forget", told, answer=f"{number}\ny\n")
        assert "cases among it: 1;" in chosen.stdout, chosen.output
        customers = [str(json.loads(case).get("customer_id")) for case in await known_cases(harness)]
        assert sorted(customers) == ["C-4711", "C-5", "None"]
        said = ["Ann  EXAMPLE has a new router", "another Ann, not Example", "she is joann@example.com"]
        async with clients.producer(harness.installation) as producer:
            for which, comment in enumerate(said):
                fixed = {"action_id": f"f-{which}", "action": "fixed", "by": "x", "root_cause": "router"}
                value = json.dumps(fixed | {"comment": comment}).encode()
                await producer.send_and_wait(harness.installation.topic(topics.ACTIONS), value)
        done = await run(harness, tmp_path, "forget", "ann@example.com", "--yes")
        assert "cases among it: 2;" in done.stdout, done.output
        rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[2:]}
        assert rows["recovery-actions"] == "4", "three customers were forgotten, and of one something was said"
        (left,) = await known_cases(harness)
        assert json.loads(left)["customer_id"] == "C-5"


async def test_what_is_no_text_is_said(tmp_path: Path, broker: Broker) -> None:
    harness = Harness(broker, "forget-none.")
    for command in ("forget", "\udcff"), ("act", "note", "c", "--comment", "\udcff"):
        broken = await run(harness, tmp_path, *command, "--yes" if "forget" in command else "--by=anna")
        assert (command, broken.exit_code, "UTF-8" in broken.stderr) == (command, 2, True)


async def test_it_asks_and_says_when_nobody_answers(broker: Broker, tmp_path: Path) -> None:
    async with Harness(broker, "forget-alone.", SETTINGS) as harness:
        async with clients.producer(harness.installation) as producer:
            topic = harness.installation.topic(topics.SERVICE_RECOVERY)
            await producer.send_and_wait(topic, b"{}", b"C-4711", 0)
        assert (await run(harness, tmp_path, "forget", "C-4711")).exit_code == 1  # nobody said yes
        alone = await run(harness, tmp_path, "forget", "C-4711", "--yes", "--timeout", "1")
        assert alone.exit_code == 1
        assert "is a worker running?" in alone.stderr
        assert await harness.read(topics.ACTIONS) == []
