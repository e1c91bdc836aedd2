"""Kafka headers: CloudEvents 1.0 in binary mode on events, `npsflow_*` on dead letters and forwarded records.

Source: CloudEvents Kafka Protocol Binding 1.0.2, section 3.2 (attributes as headers prefixed `ce_`).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

from msgspec import Struct

from npsflow.schemas.codec import encode
from npsflow.schemas.records import decode_headers, encode_headers, sized, varint

Headers = Sequence[tuple[str, bytes]]

ORIGIN = "npsflow_origin"
"""On a forwarded record: `append-time-ms partition offset` of the record as it was produced."""
LETTER = "npsflow_dlq_letter"
"""On a replayed record: the ids of the dead letters it was made of, with spaces between. It stays on a next letter."""
_ORIGIN = re.compile(rb"(\d{1,15}) (\d{1,5}) (\d{1,14})")
_MOST_PARTITIONS = 1 << 16  # what is remembered of an origin holds no more


class ReadyHeaders(Struct, frozen=True, gc=False, eq=False):
    """Headers that are `encoded` already, as they stand in a record of Kafka's; decoded where somebody looks."""

    encoded: bytes

    def _decoded(self) -> list[tuple[str, bytes]]:
        return decode_headers(self.encoded)  # type: ignore[return-value] # ours all have a value

    def __getitem__(self, at: Any) -> Any:
        return self._decoded()[at]

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        return iter(self._decoded())

    def __len__(self) -> int:
        return len(self._decoded())

    def __eq__(self, other: object) -> bool:
        return self._decoded() == list(other) if isinstance(other, Iterable) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._decoded())


ready: Callable[[bytes], Headers] = cast("Callable[[bytes], Headers]", ReadyHeaders)
"""The same, typed as what it can be used as. To make a Sequence takes three times as long."""


class CloudEvents:
    """Headers of the events of one installation; `source` is `npsflow/` and its prefix."""

    def __init__(self, source: str, types: Sequence[str]) -> None:
        self._stated = {name: b'{"type":"%s","id":' % name.encode() for name in types}
        self._fixed: dict[str, bytes] = {name: _fixed(source, name) for name in types}

    def headers(self, kind: str, subject: str, revision: int | str, at: str) -> Headers:
        """`ce_id` is subject.revision; `at` the RFC 3339 time of what caused the event."""
        return self.event(kind, subject, revision, at, b"{}")[1]

    def event(
        self, kind: str, subject: str, revision: int | str, at: str, own: bytes, context: bytes | None = None
    ) -> tuple[bytes, Headers]:
        """Value and headers of an event. Its value is one flat JSON object with the fields of these objects.

        It says `type`, `id` and `time` first: many readers (Connect, ksqlDB, BI) see no headers. No object may be
        empty, and no two may have a key in common: neither is checked.
        """
        id_, time = f"{subject}.{revision}", at.encode()
        fields = (own[1:],) if context is None else (own[1:-1], b",", context[1:])
        value = b"".join((self._stated[kind], encode(id_), b',"time":"', time, b'",', *fields))
        attributes = sized(id_.encode()), _CE_TIME, sized(time), _CE_SUBJECT, sized(subject.encode())
        return value, ready(b"".join((self._fixed[kind], *attributes)))


_CE_TIME, _CE_SUBJECT = sized(b"ce_time"), sized(b"ce_subject")


def _fixed(source: str, kind: str) -> bytes:
    """The seven headers of an event, encoded up to the value of `ce_id`."""
    fixed = [
        ("ce_specversion", b"1.0"),
        ("ce_type", kind.encode()),
        ("ce_source", source.encode()),
        ("content-type", b"application/json"),
    ]
    return varint(len(fixed) + 3) + encode_headers(fixed)[1:] + sized(b"ce_id")


def origin(headers: Headers) -> tuple[int, int, int] | None:
    """(append time in ms, partition, offset) of a forwarded record as first produced; None for any other."""
    for name, value in headers:
        if name == ORIGIN and value is not None and (match := _ORIGIN.fullmatch(value)):
            append, partition, offset = map(int, match.groups())
            if partition < _MOST_PARTITIONS:
                return append, partition, offset
    return None


def with_origin(headers: Headers, append: int, partition: int, offset: int) -> Headers:
    """The headers of a record that is forwarded: its own, and when (ms) and where it was first produced."""
    return [*headers, (ORIGIN, b"%d %d %d" % (append, partition, offset))]


class DeadLetter(NamedTuple):
    """Why a record was refused (`message` holds no personal data) and where it was; `at` is its append time, RFC 3339.

    `source` is the platform, where the record says it in a readable way.
    """

    reason: str
    message: str
    topic: str
    partition: int
    offset: int
    at: str
    source: str | None = None

    def headers(self, own: Headers) -> Headers:
        """The record's own headers and those of the dead letter."""
        reason = [
            ("npsflow_dlq_reason", self.reason.encode()),
            ("npsflow_dlq_message", self.message.encode()),
            ("npsflow_dlq_topic", self.topic.encode()),
            ("npsflow_dlq_partition", b"%d" % self.partition),
            ("npsflow_dlq_offset", b"%d" % self.offset),
            ("npsflow_dlq_at", self.at.encode()),
        ]
        return [*own, *reason, *([("npsflow_dlq_source", self.source.encode())] if self.source else [])]
