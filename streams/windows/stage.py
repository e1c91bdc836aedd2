"""Stage `roll up`: histogram deltas and time into panes and rolling windows."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from msgspec import Struct
from xxhash import xxh3_64_intdigest

from npsflow.schemas import codec, topics
from npsflow.schemas.deltas import TICK, Spelling, Values, decode_deltas, decode_tick, parse_delta_key, spellings_of
from npsflow.schemas.events import WINDOW_UPDATED
from npsflow.schemas.headers import CloudEvents
from npsflow.schemas.times import rfc3339, rfc3339_seconds
from npsflow.schemas.window import Window, window_key
from npsflow.streams.scoring import statistics
from npsflow.streams.scoring.scores import Scale, Scales
from npsflow.streams.scoring.segments import Names
from npsflow.streams.stage import (
    NORMAL,
    Checkpoint,
    CounterKey,
    CounterSpec,
    Emit,
    Fold,
    GaugeKey,
    GaugeSpec,
    Output,
    Record,
)
from npsflow.streams.windows.panes import PaneStore, WindowSpec
from npsflow.streams.windows.spellings import Spellings

OTHER = "other"
"""The value under which everything beyond the cap on values of a dimension is counted."""

DELTAS, TICKS = CounterSpec("deltas", "", "Records of counts"), CounterSpec("ticks", "", "Records of time")
OVER_CAP = CounterSpec(
    "over_cap", "segment_values_over_cap", "Deltas of values beyond `max_values`, counted as `other`"
)
WINDOW_RESPONSES = GaugeSpec(
    "window_responses", "Responses in overall windows", ("metric", "scale", "window", "category")
)

_FEWEST_EMPLOYEES = 5


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """`max_values` of one dimension, `sufficient`: the n from which a score may be read.

    `aliases` maps a dimension to {value: value to count under}; here it only says how the latter are spelled.
    """

    scales: Scales
    windows: tuple[WindowSpec, ...]
    max_values: int
    sufficient: int
    event_source: str
    aliases: Mapping[str, Mapping[str, str]]


class Change(Struct, gc=False):
    """A tick (`time`, ms), spellings, or deltas: per segment of one metric, scale and set of dimensions."""

    time: int = 0
    metric: str = ""
    scale: str = ""
    dimensions: tuple[str, ...] = ()
    deltas: Sequence[tuple[Values, list[int]]] = ()
    spellings: Sequence[Spelling] = ()


class ValueCap:
    """Which values of a dimension are counted by name: the first `most`, for good. What comes later is `other`."""

    def __init__(self, most: int, counters: Counter[CounterKey]) -> None:
        self._most, self._counters = most, counters
        self._admitted: defaultdict[tuple[str, str, tuple[str, ...]], set[Values]] = defaultdict(set)

    def admit(self, metric: str, scale: str, dimensions: tuple[str, ...], values: Values) -> Values:
        """Give the values under which these are counted."""
        admitted = self._admitted[metric, scale, dimensions]
        if values not in admitted:
            if dimensions and len(admitted) >= self._most:
                self._counters[OVER_CAP.stored,] += 1
                other = (OTHER,) * len(values)
                if values != other:
                    return self.admit(metric, scale, dimensions, other)
            admitted.add(values)
        return values

    def restore(self, metric: str, scale: str, dimensions: tuple[str, ...], values: Values) -> None:
        """Take back values that were admitted, whatever the cap is now."""
        self._admitted[metric, scale, dimensions].add(values)


def tombstone(events: CloudEvents, partition: int, key: bytes, at: str) -> Output:
    """The record that deletes a window. It has the headers of a window, as readers decode by these.

    They are a list: a rebuild writes them with a plain producer, which takes nothing else.
    """
    headers = events.headers(WINDOW_UPDATED, *_id(key, at.encode()), at)
    return Output(topics.WINDOWS, partition, key, None, [*headers])


def _id(key: bytes, content: bytes) -> tuple[str, str]:
    """Subject and version of a window, of which its event's id is made."""
    return "w-" + blake2b(key, digest_size=16).hexdigest(), f"{xxh3_64_intdigest(content):016x}"


