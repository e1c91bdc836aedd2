"""Dead letters as they are read."""

from typing import Any

from aiokafka.structs import ConsumerRecord

from npsflow.agents.operations.dead_letters import Letter, as_letter
from npsflow.schemas.headers import DeadLetter, Headers
from npsflow.streams.stage import Record


def record(
    *,
    offset: int = 0,
    partition: int = 0,
    key: bytes | None = b"k",
    value: bytes | None = b"{",
    headers: Any = (),
    written: int = 0,
) -> Record:
    consumed: Record = ConsumerRecord(
        topic="survey-responses-dlq", partition=partition, offset=offset, timestamp=written, timestamp_type=1, key=key,
        value=value, checksum=None, serialized_key_size=-1, serialized_value_size=1, headers=headers,
    )  # fmt: skip
    return consumed


def letter(
    offset: int = 0,
    *,
    reason: str = "not_json",
    topic: str = "survey-responses",
    at: tuple[int, int] = (0, 0),
    source: str | None = None,
    headers: Headers | None = None,
    **fields: Any,
) -> Letter:
    """One of partition 0; `at`: partition and offset where it came from."""
    why = DeadLetter(reason, "why", topic, *at, "2026-10-01T12:00:00.000Z", source)
    found = as_letter(record(offset=offset, headers=why.headers(headers or []), **fields), "")
    assert found is not None
    return found
