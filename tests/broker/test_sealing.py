"""Personal texts sealed on a real Kafka: on no topic, read by people, until the key is deleted."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry

from npsflow.agents.board.process import open_board
from npsflow.agents.broker.embedded import HOST, Broker, free_port
from npsflow.agents.cli import main
from npsflow.agents.intake.endpoint import unsigned
from npsflow.agents.kafka import clients, reading
from npsflow.agents.notify import kinds
from npsflow.agents.notify.context import Context
from npsflow.agents.notify.kind import Delivered
from npsflow.agents.notify.kind import Result as Sent
from npsflow.agents.notify.metrics import Metrics
from npsflow.agents.notify.process import open_notifier
from npsflow.agents.operations.forwarding import forward
from npsflow.agents.sealing.keyring import Keyring
from npsflow.agents.sealing.sealer import Sealing, Seals, open_sealing
from npsflow.schemas import topics
from npsflow.schemas.errors import SettingsError
from npsflow.streams.classify.counters import OUTCOMES
from npsflow.streams.config.settings import parse
from npsflow.streams.engine import admin
from npsflow.streams.engine.admin import Wanted
from npsflow.streams.intake.entrance import KeyedRecord
from npsflow.streams.notify.message import Message
from npsflow.streams.topology import wanted
from tests.agents.intake.serving import FREELY, PATH, serving, signed
from tests.agents.platforms.signing import SECRET
from tests.support.responses import response
from tests.support.waiting import eventually

from .harness import FIXED, Harness, response_line
from .test_forgetting import HASTE

FIXTURE = Path(__file__).parents[1] / "agents/platforms/fixtures/formbricks"
SETTINGS = f"""{FIXED}
[alerts]
private_fields = true
[topics]
partitions = 2
pane_partitions = 1
[sealing]
enabled = ENABLED
attributes = ["contact"]
[notify.desk]
kind = "console"
events = ["opened", "contacted"]
private = ["comment", "name", "email", "phone"]
[intake.feedback]
{(FIXTURE / "export/form.toml").read_text().split("[[")[0]}
[[intake.feedback.scores]]
question = "answers.nps"
metric = "nps"
[intake.feedback.fields]
"customer.id" = "contact.userId"
"customer.email" = "attributes.email"
[intake.feedback.columns]
"1. How likely are you to recommend us?" = "answers.nps"
"3. Why?" = "answers.comment"
"""
PERSONAL = re.compile(rb"(?i)Ann Example|ann@example|boiler|612345678|called her|said on the board|Bob Other|coffee")
ANN = {"id": "C-1", "name": "Ann Example", "email": "Ann@Example.com", "phone": "+31 6 12345678"}
WRAP = "0123456789abcdef0123456789abcdef"


def settings(*, enabled: bool) -> str:
    return SETTINGS.replace("ENABLED", str(enabled).lower())


async def run(harness: Harness, folder: Path, *args: str, answer: str = "") -> Result:
    environment = harness.environment | {"NPSFLOW_CONFIG": str(folder / "npsflow.toml")}
    return await asyncio.to_thread(CliRunner().invoke, main, args, env=environment, input=answer)


async def done(harness: Harness, folder: Path, *args: str) -> str:
    result = await run(harness, folder, *args)
    assert result.exit_code == 0, (args, result.output)
    return result.stdout


def webhook(number: int, answers: dict[str, Any]) -> bytes:
    """A finished form, answered now, of Ann."""
    body = json.loads((FIXTURE / "good.json").read_text())
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    body["data"] |= {"id": f"w{number}", "createdAt": now, "updatedAt": now, "data": answers}
    body["data"]["contact"]["userId"] = "C-1"
    body["data"]["contactAttributes"] |= {"userId": "C-1", "email": "ann@example.com"}
    body["data"]["ttc"] = dict.fromkeys(answers, 1.0)
    return json.dumps(body).encode()


def lines() -> bytes:
    """For `produce`: good, odd and refused responses."""
    now = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()

    def line(name: str, score: Any = 1, **more: Any) -> str:
        return json.dumps(response(name, score, **{"submitted_at": now} | more))

    whole: dict[str, Any] = {
        "customer": ANN,
        "comment": "My boiler leaks",
        "response_url": "https://s.example/?who=ann@example.com",
    }
    whole |= {"answers": [{"question_id": "q", "text": "Boiler, again"}, {"question_id": "s", "score": 1}]}
    whole |= {"attributes": {"contact": "Ann Example", "plan": "pro"}, "profile": {"mail": "ann@example.com"}}
    return "\n".join(
        [
            line("p1", metric="csat", **whole),
            line("p1", metric="csat", **whole),
            line("p1", metric="csat", **whole | {"comment": "My boiler leaks again"}),
            line("p2", customer={"id": "C-2", "name": "Bob Other"}, comment="Cold coffee"),
            line("p3", customer=ANN, comment={"text": "boiler"}, department=["boiler"]),
            line("p4", 99, **whole),
            line("p5", comment="An anonymous boiler"),
            line("p6", 9, customer={"id": "C-3"}),
            json.dumps({"source": "s", "response_id": "p6", "deleted": True}),
            line("p7", comment="Half a boiler \\ud83d").replace("\\\\ud83d", "\\ud83d"),
            "Ann Example <ann@example.com> has a boiler",
            json.dumps([response("p8", comment="boiler")]),
        ]
    ).encode()


class Told:
    """What a notifier has sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> Sent:
        self.messages.append(message)
        return Delivered()


