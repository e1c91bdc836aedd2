"""Records that were deleted before a worker had read them: it notices, says which, and a person decides."""

import signal
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.demo.sample import Line
from npsflow.schemas.topics import RESPONSES
from tests.support.waiting import eventually

from .harness import FIXED, Harness, Process, response_line

ONE_PARTITION = FIXED + "[topics]\npartitions = 1\n"
CLASSIFY = "--stages=classify"


def few(begin: int) -> Iterable[Line]:
    return [response_line(number) for number in range(begin, begin + 3)]


async def delete(harness: Harness, before: int) -> None:
    tp = TopicPartition(harness.installation.topic(RESPONSES), 0)
    await harness.admin.delete_records({tp: RecordsToDelete(before_offset=before)})


async def has_said(process: Process, text: str) -> bool:
    return bool(process.logged(text))


async def test_a_person_may_accept_that_records_are_lost(broker: Broker, tmp_path: Path) -> None:
    """Once: the next worker starts without being allowed to."""
    async with Harness(broker, "accepted.", ONE_PARTITION) as harness:
        harness.produce(few(0))
        async with harness.worker():
            await eventually(harness.finished)
        harness.produce(few(3))
        await delete(harness, 5)
        with harness.process(tmp_path, CLASSIFY) as refusing:
            assert await refusing.exit_status() == 2
        last = refusing.output.splitlines()[-1]
        assert "its position in survey-responses is 3, but the topic holds 5 to 6" in last
        assert "`npsflow worker --accept-loss`" in last
        assert "`npsflow rebuild`" in last
        with harness.process(tmp_path, CLASSIFY, "--accept-loss") as accepting:
            await eventually(partial(harness.caught_up, "classify"))
            (line,) = accepting.logged("going on without them")
            assert (line["topic"], line["partition"], line["offset"], line["end"]) == (RESPONSES, 0, 3, 5)
            accepting.send(signal.SIGTERM)
            assert await accepting.exit_status() == 0
        async with harness.worker():
            harness.produce(few(6))
            await eventually(harness.finished)
        assert (await harness.outcomes())["counted"] == 7


async def test_it_is_noticed_though_nothing_follows(broker: Broker, tmp_path: Path) -> None:
    """The worker is frozen while records come and go. Its open fetch may still get the first of them."""
    async with Harness(broker, "unfollowed.", ONE_PARTITION, session_ms=10_000) as harness:
        harness.produce(few(3))
        with harness.process(tmp_path, CLASSIFY) as process:
            await eventually(partial(harness.caught_up, "classify"))
            (end,) = (await harness.ends(RESPONSES)).values()
            process.send(signal.SIGSTOP)
            for line in few(0):
                harness.produce([line])
            await delete(harness, -1)
            process.send(signal.SIGCONT)
            assert await process.exit_status() == 2
        dropped = process.logged("task dropped")
        assert "were deleted before they were read" in str(dropped[0]["error"])
        assert f"but the topic holds {end + 3} to " in process.output.splitlines()[-1]