class Rollup:
    """The stage."""

    name = "rollup"
    inputs = (topics.PANES,)
    logs = False
    counters = (DELTAS, TICKS, OVER_CAP)
    gauges = (WINDOW_RESPONSES,)

    def __init__(self, settings: WindowSettings) -> None:
        self.settings = settings
        self.outputs: dict[str, int | None] = {topics.WINDOWS: None}
        self.fixed: dict[str, Any] = {"windows.lengths": [spec.name for spec in settings.windows]}

    def open(self, partition: int, partitions: int, emit: Emit) -> "WindowsFold":
        """Give an empty fold for one partition of `nps-panes`."""
        return WindowsFold(self.settings, partition, emit)


class WindowsFold(Fold):
    """The fold of one task of `roll up`: every segment of the dimensions this partition owns."""

    stream_time = 0

    def __init__(self, settings: WindowSettings, partition: int, emit: Emit) -> None:
        self.counters: Counter[CounterKey] = Counter()
        self._settings, self._partition, self._emit = settings, partition, emit
        self._events = CloudEvents(settings.event_source, [WINDOW_UPDATED])
        self._names = Names()
        self._indexed = 0
        self._overall: set[int] = set()
        self._cap = ValueCap(settings.max_values, self.counters)
        self._panes = PaneStore(settings.windows)
        self._spellings = Spellings(settings.max_values, settings.aliases)
        self._segments_of: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self._keys: dict[int, list[bytes]] = {}
        self._published: set[tuple[int, int]] = set()

    def read(self, record: Record) -> Change:
        """Decode a record of `nps-panes`. Raises ValueError when it is none, msgspec.DecodeError when it is cut."""
        value = record.value or b""
        if record.key == TICK:
            return Change(decode_tick(value), spellings=spellings_of(record.headers))
        metric, scale, dimensions = parse_delta_key(record.key or b"")
        return Change(0, metric, scale, dimensions, decode_deltas(value))

    def crashed(self, record: Record, error: Exception) -> Change:
        """Raise the error: this topic is our own, and what cannot be read in it must not be skipped."""
        raise error

    def apply(self, change: Change) -> int:
        """Let time go on, learn spellings, or count deltas."""
        if change.spellings:
            self._show_anew(self._spellings.hear(change.spellings))
            return NORMAL
        if change.time:
            self.counters[TICKS.stored,] += 1
            if change.time > self.stream_time:
                self.stream_time = change.time
                self._panes.advance(change.time)
            return NORMAL
        self.counters[DELTAS.stored,] += 1
        for values, flat in change.deltas:
            segment = self._segment(change.metric, change.scale, change.dimensions, values)
            for at in range(0, len(flat), 3):
                self._panes.add(segment, flat[at], flat[at + 1], flat[at + 2])
        return NORMAL

    def _segment(self, metric: str, scale: str, dimensions: tuple[str, ...], values: Values) -> int:
        counted = self._cap.admit(metric, scale, dimensions, values)
        number = self._names.number((metric, scale, tuple(zip(dimensions, counted, strict=True))))
        if number == self._indexed:
            self._index(number)
        return number

    def _index(self, number: int) -> None:
        """Make a segment found by what it is of: the whole, or values of dimensions."""
        *_, pairs = self._names.by_number[number]
        self._indexed += 1
        if not pairs:
            self._overall.add(number)
        for pair in pairs:
            self._segments_of[pair].append(number)

    def _show_anew(self, values: Iterable[tuple[str, str]]) -> None:
        """Publish all windows of what has another spelling now."""
        windows = range(len(self._settings.windows))
        self._panes.changed.update((s, w) for value in values for s in self._segments_of[value] for w in windows)

    def checkpoint(self, now: int) -> Checkpoint:
        """Publish the windows that changed; give new names and touched panes."""
        for segment, window in sorted(self._panes.changed):
            self._publish(segment, window)
        self._panes.changed.clear()
        checkpoint = Checkpoint()
        checkpoint.state += self._names.dump()
        checkpoint.state += self._spellings.dump()
        checkpoint.state += self._panes.take_touched()
        return checkpoint

    def _publish(self, segment: int, window: int) -> None:
        content = self._window(segment, window)
        if content is not None:
            self._published.add((segment, window))
            self._write(segment, window, codec.encode(content))
        elif (segment, window) in self._published:
            self._published.discard((segment, window))
            self._write(segment, window, None)

    def _write(self, segment: int, window: int, content: bytes | None) -> None:
        """Write a window, or its tombstone (None).

        Its time is that of the newest pane, so that it does not depend on where commits have cut.
        """
        key, at = self._key(segment, window), rfc3339(self._panes.end(window) - self._settings.windows[window].pane)
        if content is None:
            self._emit(tombstone(self._events, self._partition, key, at))
            return
        value, headers = self._events.event(WINDOW_UPDATED, *_id(key, content), at, content)
        self._emit(Output(topics.WINDOWS, self._partition, key, value, headers))

    def _key(self, segment: int, window: int) -> bytes:
        keys = self._keys.get(segment)
        if keys is None:
            metric, scale, pairs = self._names.by_number[segment]
            specs = self._settings.windows
            keys = self._keys[segment] = [window_key(metric, scale, dict(pairs), spec.name) for spec in specs]
        return keys[window]

    def _scale(self, segment: int) -> Scale | None:
        """None where no setting says any more what the scores mean: a removed `[[scales]]`."""
        metric, scale, _ = self._names.by_number[segment]
        return self._settings.scales.named(metric, scale)

    def _shown(self, segment: int, window: int) -> Mapping[int, int]:
        """Score to count; empty where so few answered that one could tell what each of them said."""
        counts = self._panes.counts(segment, window)
        fewest = _FEWEST_EMPLOYEES if self._names.by_number[segment][0] == "enps" else 1
        return counts if sum(counts.values()) >= fewest else {}

    def _window(self, segment: int, window: int) -> Window | None:
        """None where nothing may be shown."""
        metric, scale_name, pairs = self._names.by_number[segment]
        scale, counts = self._scale(segment), self._shown(segment, window)
        if scale is None or not counts:
            return None
        n = sum(counts.values())
        spec, end = self._settings.windows[window], self._panes.end(window)
        score = statistics.score(scale, counts)
        worst, middle, best = scale.count(counts) if scale.formula == "net" else (None, None, None)
        return Window(
            metric=metric,
            scale=scale_name,
            segment=self._spellings.shown(pairs),
            window=spec.name,
            start=rfc3339_seconds(end - spec.length),
            end=rfc3339_seconds(end),
            n=n,
            histogram={str(answer): counts[answer] for answer in sorted(counts)},
            score=round(score.point, 4),
            low=round(score.low, 4),
            high=round(score.high, 4),
            margin=round((score.high - score.low) / 2, 4),
            sufficient=n >= self._settings.sufficient,
            promoters=best,
            passives=middle,
            detractors=worst,
            unit=statistics.UNITS[scale.formula],
        )

    def gauges(self) -> dict[GaugeKey, float]:
        """Responses by category in each window of each metric, all segments together."""
        gauges: dict[GaugeKey, float] = {}
        for segment in self._overall:
            metric, scale_name, _ = self._names.by_number[segment]
            scale = self._scale(segment)
            if scale is None:
                continue
            for window, spec in enumerate(self._settings.windows):
                categories = scale.count(self._shown(segment, window))
                for word, count in zip(scale.words, categories, strict=True):
                    gauges[WINDOW_RESPONSES.metric, metric, scale_name, spec.name, word] = count
        return gauges

    def restore(self, key: bytes, value: bytes) -> None:
        """Take back a name, a spelling or a pane."""
        if not self._names.restore(key, value) and not self._spellings.restore(key, value):
            self._panes.restore(key, value)

    def restored(self, stream_time: int, counters: Mapping[CounterKey, int]) -> int:
        """All is back. Windows whose scale is gone are to be taken back with the next checkpoint."""
        self.counters.update(counters)
        self.stream_time = stream_time
        for number, (metric, scale, pairs) in enumerate(self._names.by_number):
            self._cap.restore(metric, scale, tuple(d for d, _ in pairs), tuple(v for _, v in pairs))
            self._index(number)
        self._panes.restored(stream_time)
        self._published = {(segment, window) for segment, window in self._panes.changed if self._shown(segment, window)}
        self._panes.changed = {(segment, window) for segment, window in self._published if self._scale(segment) is None}
        return NORMAL