@asynccontextmanager
async def notifying(harness: Harness, keyring: Keyring) -> AsyncIterator[Told]:
    told, stopping = Told(), asyncio.Event()
    notifier = harness.settings.notify["desk"]
    context = Context(
        "desk", notifier, kinds.named("console"), harness.installation, Metrics(CollectorRegistry()), keyring
    )
    async with open_notifier(context, told) as running:
        work = asyncio.create_task(running.run(stopping))
        try:
            yield told
        finally:
            stopping.set()
            await work


def install(folder: Path, toml: str) -> None:
    folder.mkdir()
    (folder / "npsflow.toml").write_text(toml)


@asynccontextmanager
async def installed(
    broker: Broker, folder: Path, *, enabled: bool
) -> AsyncIterator[tuple[Harness, Path, Sealing, Told]]:
    """An installation with a worker, a notifier and a settings file in a folder of its own."""
    install(folder, settings(enabled=enabled))
    async with Harness(broker, f"sealing-{folder.name}.", settings(enabled=enabled)) as harness, harness.worker():
        harness.environment["NPSFLOW_SECRET_KEYS"] = WRAP
        async with (
            open_sealing(harness.settings, harness.installation, harness.environment) as sealing,
            notifying(harness, sealing.keyring) as told,
        ):
            yield harness, folder, sealing, told


async def fill(harness: Harness, folder: Path, told: Told, sealer: Seals) -> None:
    """Every way in, and what a team does."""
    head, _, row, *_ = (FIXTURE / "export/export.csv").read_text().splitlines()
    (folder / "export.csv").write_text(f"{head}\n{row.replace('Quick and friendly.', 'The boiler was new')}\n")
    imported = ["import", str(folder / "export.csv"), "--platform", "formbricks", "--zone", "UTC", "--form", "q"]
    assert "1 response" in await done(harness, folder, *imported)
    endpoint = replace(unsigned(harness.settings, {})["feedback"], secrets=[SECRET])
    forms: list[dict[str, Any]] = [{"nps": 2, "comment": "Nobody mended my boiler"}, {"other": "Call Ann Example"}]
    async with serving(harness.installation, endpoints={"feedback": endpoint}, sealer=sealer) as intake:
        for number, answers in enumerate(forms):
            answer = await intake.client.post(PATH, **signed(webhook(number, answers)))
            assert answer.status == 200 + 2 * number, await answer.text()
    (folder / "lines.jsonl").write_bytes(lines())
    assert "12 records sent" in await done(harness, folder, "produce", str(folder / "lines.jsonl"))
    await eventually(harness.finished)
    listed = await done(harness, folder, "cases", "--json")
    cases = {json.loads(line)["key"]: json.loads(line) for line in listed.splitlines()}
    await done(harness, folder, "act", "contact", cases["C-1"]["case_id"], "--comment", "called her at home")
    await eventually(harness.finished)

    async def all_told() -> bool:
        texts = "".join(message.text() for message in told.messages)
        return "coffee" in texts.lower() and "called her" in texts

    await eventually(all_told)


