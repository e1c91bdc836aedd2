"""Where a partition began is taken from the answers to fetches, and believed only while they are good."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.protocol import fetch
from aiokafka.protocol.commit import OffsetCommitResponse_v2

from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.clients import changelog_consumer
from npsflow.streams.engine.kafka.log_starts import LogStarts

TP = TopicPartition("t", 0)


@pytest.fixture
async def starts() -> AsyncIterator[LogStarts]:
    consumer = changelog_consumer(Installation(brokers="127.0.0.1:1"))
    yield LogStarts(consumer)
    await consumer.stop()


def answer(version: int, begin: int, error: int = 0) -> Any:
    """One for the partition, as the client decodes it."""
    made = getattr(fetch, f"FetchResponse_v{version}")
    replica = [-1] if version >= 11 else []
    records: list[Any] = [(0, error, 90, 80, begin, [], *replica, b"")]
    session = [0, 0] if version >= 7 else []
    decoded: Any = made.decode(made(0, *session, [("t", records)]).encode())
    return decoded


@pytest.mark.parametrize("version", [5, 6, 7, 10, 11])
async def test_an_answer_says_where_the_partition_begins(starts: LogStarts, version: int) -> None:
    assert not starts.covers(TP, 70)
    starts.note(answer(version, 70))
    assert starts.covers(TP, 70)
    assert not starts.covers(TP, 69)
    assert not starts.covers(TopicPartition("t", 1), 70)


async def test_after_an_error_nothing_is_known_until_it_is_fetched_again(starts: LogStarts) -> None:
    """What a consumer goes on from, once its offset was out of range, may be far behind it."""
    starts.note(answer(11, 3))
    starts.note(answer(11, -1, OffsetOutOfRangeError.errno))
    assert not starts.covers(TP, 70)
    starts.note(answer(11, 75))
    assert not starts.covers(TP, 70)


async def test_other_answers_and_those_of_old_brokers_say_nothing(starts: LogStarts) -> None:
    starts.note(fetch.FetchResponse_v4(0, [("t", [(0, 0, 90, 80, [], b"")])]))
    starts.note(OffsetCommitResponse_v2([("t", [(0, 0)])]))
    assert not starts.covers(TP, 70)
