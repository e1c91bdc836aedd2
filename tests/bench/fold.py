"""`fold`: CPU of one task of classify for a response, from record batches to record batches, without Kafka.

Records are parsed as the consumer does, folded 250 at a time, and every 6,000 are committed: batches are written and
compressed, and go nowhere.
"""

import asyncio
from collections.abc import Iterator
from itertools import islice
from struct import pack_into
from time import process_time, time

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.memory_records import MemoryRecords

from npsflow.schemas import topics
from npsflow.schemas.partitioner import partition_of
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config import settings
from npsflow.streams.engine.changelog import Position
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka import bare_records
from npsflow.streams.engine.kafka.record_batch import RecordBatch
from npsflow.streams.engine.task import Task
from tests.bench import data
from tests.bench.classify import ONE_DIMENSION, WITHOUT_FOLLOW_UPS
from tests.bench.common import FIXED, report, scaled
from tests.streams.engine.tasks import Clock, context, new_task

_COUNT = scaled(60_000)
_PARTITIONS, _BATCH, _FOLDED, _COMMITTED = 4, 500, 250, 6_000
_JOBS = {"fold": "", "fold_minimal": WITHOUT_FOLLOW_UPS + ONE_DIMENSION}


def run(at: Installation) -> None:
    ours = (row for row in data.waiting(_COUNT * 5) if partition_of(row[0], _PARTITIONS) == 0)
    batches = list(_batches(list(islice(ours, _COUNT))))
    for name, toml in _JOBS.items():
        seconds = min(asyncio.run(_folded(batches, toml)) for _ in range(3))
        report(name, value=seconds / _COUNT * 1e6, unit="µs of CPU/response", cpu_s_per_million=seconds / _COUNT * 1e6)


def _batches(rows: list[data.Encoded]) -> Iterator[bytes]:
    now = int(time() * 1000)
    for at in range(0, len(rows), _BATCH):
        batch = RecordBatch("zstd", 1 << 20, transactional=False)
        for key, value in rows[at : at + _BATCH]:
            batch.append(timestamp=now, key=key, value=value, headers=[])
        built = bytearray(batch._build())  # noqa: SLF001
        pack_into(">q", built, 0, at)
        yield bytes(built)


async def _folded(batches: list[bytes], toml: str) -> float:
    stage = Classify(settings.parse(FIXED + toml).classify_settings("npsflow/", 2))
    clock = Clock()
    clock.learn(int(time() * 1000))
    task = new_task(context(stage), clock, {topics.RESPONSES: _PARTITIONS})
    task.start(Position({}))
    began, uncommitted = process_time(), 0
    for at, batch in enumerate(batches):
        records = PartitionRecords(
            TopicPartition(topics.RESPONSES, 0), MemoryRecords(batch), None, at * _BATCH, None, None, True,
            READ_COMMITTED,
        )  # fmt: skip
        records._consumer_record = bare_records.bare  # noqa: SLF001
        while taken := list(islice(records, _FOLDED)):
            task.process(topics.RESPONSES, taken, taken[-1].offset + 1)
            uncommitted += len(taken)
        if uncommitted >= _COMMITTED or at == len(batches) - 1:
            uncommitted = _commit(task)
    await task.transaction.stop()
    return process_time() - began


def _commit(task: Task) -> int:
    prepared = task._prepare()  # noqa: SLF001
    for _, batch in prepared.batches:
        batch._build()  # noqa: SLF001
    return 0