async def board(harness: Harness) -> dict[str, str]:
    """By customer, the comment of each case on the board, of Bob's the note that is made there."""
    headers, shown = {"Authorization": "Bearer token"}, dict[str, str]()
    async with (
        open_board(harness.installation, ["token"], HOST, 0, limits=FREELY, settings=harness.settings) as (
            reader,
            port,
        ),
        aiohttp.ClientSession(f"http://{HOST}:{port}", headers=headers) as client,
    ):
        following = asyncio.create_task(reader.follow())

        async def loaded() -> bool:
            return reader.ready

        await eventually(loaded)
        async with client.get("/cases") as answer:
            cases = (await answer.json())["cases"]
        shown = {case["key"]: case["comment"] for case in cases if "comment" in case}
        name = next(case["case_id"] for case in cases if case["key"] == "C-2")
        note = {"action": "note", "by": "anna", "comment": "said on the board"}
        async with client.post(f"/cases/{name}/actions?wait=1", json=note) as answer:
            shown["note"] = (await answer.json())["history"][-1]["comment"]
        following.cancel()
        await asyncio.wait([following])
    return shown


async def raw(harness: Harness) -> dict[str, list[bytes]]:
    """By topic, everything personal that is read from it, uncommitted records too: keys, values and headers."""
    found: dict[str, list[bytes]] = {}
    of = [
        TopicPartition(t.name, p) for t in wanted(harness.settings, harness.installation) for p in range(t.partitions)
    ]
    async with AIOKafkaConsumer(
        bootstrap_servers=harness.installation.brokers, isolation_level="read_uncommitted", enable_auto_commit=False
    ) as consumer:
        async for record in reading.to_the_end(consumer, of):
            for text in (record.key, record.value, *(value for _, value in record.headers)):
                if hits := PERSONAL.findall(text or b""):
                    found.setdefault(record.topic.removeprefix(harness.installation.prefix), []).extend(hits)
    return found


async def fixed(harness: Harness, keyring: Keyring) -> list[str]:
    """What was said of root causes that are mended, opened."""
    records = [record.value or b"" for record in await harness.read(topics.ACTIONS) if record.key is None]
    return sorted({json.loads(await keyring.read(value))["comment"] for value in records})


async def counted(harness: Harness) -> dict[str, Any]:
    """What does not depend on the content of personal fields: outcomes, events, warnings, and numbers of records."""
    classified = await reading.counters(harness.installation, "classify")
    events = Counter[str]()
    for topic in topics.SERVICE_RECOVERY, topics.FOLLOW_UP:
        events.update(dict(record.headers)["ce_type"].decode() for record in await harness.read(topic))
    letters = len(await harness.read(topics.DEAD_LETTERS))
    windows = {key: json.loads(value)["n"] for key, value in (await harness.windows()).items()}
    return {
        "outcomes": {name: classified[name] for name in OUTCOMES},
        # Half a character is mended before it is sealed, so classify warns of it no more.
        "warnings": {
            name: count
            for name, count in classified.items()
            if name.startswith("warning") and name != "warning:lone_surrogate"
        },
        "events": events,
        "letters": letters,
        "windows": windows,
    }


