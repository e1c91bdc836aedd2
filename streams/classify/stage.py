"""Stage `classify`: the fold of one task — versions remembered, counts and events emitted, ticks."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import inf
from typing import Any

from npsflow.schemas import topics
from npsflow.schemas.deltas import PANE, TICK, Spelling, TaskAt, encode_tick, spelling_headers, task_headers
from npsflow.schemas.headers import Headers
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import HOUR, SECOND
from npsflow.streams.classify.breaker import Breaker
from npsflow.streams.classify.classifier import Change, Classifier
from npsflow.streams.classify.counters import COUNTERS, DEAD, GAUGES, MISPLACED, PAUSED, SOURCE
from npsflow.streams.classify.deltas import PaneCounts
from npsflow.streams.classify.memory import RememberedResponses
from npsflow.streams.classify.settings import ClassifySettings
from npsflow.streams.classify.stored import mark_late
from npsflow.streams.classify.straight import StraightFold
from npsflow.streams.scoring.segments import Names
from npsflow.streams.stage import (
    NORMAL,
    PAUSE,
    URGENT,
    Checkpoint,
    CounterKey,
    Emit,
    Fold,
    GaugeKey,
    OnCrash,
    Output,
    Progress,
    Record,
)

_MOST_SOURCES = 50
_SPELLINGS_PER_RECORD = 500  # of at most 128 characters, so far below the largest record


class Classify:
    """The stage."""

    name = "classify"
    inputs = (topics.RESPONSES,)
    logs = True
    counters = COUNTERS
    gauges = GAUGES

    def __init__(self, settings: ClassifySettings) -> None:
        self.settings = settings
        as_input = (topics.RESPONSES, topics.DEAD_LETTERS, topics.SERVICE_RECOVERY, topics.FOLLOW_UP)
        self.outputs: dict[str, int | None] = dict.fromkeys(as_input) | {topics.PANES: settings.pane_partitions}
        self.fixed: dict[str, Any] = {}  # what is remembered holds what it was counted under

    def open(self, partition: int, partitions: int, emit: Emit) -> "ClassifyFold":
        """An empty fold for one task."""
        return ClassifyFold(self.settings, partition, partitions, emit)


class ClassifyFold(Fold):
    """The fold of one task of `classify`."""

    def __init__(self, settings: ClassifySettings, partition: int, partitions: int, emit: Emit) -> None:
        self.counters: dict[CounterKey, int] = {}
        self._settings, self._emit, self._partition = settings, emit, partition
        self._partitions, self._hour = partitions, 0
        self._memory, self._names = RememberedResponses(settings.horizon), Names()
        self._classifier = Classifier(settings, partition, partitions, self._memory, self._names)
        owner_of = lru_cache(lambda key: partition_of(key, settings.pane_partitions))
        self._pane_counts = PaneCounts(self._names, owner_of, turn=0 if settings.watched else inf)
        self._armed, self._breaker = settings.pause_on_dead_letters, Breaker()
        self._straight = StraightFold(self._classifier, self._memory, self._pane_counts, emit)
        self._spellings: list[Spelling] = []
        self._ticked = 0
        self._ticked_at = 0

    @property
    def stream_time(self) -> int:
        """Greatest `submitted_at` accepted so far, ms."""
        return self._memory.stream_time

    def prepare(self, records: Sequence[Record], now: int) -> None:
        """Hash the keys of these records at once, and note what time it is."""
        self._classifier.prepare(records, now)

    def process(self, records: Sequence[Record], now: int, on_crash: OnCrash) -> Progress:
        """Fold a batch: what is common in one go, the rest one by one; so is all where each may ask for a pause."""
        self.prepare(records, now)
        progress = Progress()
        while progress.count < len(records) and not progress.paused:
            if not self._armed:
                self._count(self._straight.fold(records, progress))
                if progress.count == len(records):
                    break
            self.fold_one(records[progress.count], progress, on_crash)
        return progress

    def read(self, record: Record) -> Change:
        """Give what this record changes."""
        return self._classifier.read(record)

    def crashed(self, record: Record, error: Exception) -> Change:
        """Give the dead letter of a record that crashed `read`."""
        return self._classifier.crashed(record, error)

    def apply(self, change: Change) -> int:
        """Make the change: stream time, counters, memory, pane counts, outputs."""
        memory, counters = self._memory, self.counters
        if change.stream_time > memory.stream_time:
            memory.advance(change.stream_time)
            self._pane_counts.advance(change.stream_time)
        asks = URGENT if change.urgent else NORMAL
        if self._armed:
            asks |= self._watch(change.outcome)
        for key in (("", change.outcome), *change.counts):
            try:
                counters[key] += 1
            except KeyError:
                self._count_new(key, 1)
        late = self._count_in_panes(change)
        if change.packed:
            memory.remember(change.id, mark_late(change.packed) if late else change.packed, change.submitted)
        if change.learned is not None:
            self._classifier.learn(change.learned.values)
            self._spellings += change.learned.spellings
        for output in change.outputs:
            self._emit(output)
        return asks

    def _count_in_panes(self, change: Change) -> bool:
        """Gives whether any of it is late; then so is all that follows of this response."""
        late = change.late
        if change.minus is not None:
            late = self._pane_counts.take_back(change.minus, late)
        if change.plus is not None:
            late = self._pane_counts.add(change.plus, late)
        return late

    def _watch(self, outcome: str) -> int:
        self._breaker.saw(outcome == "dead")
        if not self._breaker.tripped or self.counters.get(PAUSED):
            return NORMAL
        self.counters[PAUSED] = 1
        return PAUSE

    def _count(self, counts: Mapping[CounterKey, int]) -> None:
        for key, count in counts.items():
            if key in self.counters:
                self.counters[key] += count
            else:
                self._count_new(key, count)

    def _count_new(self, key: CounterKey, count: int) -> None:
        """Count what was not counted before.

        A platform is named once a response of it was accepted: before that its name may be anything that stood in the
        wrong place, and is no label. The names of platforms do not grow without bound.
        """
        if key[0] == DEAD and (SOURCE, key[2]) not in self.counters:
            key = DEAD, key[1], "unknown"
        elif key[0] in (SOURCE, MISPLACED) and sum(known[0] == key[0] for known in self.counters) >= _MOST_SOURCES:
            key = key[0], "other"
        self.counters[key] = self.counters.get(key, 0) + count

    def checkpoint(self, now: int) -> Checkpoint:
        """Emit spellings, counts, and a tick at most once a second; give new names and what was remembered."""
        self._send_spellings()
        self._pane_counts.send(self._emit)
        if self.stream_time > self._ticked and not 0 <= now - self._ticked_at < SECOND:
            self._tick(self.stream_time, now)
        self._memory.expire()
        return Checkpoint(state=[*self._names.dump()], log=self._memory.dump())

    def accept(self) -> None:
        """Go on after a pause."""
        self.counters[PAUSED] = 0
        self._breaker.reset()

    def gauges(self) -> dict[GaugeKey, float]:
        """How many responses are remembered."""
        return {(GAUGES[0].metric, str(self._partition)): len(self._memory)}

    def idle(self, now: int) -> bool:
        """At the end of the input: time goes on by the broker's clock, at each boundary of a pane."""
        boundary = now // PANE * PANE
        if self._settings.idle_ticks and boundary > max(self._ticked, self.stream_time):
            self._tick(boundary, now)
            return True
        if self.stream_time > self._ticked and now - self._ticked_at >= SECOND:
            self._tick(self.stream_time, now)
            return True
        return False

    def _tick(self, time: int, now: int) -> None:
        self._ticked, self._ticked_at = time, now
        self._to_every_pane_partition(time, [])
        if time // HOUR > self._hour:
            self._hour = time // HOUR
            self._to_every_pane_partition(0, task_headers(TaskAt(self._partition, self._partitions, self._hour)))

    def _send_spellings(self) -> None:
        for at in range(0, len(self._spellings), _SPELLINGS_PER_RECORD):
            headers = spelling_headers(self._spellings[at : at + _SPELLINGS_PER_RECORD])
            self._to_every_pane_partition(0, headers)
        self._spellings.clear()

    def _to_every_pane_partition(self, time: int, headers: Headers) -> None:
        value = encode_tick(time)
        for partition in range(self._settings.pane_partitions):
            self._emit(Output(topics.PANES, partition, TICK, value, headers))

    # Restoring.

    def restore(self, key: bytes, value: bytes) -> None:
        """Take back the number of a name."""
        if not self._names.restore(key, value):
            raise ValueError(f"{key!r} is no key of the changelog of classify")

    def restore_log(self, value: bytes) -> int:
        """Take back remembered responses."""
        return self._memory.restore(value)

    def restored(self, stream_time: int, counters: Mapping[CounterKey, int]) -> int:
        """All is back. Gives PAUSE where the task was paused."""
        self._memory.advance(stream_time)
        self._pane_counts.advance(stream_time)
        self._memory.expire()
        self.counters.update(counters)
        return PAUSE if counters.get(PAUSED) else NORMAL
