"""What one record of `survey-responses` changes: its version, the counts of its segments, its alert or follow-up."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import inf
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from npsflow.schemas import codec, topics
from npsflow.schemas.deltas import PANE, Spelling
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.headers import DeadLetter, origin, with_origin
from npsflow.schemas.partitioner import partition_of, partitions_of
from npsflow.schemas.response import MAX_IDENTIFIER, Deletion, Response
from npsflow.schemas.times import DAY, MINUTE, rfc3339, to_datetime, to_ms
from npsflow.streams.classify import stored
from npsflow.streams.classify.content import digest, older_digest
from npsflow.streams.classify.counters import CORRECTION, DEAD, MISPLACED, RESPONSE, SOURCE, WARNING, Outcome
from npsflow.streams.classify.deltas import PaneCount
from npsflow.streams.classify.events import Arrival, EventBuilder, Events
from npsflow.streams.classify.memory import RememberedResponses
from npsflow.streams.classify.parsing import read_record
from npsflow.streams.classify.settings import ClassifySettings
from npsflow.streams.classify.stored import DELETED, ID, INTERNAL, LATE, TEST, Remembered, Version, place
from npsflow.streams.scoring.scores import Scale
from npsflow.streams.scoring.segments import NO_SEGMENTS, Names, NewValue, Segmenter, unpack_segments
from npsflow.streams.stage import CounterKey, Output, Record

AHEAD = 10 * MINUTE
"""Milliseconds that a time may be after that of its record."""
_LONGEST_KEY = 4 * (2 * MAX_IDENTIFIER + 1)  # bytes; no response has a longer one


class Learned(NamedTuple):
    """Values of dimensions that were not at hand, and how they are spelled, where roll up may not know that."""

    values: Sequence[NewValue]
    spellings: Sequence[Spelling]


class Change(Struct, gc=False, kw_only=True):
    """What one record changes.

    `counts`: counters to raise by one. `stream_time` (ms): stream time goes on to it, if it is not there yet.
    `packed`: the version that stands from now on under `id`, if it is another one, and when it was `submitted` (ms).
    `minus` and `plus`: what leaves the panes and what enters them; `late`: both are, as the version before was.
    """

    outcome: Outcome
    counts: tuple[CounterKey, ...] = ()
    stream_time: int = 0
    id: bytes = b""
    packed: bytes = b""
    submitted: int = 0
    minus: PaneCount | None = None
    plus: PaneCount | None = None
    late: bool = False
    learned: Learned | None = None
    outputs: Sequence[Output] = ()
    urgent: bool = False


class _PreparedPartitions(dict[bytes, int]):
    """The partitions of keys that were computed ahead; that of any other key is computed when it is asked for."""

    def __init__(self, partition_of: Callable[[bytes], int]) -> None:
        super().__init__()
        self._partition_of = partition_of

    def __missing__(self, key: bytes) -> int:
        return self._partition_of(key)


class Classifier:
    """Reads the records of one task. Changes nothing but caches and the numbers of names."""

    def __init__(
        self, settings: ClassifySettings, partition: int, partitions: int, memory: RememberedResponses, names: Names
    ) -> None:
        self._memory, self._names, self.partition, self.scales = memory, names, partition, settings.scales
        self._tombstones_delete = settings.tombstones_delete
        self.partitions = partitions
        self._partition_of = lru_cache(65_536)(lambda key: partition_of(key, partitions))
        self.latest: float = inf
        self.prepared = _PreparedPartitions(self._partition_of)
        self.segmenter = Segmenter(names, settings.dimensions, settings.pairs, settings.aliases)
        self.events = EventBuilder(settings, partition, self._partition_of)

    def prepare(self, records: Sequence[Record], now: int) -> None:
        """Compute the partitions of the keys of these records, which are read next at broker's time `now` (ms).

        What was produced more than a day after that is refused: it would end every window, and all that came after it
        would be too late.
        """
        self.latest = now + DAY
        keys = [key for record in records if (key := record.key) is not None and len(key) <= _LONGEST_KEY]
        self.prepared.clear()
        self.prepared.update(zip(keys, partitions_of(keys, self.partitions), strict=True))

    def read(self, record: Record) -> Change:
        """Give what a record changes, whatever it holds."""
        try:
            content, scale, warnings = read_record(record.key, record.value, self.scales, self._tombstones_delete)
            key = f"{content.source}/{content.response_id}".encode()
            first = origin(record.headers) if record.headers else None
            if first is not None:
                appended, at = first[0], place(*first[1:])
            elif record.key != key:
                return self._forward(record, key)
            elif self.prepared[record.key] != self.partition:
                return self._forward(record, key, (MISPLACED, "unknown" if scale is None else content.source))
            else:
                appended, at = record.timestamp, place(record.partition, record.offset)
            if appended > self.latest:
                raise RefusedRecord("in_the_future", "produced more than a day from now", content.source)
            arrival = Arrival(key, blake2b(key, digest_size=16).digest(), appended, at, first is not None)
            if scale is None:
                return self._delete(content, warnings, arrival)  # type: ignore[arg-type]
            return self._respond(content, scale, warnings, arrival)  # type: ignore[arg-type]
        except RefusedRecord as refused:
            return self._dead(record, refused)

    def learn(self, values: Sequence[NewValue]) -> None:
        """Know these values of dimensions from now on: they are new no more."""
        self.segmenter.learn(values)

    def crashed(self, record: Record, error: Exception) -> Change:
        """Give the dead letter of a record that crashed `read`."""
        return self._dead(record, RefusedRecord("internal_error", type(error).__name__))

    def _respond(
        self,
        response: Response,
        scale: Scale,
        warnings: tuple[str, ...],
        arrival: Arrival,
    ) -> Change:
        sent, encoded = response, codec.encode(response)
        content_digest = digest(encoded)  # as it was sent: sent again, it says nothing new
        response, submitted, updated, ahead = _read_times(response, arrival.appended)
        if ahead:
            warnings, encoded = warnings + ahead, codec.encode(response)
        if submitted < self._memory.oldest:
            raise _too_late(response.source)
        counts: tuple[CounterKey, ...] = tuple((WARNING, name) for name in warnings) if warnings else ()
        id_, version = arrival.digest[:ID], (updated, arrival.appended, arrival.place)
        before = self._memory.find(id_)
        if before is not None:
            if content_digest != before.content == older_digest(sent):
                content_digest = before.content
            if content_digest == before.content or version < before.version:
                return _keep(before, content_digest, version, id_, counts, submitted)
        # It becomes the version that stands.
        flags = TEST if response.test else INTERNAL if response.internal else 0
        rank = scale.ranks[response.score - scale.low]
        segments, new = self.segmenter.find(response, scale)
        if arrival.forwarded:
            new = self.segmenter.anew(response, scale)
        customer = response.customer
        body = None if flags else self.events.body(response, encoded, scale, rank, warnings)
        after = Remembered(
            flags=flags, rank=rank, score=response.score, submitted=submitted, version=version, content=content_digest,
            context=0 if body is None else body.digest, segments=segments,
            key=b"" if customer is None or customer.id is None else customer.id.encode(),
            since=submitted, raised=arrival.appended,
        )  # fmt: skip
        if before is None:
            if updated > submitted:
                after.since = updated  # whoever was asked days ago and answers today is unhappy since today
            kind, events = RESPONSE, self.events.first(after, body, arrival)
        else:
            after.since = arrival.appended if response.updated_at is None else updated
            metrics = {"old_metric": self._metric_of(before), "new_metric": scale.metric}
            kind, events = CORRECTION, self.events.next(before, after, body, arrival, **metrics)
        return Change(
            outcome="test" if flags else "counted",
            counts=counts + accepted(response.source, kind, None if flags else scale, rank) + events.counts,
            stream_time=submitted,
            id=id_,
            packed=stored.pack(after),
            submitted=submitted,
            minus=None if before is None else _pane_count(before),
            late=before is not None and bool(before.flags & LATE),
            plus=None if flags else PaneCount(submitted // PANE, segments, response.score),
            learned=None if flags or not new else _learned(new, arrival),
            outputs=events.outputs,
            urgent=events.urgent,
        )

    def _delete(self, deletion: Deletion, warnings: tuple[str, ...], arrival: Arrival) -> Change:
        id_, appended = arrival.digest[:ID], arrival.appended
        before = self._memory.find(id_)
        submitted = appended if before is None else before.submitted
        if submitted < self._memory.oldest:
            raise _too_late(deletion.source)
        # Without a time of its own it is newer than whatever was there before it, also by a clock that is ahead.
        updated = appended + AHEAD if deletion.updated_at is None else to_ms(deletion.updated_at)
        if updated > appended + AHEAD:
            updated, warnings = appended, (*warnings, "updated_at")
        counts: tuple[CounterKey, ...] = tuple((WARNING, name) for name in warnings)
        content, version = digest(codec.encode(deletion)), (updated, appended, arrival.place)
        if before is not None and (content == before.content or version < before.version):
            return _keep(before, content, version, id_, counts)
        after = Remembered(
            flags=DELETED, rank=0, score=0, submitted=submitted, version=version, content=content, context=0,
            segments=NO_SEGMENTS, key=b"", since=submitted, raised=appended,
        )  # fmt: skip
        events = Events()
        if before is not None:
            metric = self._metric_of(before)
            events = self.events.next(before, after, None, arrival, old_metric=metric, new_metric="")
        return Change(
            outcome="deleted",
            counts=counts + events.counts,
            id=id_,
            packed=stored.pack(after),
            submitted=submitted,
            minus=None if before is None else _pane_count(before),
            late=before is not None and bool(before.flags & LATE),
            outputs=events.outputs,
            urgent=events.urgent,
        )

    def _metric_of(self, r: Remembered) -> str:
        """The metric of a remembered response, empty for a deletion."""
        numbers = unpack_segments(r.segments)
        return self._names.by_number[numbers[0]][0] if numbers else ""

    def _dead(self, record: Record, refused: RefusedRecord) -> Change:
        appended, partition, offset = origin(record.headers) or (record.timestamp, record.partition, record.offset)
        letter = DeadLetter(
            reason=refused.reason,
            message=str(refused),
            topic=topics.RESPONSES,
            partition=partition,
            offset=offset,
            at=rfc3339(appended),
            source=refused.source,
        )
        headers = letter.headers(record.headers)
        output = Output(topics.DEAD_LETTERS, self.partition, record.key, record.value, headers)
        return Change(outcome="dead", counts=((DEAD, refused.reason, refused.source or ""),), outputs=(output,))

    def _forward(self, record: Record, key: bytes, *counts: CounterKey) -> Change:
        """Send the record on to the task of its response, under the key of that."""
        headers = with_origin(record.headers, record.timestamp, record.partition, record.offset)
        output = Output(topics.RESPONSES, self._partition_of(key), key, record.value, headers)
        return Change(outcome="forwarded", counts=counts, outputs=(output,))


def _keep(
    before: Remembered,
    content: int,
    version: Version,
    id_: bytes,
    counts: tuple[CounterKey, ...],
    stream_time: int = 0,
) -> Change:
    """The change of a record that repeats the standing version or is older than it."""
    if content != before.content:
        return Change(outcome="superseded", counts=counts, stream_time=stream_time)
    if version <= before.version:
        return Change(outcome="repeated", counts=counts, stream_time=stream_time)
    # Its content is known but its version is newer: later arrivals are measured against the newer one.
    before.version = version
    return Change(
        outcome="repeated",
        counts=counts,
        stream_time=stream_time,
        id=id_,
        packed=stored.pack(before),
        submitted=before.submitted,
    )


@lru_cache(1024)
def accepted(source: str, kind: str, scale: Scale | None, rank: int) -> tuple[CounterKey, ...]:
    """What to count of an accepted response, `scale` None for one that is in no window; the same few again and again.

    What single employees have answered is nobody's business.
    """
    if scale is None:
        return ((SOURCE, source),)
    return (SOURCE, source), (kind, scale.metric, "any" if scale.metric == "enps" else scale.words[rank])


def _learned(new: Sequence[NewValue], arrival: Arrival) -> Learned:
    """Only of what is counted: nothing else gives a segment its name."""
    spelled = [v for v in new if v.spelled]
    return Learned(new, [Spelling(v.dimension, v.value, v.spelled, arrival.appended, arrival.place) for v in spelled])


def _pane_count(r: Remembered) -> PaneCount | None:
    """Where a remembered response is counted; None where it is not."""
    return PaneCount(r.submitted // PANE, r.segments, r.score) if r.live else None


def _too_late(source: str) -> RefusedRecord:
    return RefusedRecord("too_late", "submitted further back than the horizon", source)


def _read_times(response: Response, appended: int) -> tuple[Response, int, int, tuple[str, ...]]:
    """When it was submitted and updated (else submitted), ms.

    A time more than ten minutes after the record's own becomes the record's; also gives the response with these times,
    and their names.
    """
    latest = appended + AHEAD
    submitted = to_ms(response.submitted_at)
    updated = submitted if response.updated_at is None else to_ms(response.updated_at)
    if submitted <= latest and updated <= latest:
        return response, submitted, updated, ()
    ahead: tuple[str, ...] = ("submitted_at",) if submitted > latest else ()
    if response.updated_at is not None and updated > latest:
        ahead += ("updated_at",)
    response = replace(response, **dict.fromkeys(ahead, to_datetime(appended)))
    submitted = to_ms(response.submitted_at)
    return response, submitted, submitted if response.updated_at is None else to_ms(response.updated_at), ahead
