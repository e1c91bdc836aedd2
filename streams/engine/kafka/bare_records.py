"""Records of a stage's consumer without aiokafka's ConsumerRecord, which takes longer to make than to parse."""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult
from msgspec import Struct

from npsflow.schemas.headers import Headers


class BareRecord(Struct, gc=False):
    """What stages ask of a record, see streams/stage.py."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def give_bare_records(consumer: AIOKafkaConsumer) -> None:
    """Let a consumer that was just started give BareRecords."""
    fetcher = consumer._fetcher
    fetch = fetcher._proc_fetch_request

    async def fetching(*args: Any) -> Any:
        woken = await fetch(*args)
        for result in fetcher._records.values():  # of those that just came none is begun: nobody had a turn
            if type(result) is FetchResult:
                result._partition_records._consumer_record = bare
        return woken

    fetcher._proc_fetch_request = fetching


def bare(tp: TopicPartition, record: Any) -> BareRecord:
    """Give the record that the C code of aiokafka has parsed."""
    return BareRecord(
        tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value, record.headers
    )  # fmt: skip
