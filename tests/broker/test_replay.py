"""What comes out depends on the responses: not on batches, restarts, the order of partitions or later settings."""

from collections import Counter
from typing import Any

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.demo.sample import Line
from npsflow.schemas.codec import loads
from npsflow.schemas.topics import FOLLOW_UP, SERVICE_RECOVERY
from npsflow.streams.engine.context import EngineSettings
from npsflow.streams.scoring.segments import normal
from tests.support.waiting import eventually

from .harness import FIXED, Harness, lines, response_line

LATER = "2026-03-01T12:01:00Z"


async def test_same_input_another_way(broker: Broker) -> None:
    """Once as it comes; once a few partitions at a time, in small batches, with a new worker for each part."""
    async with Harness(broker, "straight.") as straight, Harness(broker, "zigzag.") as zigzag:
        some = lines(600)
        straight.produce(some)
        async with straight.worker():
            await eventually(straight.finished)

        for half, partitions in (
            (some[:300], {2, 0}),
            (some[:300], {3, 1}),
            (some[300:], {1}),
            (some[300:], {3, 0, 2}),
        ):
            zigzag.produce(line for line in half if zigzag.partition(line) in partitions)
            async with zigzag.worker(engine=EngineSettings(records_per_batch=7)):
                await eventually(zigzag.caught_up)
        async with zigzag.worker(engine=EngineSettings(records_per_batch=7)):
            await eventually(zigzag.finished)

        assert await zigzag.differences() == await straight.differences() == []
        assert await tables(zigzag) == await tables(straight)
        for topic, id_ in ((SERVICE_RECOVERY, "alert_id"), (FOLLOW_UP, "follow_up_id")):
            events = [
                Counter((event.type, event.key, event.value[id_], event.value["revision"]) for event in read)
                for read in (await zigzag.events(topic), await straight.events(topic))
            ]
            assert events[0] == events[1]


async def tables(harness: Harness) -> dict[bytes, dict[str, Any]]:
    """The windows without the spelling of their segments, which is that of the record that was appended first."""
    found = {key: loads(value) for key, value in (await harness.windows()).items()}
    return {key: {n: v for n, v in window.items() if n not in ("segment", "id")} for key, window in found.items()}


FEW = FIXED + "[topics]\npartitions = 2\n"
"""Partitions: each task that starts costs time, and here workers start three times."""

WITH_LANGUAGE = (
    FEW
    + """
[segments]
dimensions = ["department", "language"]
[aliases.department]
delivery = "logistics"
"""
)


async def test_settings_changed_between_two_runs(broker: Broker) -> None:
    """A corrected or deleted response leaves the segments it was counted in, whatever it would be counted in now."""
    async with Harness(broker, "settings.", FEW) as harness:

        async def table_after(*some: Line) -> dict[str, dict[str, int]]:
            harness.produce(some)
            async with harness.worker():
                await eventually(harness.finished)
            return await histograms(harness)

        fields = {"department": "Delivery", "language": "nl"}
        deleted = {"deleted": True, "updated_at": LATER}
        harness.configure(FEW + '[segments]\ndimensions = ["department"]')
        before = await table_after(*(response_line(number, **fields) for number in range(10)))
        assert before == {"": {"9": 10}, "department=delivery": {"9": 10}}

        harness.configure(WITH_LANGUAGE)
        corrected = response_line(1, **fields, score=2, updated_at=LATER)
        assert await table_after(response_line(0, **deleted), corrected, response_line(10, **fields)) == {
            "": {"2": 1, "9": 9},
            "department=delivery": {"9": 8},
            "department=logistics": {"2": 1, "9": 1},
            "language=nl": {"2": 1, "9": 1},
        }

        harness.configure(FEW)
        assert await table_after(
            response_line(1, **deleted), response_line(10, **deleted), response_line(2, **deleted)
        ) == {
            "": {"9": 7},
            "department=delivery": {"9": 7},
        }


async def histograms(harness: Harness) -> dict[str, dict[str, int]]:
    """Scores and their counts by segment; all windows hold the same responses."""
    tables: dict[str, dict[str, dict[str, int]]] = {}
    for value in (await harness.windows()).values():
        window = loads(value)
        segment = ",".join(f"{dimension}={normal(name)}" for dimension, name in window["segment"].items())
        tables.setdefault(window["window"], {})[segment] = window["histogram"]
    assert len(tables) == 4
    assert all(table == tables["1h"] for table in tables.values())
    return tables["1h"]
