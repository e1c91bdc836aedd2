"""What one record of `survey-responses` changes: its version, the counts of its segments, its alert or follow-up."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from msgspec import Struct
from msgspec.structs import replace
from xxhash import xxh3_64_intdigest

from npsflow.schemas import codec, topics
from npsflow.schemas.deltas import PANE
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.headers import DeadLetter, origin, with_origin
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.response import Deletion, Response
from npsflow.schemas.times import MINUTE, rfc3339, to_datetime, to_ms
from npsflow.streams.classify import policy, stored
from npsflow.streams.classify.counters import CORRECTION, DEAD, FOREIGN_PARTITIONER, RESPONSE, SOURCE, WARNING, Outcome
from npsflow.streams.classify.deltas import PaneCount
from npsflow.streams.classify.events import Cause, EventBuilder, Identity
from npsflow.streams.classify.memory import Store
from npsflow.streams.classify.parsing import read
from npsflow.streams.classify.stored import (
    ALERT_LIVE,
    DELETED,
    FOLLOW_LIVE,
    ID,
    INTERNAL,
    TEST,
    Remembered,
    Version,
    place,
)
from npsflow.streams.scoring.scores import Scale, Scales
from npsflow.streams.scoring.segments import NO_SEGMENTS, Names, Segmenter, unpack_segments
from npsflow.streams.stage import CounterKey, Output, Record

_AHEAD = 10 * MINUTE
_EVERY = 1000  # records between two checks of the producer's partitioner


@dataclass(frozen=True, slots=True)
class ClassifySettings:
    """The settings that classify depends on. `horizon` in ms, `pane_partitions` of `nps-panes`."""

    scales: Scales
    dimensions: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    aliases: dict[str, dict[str, str]]
    horizon: int
    alert_metrics: frozenset[str]
    promoter_rules: tuple[policy.Rule, ...]
    questions: Mapping[str, str]
    follow_ups: bool
    private_fields: bool
    idle_ticks: bool
    pause_on_dead_letters: bool
    event_source: str
    pane_partitions: int


class Change(Struct, gc=False):
    """What one record changes. `counts` are counters to raise by one; times in ms."""

    outcome: Outcome
    stream_time: int
    counts: tuple[CounterKey, ...] = ()
    key: bytes = b""
    packed: bytes = b""
    submitted: int = 0
    minus: PaneCount | None = None
    plus: PaneCount | None = None
    outputs: tuple[Output, ...] | list[Output] = ()
    urgent: bool = False


class Classifier:
    """Reads the records of one task. Changes nothing but caches and the numbers of names."""

    def __init__(self, meaning: ClassifySettings, partition: int, partitions: int, store: Store, names: Names) -> None:
        self.stream_time = 0
        """Greatest `submitted_at` accepted so far, ms; set by the owner."""
        self._store, self._names, self._partition = store, names, partition
        self._scales, self._horizon = meaning.scales, meaning.horizon
        self._partition_of = lru_cache(65_536)(lambda key: partition_of(key, partitions))
        self._segmenter = Segmenter(names, meaning.dimensions, meaning.pairs, meaning.aliases)
        self._events = EventBuilder(
            meaning.event_source,
            meaning.alert_metrics,
            meaning.promoter_rules,
            meaning.questions,
            meaning.follow_ups,
            meaning.private_fields,
            self._partition_of,
        )

    def read(self, record: Record) -> Change:
        try:
            what, scale, warnings = read(record.value, self._scales)
        except RefusedRecord as refused:
            return self._dead(record, refused)
        key = f"{what.source}/{what.response_id}".encode()
        arrived = (record.timestamp, place(record.partition, record.offset))
        if record.key != key or record.headers:
            first = origin(record.headers)
            if first is not None:
                arrived = (first[0], place(*first[1:]))
            elif record.key != key:
                return self._forward(record, key)
        counts: tuple[CounterKey, ...] = ()
        if record.offset % _EVERY == 0 and self._partition_of(key) != self._partition:
            counts = (FOREIGN_PARTITIONER,)
        try:
            if scale is None:
                return self._delete(what, warnings, key, arrived, counts)  # type: ignore[arg-type]
            return self._respond(what, scale, warnings, key, arrived, counts)  # type: ignore[arg-type]
        except RefusedRecord as refused:
            return self._dead(record, refused)

    def crashed(self, record: Record, error: Exception) -> Change:
        return self._dead(record, RefusedRecord("internal_error", type(error).__name__))

    def _respond(
        self,
        response: Response,
        scale: Scale,
        warnings: tuple[str, ...],
        key: bytes,
        arrived: tuple[int, int],
        counts: tuple[CounterKey, ...],
    ) -> Change:
        appended, origin_ = arrived
        content = xxh3_64_intdigest(codec.encode(response))  # as it was sent: sent again, it says nothing new
        submitted = to_ms(response.submitted_at)
        updated = submitted if response.updated_at is None else to_ms(response.updated_at)
        if submitted > appended + _AHEAD or updated > appended + _AHEAD:
            response, ahead = _not_ahead(response, appended)
            submitted = to_ms(response.submitted_at)
            updated = submitted if response.updated_at is None else to_ms(response.updated_at)
            warnings += ahead
        if submitted < self.stream_time - self._horizon:
            raise _too_late(response.source)
        stream_time = max(self.stream_time, submitted)
        if warnings:
            counts += tuple((WARNING, name) for name in warnings)
        digest = blake2b(key, digest_size=16).digest()
        id_ = digest[:ID]
        version = updated, appended, origin_
        before = self._standing(id_)
        if before is not None and (known := self._known(before, content, version, id_, stream_time, counts)):
            return known
        flags = TEST if response.test else INTERNAL if response.internal else 0
        rank = scale.ranks[response.score - scale.low]
        segments, packed_segments = self._segmenter.find(response, scale)
        customer = response.customer
        customer_key = customer.id.encode() if customer is not None and customer.id is not None else b""
        told = None if flags else self._events.told(response, scale, rank, warnings)
        context = 0 if told is None else told.digest
        who = Identity(key, digest.hex(), self._partition)
        plus = None if flags else PaneCount(submitted // PANE, segments, response.score)
        outcome: Outcome = "test" if flags else "counted"
        if before is None:
            why = Cause(customer_key, submitted, submitted, appended, appended)
            live, fields, output = self._events.first(told, who, why)
            alert, follow = live == ALERT_LIVE, live == FOLLOW_LIVE
            packed = stored.pack(
                flags | live, rank, response.score, alert, follow, submitted, version, content, context,
                packed_segments, customer_key, submitted, appended, fields,
            )  # fmt: skip
            counts += _accepted(response.source, RESPONSE, None if flags else scale, rank)
            outputs = () if output is None else (output,)
            return Change(outcome, stream_time, counts, id_, packed, submitted, None, plus, outputs, alert)
        since = updated if response.updated_at is not None else appended
        after = Remembered(
            flags, rank, response.score, 0, 0, submitted, version, content, context, packed_segments, customer_key,
            since, appended, b"",
        )  # fmt: skip
        after, events, urgent = self._events.next(before, self._metric(before), after, scale.metric, told, who)
        counts += _accepted(response.source, CORRECTION, None if flags else scale, rank)
        packed = stored.pack(*after)
        return Change(outcome, stream_time, counts, id_, packed, submitted, _cell(before), plus, events, urgent)

    def _delete(
        self,
        deletion: Deletion,
        warnings: tuple[str, ...],
        key: bytes,
        arrived: tuple[int, int],
        counts: tuple[CounterKey, ...],
    ) -> Change:
        appended, origin_ = arrived
        digest = blake2b(key, digest_size=16).digest()
        id_ = digest[:ID]
        before = self._standing(id_)
        submitted = appended if before is None else before.submitted
        if submitted < self.stream_time - self._horizon:
            raise _too_late(deletion.source)
        # Without a time of its own it is newer than whatever was there before it, also by a clock that is ahead.
        updated = appended + _AHEAD if deletion.updated_at is None else to_ms(deletion.updated_at)
        if updated > appended + _AHEAD:
            updated, warnings = appended, (*warnings, "updated_at")
        if warnings:
            counts += tuple((WARNING, name) for name in warnings)
        version = updated, appended, origin_
        content = xxh3_64_intdigest(codec.encode(deletion))
        if before is not None and (known := self._known(before, content, version, id_, self.stream_time, counts)):
            return known
        after = Remembered(
            DELETED, 0, 0, 0, 0, submitted, version, content, 0, NO_SEGMENTS, b"", submitted, appended, b""
        )
        events: list[Output] = []
        urgent, minus = False, None
        if before is not None:
            who = Identity(key, digest.hex(), self._partition)
            after, events, urgent = self._events.next(before, self._metric(before), after, "", None, who)
            minus = _cell(before)
        packed = stored.pack(*after)
        return Change("deleted", self.stream_time, counts, id_, packed, submitted, minus, None, events, urgent)

    def _standing(self, id_: bytes) -> Remembered | None:
        packed = self._store.get(id_)
        if packed is None or stored.submitted_of(packed) < self.stream_time - self._horizon:
            return None
        return stored.unpack(packed)

    def _known(
        self,
        before: Remembered,
        content: int,
        version: Version,
        id_: bytes,
        stream_time: int,
        counts: tuple[CounterKey, ...],
    ) -> Change | None:
        """The change where the record does not become the standing version, else None."""
        if content != before.content:
            return Change("superseded", stream_time, counts) if version < before.version else None
        if version <= before.version:
            return Change("repeated", stream_time, counts)
        # Its content is known but its version is newer: later arrivals are measured against the newer one.
        packed = stored.pack(*before._replace(version=version))
        return Change("repeated", stream_time, counts, id_, packed, before.submitted)

    def _metric(self, r: Remembered) -> str:
        numbers = unpack_segments(r.segments)
        return self._names.by_number[numbers[0]][0] if numbers else ""

    def _dead(self, record: Record, refused: RefusedRecord) -> Change:
        first = origin(record.headers) or (record.timestamp, record.partition, record.offset)
        at, partition, offset = rfc3339(first[0]), first[1], first[2]
        letter = DeadLetter(refused.reason, str(refused), topics.RESPONSES, partition, offset, at, refused.source)
        headers = letter.headers(record.headers)
        output = Output(topics.DEAD_LETTERS, self._partition, record.key, record.value, headers)
        counts = ((DEAD, refused.reason, refused.source or ""),)
        return Change("dead", self.stream_time, counts, outputs=(output,))

    def _forward(self, record: Record, key: bytes) -> Change:
        headers = with_origin(record.headers, record.timestamp, record.partition, record.offset)
        output = Output(topics.RESPONSES, self._partition_of(key), key, record.value, headers)
        return Change("forwarded", self.stream_time, outputs=(output,))


@lru_cache(1024)
def _accepted(source: str, kind: str, scale: Scale | None, rank: int) -> tuple[CounterKey, ...]:
    """What to count of an accepted response, `scale` None for one that is in no window; the same few again and again.

    What single employees have answered is nobody's business.
    """
    if scale is None:
        return ((SOURCE, source),)
    return (SOURCE, source), (kind, scale.metric, "any" if scale.metric == "enps" else scale.words[rank])


def _cell(r: Remembered) -> PaneCount | None:
    """Where a remembered response is counted; None where it is not."""
    return PaneCount(r.submitted // PANE, unpack_segments(r.segments), r.score) if r.live else None


def _too_late(source: str) -> RefusedRecord:
    return RefusedRecord("too_late", "submitted further back than the horizon", source)


def _not_ahead(response: Response, appended: int) -> tuple[Response, tuple[str, ...]]:
    """Times more than ten minutes after the record's own become the record's; and which."""
    now, ahead = to_datetime(appended), []
    if to_ms(response.submitted_at) > appended + _AHEAD:
        response = replace(response, submitted_at=now)
        ahead.append("submitted_at")
    if response.updated_at is not None and to_ms(response.updated_at) > appended + _AHEAD:
        response = replace(response, updated_at=now)
        ahead.append("updated_at")
    return response, tuple(ahead)