async def test_nothing_personal_is_on_kafka_and_a_deleted_key_ends_it(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPSFLOW_SECRET_KEYS", WRAP)
    async with installed(broker, tmp_path / "clear", enabled=False) as (harness, folder, sealing, told):
        await fill(harness, folder, told, sealing.sealer)
        clear, found = await counted(harness), await raw(harness)
    for topic in topics.RESPONSES, topics.DEAD_LETTERS, topics.SERVICE_RECOVERY, topics.ACTIONS, topics.CASES:
        assert topic in found

    async with installed(broker, tmp_path / "sealed", enabled=True) as (harness, folder, sealing, told):
        await fill(harness, folder, told, sealing.sealer)
        assert await counted(harness) == clear
        assert await raw(harness) == {}

        # Whom it concerns reads it.
        text = "\n".join(message.text() for message in told.messages)
        for words in ("Nobody mended my boiler", "Cold coffee", "called her at home", "Bob Other"):
            assert words in text
        alerts = await done(harness, folder, "alerts", "--json")
        for words in (
            "An anonymous boiler",
            "My boiler leaks again",
            "Ann@Example.com",
            "+31 6 12345678",
            "?who=ann@example.com",
        ):
            assert words in alerts
        cases = await done(harness, folder, "cases", "--json")
        assert "called her at home" in cases
        assert "Cold coffee" in await done(harness, folder, "cases")
        assert {"Cold coffee", "said on the board"} <= {*(await board(harness)).values()}
        assert await raw(harness) == {}
        letters = [
            json.loads(line)["id"] for line in (await done(harness, folder, "dlq", "list", "--json")).splitlines()
        ]
        shown = "".join([await done(harness, folder, "dlq", "show", letter) for letter in letters])
        for words in (
            "Call Ann Example",
            "<ann@example.com> has a boiler",
            "My boiler leaks",
            '"comment": "boiler"',
        ):
            assert words in shown
        assert "npsflow.sealed" not in text + alerts + cases + shown

        # A replay seals again what it has opened.
        again = await done(harness, folder, "dlq", "replay", "--again", "--reason", "not_json")
        assert "2 dead letters sent back" in again
        await eventually(harness.finished)
        assert await raw(harness) == {}

        # A comment about a root cause is about no customer, and may name one.
        for comment in "Ann Example has a new boiler", "all routers are new":
            await done(harness, folder, "act", "fixed", "late", "--comment", comment)
        assert await raw(harness) == {}
        assert [comment[:11] for comment in await fixed(harness, sealing.keyring)] == ["Ann Example", "all routers"]

        forgotten = await done(harness, folder, "forget", "ann@example.com", "--yes")
        assert await fixed(harness, sealing.keyring) == ["all routers are new", "erased"]
        assert "forgotten: all that recover knew" in forgotten
        rows = {line.split()[0]: line.split()[1:3] for line in forgotten.splitlines() if line}
        assert rows["survey-responses"][1] == rows["service-recovery"][1] == rows["recovery-actions"][1] == "0"
        assert "Keys deleted: " in forgotten
        left = "".join(
            [
                await done(harness, folder, "alerts", "--json"),
                await done(harness, folder, "cases", "--json"),
                *[await done(harness, folder, "dlq", "show", letter) for letter in letters],
            ]
        )
        for words in ("Ann Example", "nn@", "My boiler", "my boiler", "called her", "12345678", "has a boiler"):
            assert words not in left
        assert '"comment":"erased"' in left
        for words in ("Cold coffee", "Bob Other", "An anonymous boiler"):
            assert words in left
        assert "npsflow.sealed" not in left

        # What comes afterwards is new, also to processes that had the key.
        (made,) = await sealing.sealer.seal([KeyedRecord(topics.ACTIONS, b"C-1", b'{"comment":"a new boiler"}')])
        assert b"boiler" not in (made.value or b"")
        assert b"a new boiler" in await sealing.keyring.read(made.value or b"")

        harness.environment["NPSFLOW_SECRET_KEYS"] = "another " * 8
        locked = await run(harness, folder, "alerts")
        assert (locked.exit_code, "set NPSFLOW_SECRET_KEYS" in locked.stderr) == (2, True)


@asynccontextmanager
async def sealers(harness: Harness, count: int) -> AsyncIterator[list[Sealing]]:
    """As many processes have them, one each."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_sealing(harness.settings, harness.installation, harness.environment))
            for _ in range(count)
        ]


def comment_of(customer: str, text: str = "boiler") -> KeyedRecord:
    return KeyedRecord(topics.ACTIONS, customer.encode(), json.dumps({"comment": text}).encode())


async def keys(harness: Harness) -> dict[bytes, bytes | None]:
    return {record.key or b"": record.value for record in await harness.read(topics.CUSTOMER_KEYS)}


async def test_keys_are_made_once_shared_and_gone_once_deleted(broker: Broker) -> None:
    async with (
        Harness(broker, "sealing-keys.", settings(enabled=True)) as harness,
        sealers(harness, 2) as (first, second),
    ):
        made = await asyncio.gather(*(first.sealer.seal([comment_of("C-1"), comment_of("C-2")]) for _ in range(20)))
        assert len({(one.value, two.value) for one, two in made}) == 1  # twenty at once make one key
        assert await second.sealer.seal([comment_of("C-1"), comment_of("C-2")]) == made[0]
        assert len(await keys(harness)) == 2
        sealed = made[0][0].value or b""
        assert json.loads(await second.keyring.read(sealed)) == {"comment": "boiler"}

        # Two processes that make one at once: both open it, and agree from then on.
        both = await asyncio.gather(*(one.sealer.seal([comment_of("C-3")]) for one in (first, second)))
        for (record,) in both:
            for one in first, second:
                assert b"boiler" in await one.keyring.read(record.value or b"")
        agreed = [await one.sealer.seal([comment_of("C-3")]) for one in (first, second)]
        assert agreed[0] == agreed[1]

        assert await second.keyring.delete(["C-1", "nobody"]) == 1
        assert json.loads(await second.keyring.read(sealed)) == {"comment": "erased"}

        async def noticed() -> bool:
            return b"erased" in await first.keyring.read(sealed)

        await eventually(noticed)
        (renewed,) = await first.sealer.seal([comment_of("C-1")])
        assert renewed.value != sealed
        assert b"boiler" in await second.keyring.read(renewed.value or b"")
        assert b"erased" in await second.keyring.read(sealed)


async def test_the_secret_that_wraps_keys_is_replaced(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "npsflow.toml").write_text(settings(enabled=True))
    async with Harness(broker, "sealing-wrap.", settings(enabled=True)) as harness:
        harness.environment["NPSFLOW_SECRET_KEYS"] = WRAP
        async with sealers(harness, 1) as (old,):
            (record,) = await old.sealer.seal([comment_of("C-1")])
        first = await keys(harness)
        harness.environment["NPSFLOW_SECRET_KEYS_NEXT"] = "n" * 40
        assert "1 keys are wrapped" in await done(harness, tmp_path, "seal", "--rewrap")
        assert (await keys(harness)).keys() == first.keys()
        assert await keys(harness) != first
        harness.environment |= {"NPSFLOW_SECRET_KEYS": "n" * 40, "NPSFLOW_SECRET_KEYS_NEXT": ""}
        async with sealers(harness, 1) as (new,):
            assert b"boiler" in await new.keyring.read(record.value or b"")
        harness.environment["NPSFLOW_SECRET_KEYS"] = WRAP
        async with sealers(harness, 1) as (stale,):
            with pytest.raises(SettingsError, match="NPSFLOW_SECRET_KEYS"):
                await stale.sealer.start()


async def test_what_others_produce_is_sealed_on_its_way(broker: Broker, tmp_path: Path) -> None:
    """And `check` names those who do not go that way."""
    (tmp_path / "npsflow.toml").write_text(settings(enabled=True))
    async with Harness(broker, "sealing-others.", settings(enabled=True)) as harness:
        theirs = "sealing-theirs"
        await admin.create(harness.admin, [Wanted(theirs, 3, 1, {})])
        harness.produce([response_line(1, comment="My boiler leaks", source="their-crm")])
        async with clients.producer(harness.installation) as producer:
            for number, line in enumerate([*lines().splitlines(), b""]):
                key = f"s/{number}".encode() if number % 2 == 0 else None
                await producer.send_and_wait(theirs, line or None, key, number % 3)
        stopping = asyncio.Event()
        forwarding = asyncio.create_task(forward(harness.settings, harness.installation, theirs, stopping))

        async def all_there() -> bool:
            return len(await harness.read(topics.RESPONSES)) == 14

        await eventually(all_there)
        stopping.set()
        assert await forwarding == 13
        found = [record for record in await harness.read(topics.RESPONSES) if b"their-crm" not in (record.value or b"")]
        assert [record.value for record in found if PERSONAL.search(record.value or b"")] == []

        report = (await run(harness, tmp_path, "check")).stdout
        assert "1 of the newest responses of their-crm are in the clear: comment: " in report
        assert "boiler" not in report
        assert (await run(harness, tmp_path, "seal")).exit_code == 2
        for toml, topic in (True, harness.installation.topic(topics.RESPONSES)), (False, theirs):
            with pytest.raises(SettingsError):
                await forward(parse(settings(enabled=toml)), harness.installation, topic, stopping)


async def test_a_key_that_is_written_again_is_not_brought_back(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody deletes it after it was read and before it is written."""
    async with (
        Harness(broker, "sealing-revived.", settings(enabled=True)) as harness,
        sealers(harness, 2) as (first, second),
    ):
        ((sealed,), _) = [await first.sealer.seal([comment_of(name)]) for name in ("C-1", "C-2")]
        write = getattr(first.keyring, "_write")  # noqa: B009

        async def deleted_just_before(secrets: Any) -> None:
            monkeypatch.undo()
            assert await second.keyring.delete(["C-1"]) == 1
            await write(secrets)

        monkeypatch.setattr(first.keyring, "_write", deleted_just_before)
        await first.keyring.rewrap()
        assert [value is None for value in (await keys(harness)).values()].count(True) == 1
        async with sealers(harness, 1) as (later,):
            for one in first, second, later:
                assert b"erased" in await one.keyring.read(sealed.value or b"")


@pytest.mark.faults  # a broker of its own
async def test_a_deleted_key_leaves_the_topic_and_its_customer_too(tmp_path: Path) -> None:
    """With the first keys that are made once its time is over: here of a second, not of an hour."""
    broker = Broker(tmp_path / "kafka", free_port(), HASTE, brief=True)
    broker.start()
    try:
        async with (
            Harness(broker, "sealing-gone.", settings(enabled=True)) as harness,
            sealers(harness, 1) as (sealing,),
        ):
            config = topics.BY_NAME[topics.CUSTOMER_KEYS].config(35)
            haste = {"segment.ms": "1000", "max.compaction.lag.ms": "1000", "delete.retention.ms": "200"}
            await harness.configure_topic(topics.CUSTOMER_KEYS, config | haste)
            await sealing.sealer.seal([comment_of("C-1"), comment_of("C-2")])
            assert await sealing.keyring.delete(["C-1"]) == 1
            numbers = count(100)

            async def gone() -> bool:
                await sealing.sealer.seal([comment_of(f"C-{next(numbers)}")])
                return not [key for key in await keys(harness) if key.startswith(b"C-1#")]

            await eventually(gone, 120)
            assert [key for key in await keys(harness) if key.startswith(b"C-2#")]
    finally:
        broker.stop()
