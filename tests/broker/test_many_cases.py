"""A cause of very many cases is fixed in several transactions: each customer is to be told once, over a crash too."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from click.testing import CliRunner, Result

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.cases.actions import parse_action, send_action
from npsflow.agents.cli import main
from npsflow.agents.kafka import clients
from npsflow.schemas.response import MAX_COMMENT
from npsflow.schemas.topics import CASES, SERVICE_RECOVERY
from npsflow.streams.recovery.actions import MAX_STEP_BYTES
from tests.support.waiting import eventually

from .harness import FIXED, Harness, response_line

MANY = 4 * MAX_STEP_BYTES // MAX_COMMENT
ACT_FIXED = ("act", "fixed", "late", "--action-id", "f")


async def table(harness: Harness) -> dict[bytes, bytes | None]:
    return {record.key or b"": record.value for record in await harness.read(CASES)}


async def resolved(harness: Harness) -> None:
    """Every customer has a case, which is resolved."""
    submitted = datetime.now(UTC).isoformat()
    printed = {"score": 2, "comment": "x" * MAX_COMMENT, "submitted_at": submitted}
    harness.produce([response_line(number, customer={"id": f"C-{number}"}, **printed) for number in range(MANY)])
    for stage in ("classify", "recover"):  # offsets: to read the whole table at each look costs more than to make it
        await eventually(partial(harness.caught_up, stage))
    assert len(await table(harness)) == MANY
    action = {"action": "resolve", "by": "anna", "root_cause": "late", "comment": "c"}
    async with clients.producer(harness.installation) as producer:
        names = [case_id.decode() for case_id in await table(harness)]
        actions = [parse_action(action | {"action_id": name, "case_id": name}) for name in names]
        await asyncio.gather(*(send_action(producer, harness.installation, None, 0, one) for one in actions))
    await eventually(partial(harness.caught_up, "recover"))


async def assigned(harness: Harness) -> list[bytes]:
    """Cases whose customer is to be told, one for each event."""
    headers = [dict(record.headers) for record in await harness.read(SERVICE_RECOVERY)]
    return [of["ce_subject"] for of in headers if of["ce_type"] == b"npsflow.case.assigned.v1"]


async def test_over_a_crash(broker: Broker, tmp_path: Path) -> None:
    async with Harness(broker, "many.", FIXED + "[topics]\npartitions = 1\n") as harness:

        def fixed() -> Result:
            return CliRunner().invoke(main, ACT_FIXED, env=harness.environment)

        async def some_have_heard() -> bool:
            return bool(await assigned(harness))

        with harness.process(tmp_path) as worker:
            await resolved(harness)
            acting = asyncio.create_task(asyncio.to_thread(fixed))
            await eventually(some_have_heard)
            worker.kill()
            received = await assigned(harness)
            assert 0 < len(received) < MANY
        with harness.process(tmp_path):
            done = await acting
        assert done.exit_code == 0, done.output
        assert f"customers to be told: {MANY}," in done.stdout
        received = await assigned(harness)
        assert len(received) == len(set(received)) == MANY
        assert await harness.differences() == []
