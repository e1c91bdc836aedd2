"""Stage `classify`: the fold of one task — versions remembered, counts and events emitted, ticks."""

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from npsflow.schemas import topics
from npsflow.schemas.deltas import PANE, TICK, encode_tick
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import SECOND
from npsflow.streams.classify import stored
from npsflow.streams.classify.breaker import Breaker
from npsflow.streams.classify.classifier import Change, Classifier, ClassifySettings
from npsflow.streams.classify.counters import COUNTERS, DEAD, EVENT, GAUGES, PAUSED, SOURCE
from npsflow.streams.classify.deltas import PaneCounts
from npsflow.streams.classify.events import ALERT, FOLLOW_UP
from npsflow.streams.classify.memory import MemoryStore, Store
from npsflow.streams.scoring.segments import Names
from npsflow.streams.stage import NORMAL, PAUSE, URGENT, Checkpoint, CounterKey, Emit, Fold, GaugeKey, Output, Record

_EVENTS = {t.encode(): (EVENT, t) for strand in (ALERT, FOLLOW_UP) for t in strand.types.values()}
_MOST_SOURCES = 50
_PER_RECORD = 1000  # remembered responses in one changelog record: far below the largest record, at 700 bytes each


class Classify:
    """The stage."""

    name = "classify"
    inputs = (topics.RESPONSES,)
    logs = True
    counters = COUNTERS
    gauges = GAUGES

    def __init__(self, meaning: ClassifySettings) -> None:
        self.meaning = meaning
        as_input = (topics.RESPONSES, topics.DEAD_LETTERS, topics.SERVICE_RECOVERY, topics.FOLLOW_UP)
        self.outputs: dict[str, int | None] = dict.fromkeys(as_input) | {topics.PANES: meaning.pane_partitions}
        self.fixed: dict[str, Any] = {}  # what is remembered holds what it was counted under

    def open(self, partition: int, partitions: int, emit: Emit) -> "ClassifyFold":
        return ClassifyFold(self.meaning, partition, partitions, emit, MemoryStore())


class ClassifyFold(Fold):
    """The fold of one task of `classify`."""

    def __init__(self, meaning: ClassifySettings, partition: int, partitions: int, emit: Emit, store: Store) -> None:
        self.counters: Counter[CounterKey] = Counter()
        self.store = store
        self._horizon, self._meaning, self._emit, self._partition = meaning.horizon, meaning, emit, partition
        self._names = Names()
        self._classifier = Classifier(meaning, partition, partitions, store, self._names)
        self._pane_counts = PaneCounts(self._names, lru_cache(lambda key: partition_of(key, meaning.pane_partitions)))
        self._armed, self._breaker = meaning.pause_on_dead_letters, Breaker()
        self._log: list[tuple[bytes, bytes, int]] = []
        self._ticked = 0
        self._ticked_at = 0

    @property
    def stream_time(self) -> int:
        """Greatest `submitted_at` accepted so far, ms."""
        return self._classifier.stream_time

    def read(self, record: Record) -> Change:
        """Give what this record changes."""
        return self._classifier.read(record)

    def crashed(self, record: Record, error: Exception) -> Change:
        """Give the dead letter of a record that crashed `read`."""
        return self._classifier.crashed(record, error)

    def apply(self, change: Change) -> int:
        """Make the change: counters, memory, pane counts, outputs."""
        self._classifier.stream_time = change.stream_time
        counters = self.counters
        counters["", change.outcome] += 1
        asks = URGENT if change.urgent else NORMAL
        if self._armed:
            self._breaker.saw(change.outcome == "dead")
            if self._breaker.tripped and not counters[PAUSED]:
                counters[PAUSED] = 1
                asks |= PAUSE
        for key in change.counts:
            counters[key if key in counters else self._counter(key)] += 1
        packed = change.packed
        if packed:
            self.store.put(change.key, packed, change.submitted)
            self._log.append((change.key, packed, change.submitted))
        if change.minus is not None:
            self._pane_counts.take_back(change.minus)
        if change.plus is not None:
            self._pane_counts.add(change.plus)
        for output in change.outputs:
            self._emit(output)
            if packed:
                counters[_EVENTS[output.headers[1][1]]] += 1
        return asks

    def _counter(self, key: CounterKey) -> CounterKey:
        """What to count something new under.

        A platform is named once a response of it was accepted: before that its name may be anything that stood in the
        wrong place, and is no label. The names of platforms do not grow without bound.
        """
        if key[0] == DEAD and (SOURCE, key[2]) not in self.counters:
            return DEAD, key[1], "unknown"
        if key[0] == SOURCE and sum(known[0] == SOURCE for known in self.counters) >= _MOST_SOURCES:
            return SOURCE, "other"
        return key

    def checkpoint(self, now: int) -> Checkpoint:
        self._pane_counts.send(self._emit)
        if self.stream_time > self._ticked and not 0 <= now - self._ticked_at < SECOND:
            self._tick(self.stream_time, now)
        self.store.expire(self.stream_time - self._horizon)
        checkpoint = Checkpoint()
        checkpoint.state += self._names.dump()
        for at in range(0, len(self._log), _PER_RECORD):
            entries = self._log[at : at + _PER_RECORD]
            latest = max(submitted for _, _, submitted in entries)
            checkpoint.log.append((b"".join([id_ + packed for id_, packed, _ in entries]), latest + self._horizon))
        self._log.clear()
        return checkpoint

    def accept(self) -> None:
        self.counters[PAUSED] = 0
        self._breaker.reset()

    def gauges(self) -> dict[GaugeKey, float]:
        """How many responses are remembered."""
        return {(GAUGES[0].metric, str(self._partition)): len(self.store)}

    def idle(self, now: int) -> bool:
        """At the end of the input: time goes on by the broker's clock, at each boundary of a pane."""
        boundary = now // PANE * PANE
        if self._meaning.idle_ticks and boundary > max(self._ticked, self.stream_time):
            self._tick(boundary, now)
            return True
        if self.stream_time > self._ticked and now - self._ticked_at >= SECOND:
            self._tick(self.stream_time, now)
            return True
        return False

    def _tick(self, time: int, now: int) -> None:
        self._ticked, self._ticked_at = time, now
        value = encode_tick(time)
        for partition in range(self._meaning.pane_partitions):
            self._emit(Output(topics.PANES, partition, TICK, value, []))

    # Restoring.

    def restore(self, key: bytes, value: bytes) -> None:
        """Take back the number of a name."""
        if not self._names.restore(key, value):
            raise ValueError(f"{key!r} is no key of the changelog of classify")

    def restore_log(self, value: bytes) -> int:
        latest = 0
        for id_, packed in stored.entries(value):
            submitted = stored.submitted_of(packed)
            self.store.put(id_, packed, submitted)
            latest = max(latest, submitted)
        return latest + self._horizon

    def restored(self, stream_time: int, counters: Mapping[CounterKey, int]) -> int:
        self._classifier.stream_time = stream_time
        self.counters.update(counters)
        self.store.expire(stream_time - self._horizon)
        return PAUSE if counters.get(PAUSED) else NORMAL
