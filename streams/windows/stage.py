"""Stage `roll up`: histogram deltas and time into panes and rolling windows."""

import struct
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from msgspec import Struct
from xxhash import xxh3_64_intdigest

from npsflow.schemas import codec, topics
from npsflow.schemas.deltas import PANE, TICK, Values, decode_deltas, decode_tick, parse_delta_key
from npsflow.schemas.events import WINDOW_UPDATED
from npsflow.schemas.headers import CloudEvents
from npsflow.schemas.times import rfc3339, rfc3339_seconds
from npsflow.schemas.window import Window, window_key
from npsflow.streams.scoring import statistics
from npsflow.streams.scoring.scores import BEST, MIDDLE, WORST, Scale, Scales
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
from npsflow.streams.windows.panes import Panes, WindowSpec, change, resolutions

OTHER = "other"
"""The value under which everything beyond the cap on values of a dimension is counted."""

DELTAS, TICKS = CounterSpec("deltas", "", "Records of counts"), CounterSpec("ticks", "", "Records of time")
OVER_CAP = CounterSpec(
    "over_cap", "segment_values_over_cap", "Deltas of values beyond `max_values`, counted as `other`"
)
WINDOW_RESPONSES = GaugeSpec(
    "window_responses", "Responses in overall windows", ("metric", "scale", "window", "category")
)

_PANE_KEY = struct.Struct("<cBIi")
_FEWEST_EMPLOYEES = 5


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """`max_values` of one dimension, `sufficient`: the n from which a score may be read."""

    scales: Scales
    windows: tuple[WindowSpec, ...]
    max_values: int
    sufficient: int
    event_source: str


class Change(Struct, gc=False):
    """A tick (`time`, ms) or deltas: per segment of one metric, scale and set of dimensions."""

    time: int = 0
    metric: str = ""
    scale: str = ""
    dimensions: tuple[str, ...] = ()
    deltas: Sequence[tuple[Values, list[int]]] = ()


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
        return WindowsFold(self.settings, partition, emit)


class WindowsFold(Fold):
    """The fold of one task of `roll up`: every segment of the dimensions this partition owns."""

    stream_time = 0

    def __init__(self, settings: WindowSettings, partition: int, emit: Emit) -> None:
        self.counters: Counter[CounterKey] = Counter()
        self._settings, self._partition, self._emit = settings, partition, emit
        self._events = CloudEvents(settings.event_source, [WINDOW_UPDATED])
        self._specs, self._levels = settings.windows, resolutions(settings.windows)
        self._sizes = [[(w, self._specs[w].panes) for w in level.windows] for level in self._levels]
        self._level_of = {spec: i for i, level in enumerate(self._levels) for spec in level.windows}
        self._ends = [level.end(0) for level in self._levels]
        self._names = Names()
        self._panes: list[Panes] = []
        self._keys: dict[int, list[bytes]] = {}
        self._overall: list[int] = []
        self._values: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
        self._numbers: dict[tuple[str, str, tuple[str, ...], Values], int] = {}
        self._by_index: list[defaultdict[int, set[int]]] = [defaultdict(set) for _ in self._levels]
        self._touched: set[tuple[int, int, int]] = set()
        self._dirty: set[tuple[int, int]] = set()
        self._published: set[tuple[int, int]] = set()

    def read(self, record: Record) -> Change:
        value = record.value or b""
        if record.key == TICK:
            return Change(decode_tick(value))
        metric, scale, dimensions = parse_delta_key(record.key or b"")
        return Change(0, metric, scale, dimensions, decode_deltas(value))

    def crashed(self, record: Record, error: Exception) -> Change:
        raise error  # this topic is our own: what cannot be read in it must not be skipped

    def apply(self, c: Change) -> int:
        if c.time:
            self.counters[TICKS.stored,] += 1
            if c.time > self.stream_time:
                self._advance(c.time)
            return NORMAL
        self.counters[DELTAS.stored,] += 1
        for values, flat in c.deltas:
            number = self._number(c.metric, c.scale, c.dimensions, values)
            for at in range(0, len(flat), 3):
                self._add(number, flat[at], flat[at + 1], flat[at + 2])
        return NORMAL

    def _number(self, metric: str, scale: str, dimensions: tuple[str, ...], values: Values) -> int:
        found = self._numbers.get((metric, scale, dimensions, values))
        if found is None:
            of = (metric, scale, dimensions)
            if self._values[of] >= self._settings.max_values and dimensions:
                self.counters[OVER_CAP.stored,] += 1
                other = (OTHER,) * len(values)
                if values != other:
                    return self._number(metric, scale, dimensions, other)
            self._values[of] += 1
            found = self._names.number((metric, scale, tuple(zip(dimensions, values, strict=True))))
            self._numbers[(*of, values)] = found
            self._panes.append(Panes(len(self._levels), len(self._specs)))
            if not dimensions:
                self._overall.append(found)
        return found

    def _add(self, number: int, pane: int, answer: int, count: int) -> None:
        segment = self._panes[number]
        for level, resolution in enumerate(self._levels):
            index, end = pane * PANE // resolution.pane, self._ends[level]
            if index < end - resolution.kept:
                continue
            panes = segment.panes[level]
            histogram = panes.get(index)
            # Never back more than was given: settings that changed may have counted it in another segment or pane.
            step = max(count, -histogram.get(answer, 0) if histogram else 0)
            if not step:
                continue
            if histogram is None:
                histogram = panes[index] = {}
                self._by_index[level][index].add(number)
            change(histogram, answer, step)
            self._touched.add((level, number, index))
            for window, size in self._sizes[level]:
                if end - size <= index < end:
                    change(segment.sums[window], answer, step)
                    self._dirty.add((number, window))

    def _advance(self, time: int) -> None:
        self.stream_time = time
        for level, resolution in enumerate(self._levels):
            old, new = self._ends[level], resolution.end(time)
            if new == old:
                continue
            self._ends[level] = new
            for number, segment in enumerate(self._panes):
                segment.move(level, self._sizes[level], old, new)
                for window in resolution.windows:
                    if segment.sums[window] or (number, window) in self._published:
                        self._dirty.add((number, window))
            self._expire(level, new - resolution.kept)

    def _expire(self, level: int, before: int) -> None:
        by_index = self._by_index[level]
        for index in [index for index in by_index if index < before]:
            for number in by_index.pop(index):
                if self._panes[number].panes[level].pop(index, None) is not None:
                    self._touched.add((level, number, index))

    def checkpoint(self, now: int) -> Checkpoint:
        for number, window in sorted(self._dirty):
            self._publish(number, window)
        self._dirty.clear()
        checkpoint = Checkpoint()
        for number in self._names.fresh:
            checkpoint.state.append((b"name:%d" % number, codec.dumps(self._names.by_number[number])))
        self._names.fresh.clear()
        for level, number, index in sorted(self._touched):
            panes = self._panes[number].panes[level]
            histogram = panes.get(index)
            if not histogram:
                panes.pop(index, None)
                self._by_index[level][index].discard(number)
            key = _PANE_KEY.pack(b"p", level_code(self._levels[level].pane), number, index)
            checkpoint.state.append((key, codec.pack(histogram) if histogram else None))
        self._touched.clear()
        return checkpoint

    def _publish(self, number: int, window: int) -> None:
        key = self._key(number, window)
        found = self._window(number, window)
        if found is not None:
            self._published.add((number, window))
            value = codec.encode(found)
            subject = "w-" + blake2b(key, digest_size=16).hexdigest()
            at, version = rfc3339(self.stream_time), f"{xxh3_64_intdigest(value):016x}"
            headers = self._events.headers(WINDOW_UPDATED, subject, version, at)
            self._emit(Output(topics.WINDOWS, self._partition, key, value, headers))
        elif (number, window) in self._published:
            self._published.discard((number, window))
            self._emit(Output(topics.WINDOWS, self._partition, key, None, []))

    def _key(self, number: int, window: int) -> bytes:
        keys = self._keys.get(number)
        if keys is None:
            metric, scale, segment = self._names.by_number[number]
            keys = self._keys[number] = [window_key(metric, scale, dict(segment), s.name) for s in self._specs]
        return keys[window]

    def _scale(self, number: int) -> Scale | None:
        """None where nobody says any more what the scores mean: a removed `[[scales]]`."""
        metric, scale_name, _ = self._names.by_number[number]
        return self._settings.scales.named(metric, scale_name)

    def _shows(self, number: int, window: int) -> bool:
        """Whether so many have answered that it may be known what they said."""
        fewest = _FEWEST_EMPLOYEES if self._names.by_number[number][0] == "enps" else 1
        return sum(self._panes[number].sums[window].values()) >= fewest

    def _window(self, number: int, window: int) -> Window | None:
        """None where nothing may be shown."""
        metric, scale_name, segment = self._names.by_number[number]
        scale = self._scale(number)
        if scale is None or not self._shows(number, window):
            return None
        sums = self._panes[number].sums[window]
        n = sum(sums.values())
        spec, end = self._specs[window], self._ends[self._level_of[window]]
        score = statistics.score(scale, sums)
        ranks = scale.count(sums)
        net = scale.formula == "net"
        return Window(
            metric, scale_name, dict(segment), spec.name, rfc3339_seconds(end * spec.pane - spec.length),
            rfc3339_seconds(end * spec.pane), n, {str(a): sums[a] for a in sorted(sums)}, round(score.point, 4),
            round(score.low, 4), round(score.high, 4), round((score.high - score.low) / 2, 4),
            n >= self._settings.sufficient, *((ranks[BEST], ranks[MIDDLE], ranks[WORST]) if net else ()),
        )  # fmt: skip

    def gauges(self) -> dict[GaugeKey, float]:
        found: dict[GaugeKey, float] = {}
        for number in self._overall:
            metric, scale_name, _ = self._names.by_number[number]
            scale = self._scale(number)
            if scale is None:
                continue
            for window, spec in enumerate(self._specs):
                sums = self._panes[number].sums[window] if self._shows(number, window) else {}
                for word, count in zip(scale.words, scale.count(sums), strict=True):
                    found[WINDOW_RESPONSES.metric, metric, scale_name, spec.name, word] = count
        return found

    def restore(self, key: bytes, value: bytes) -> None:
        if key.startswith(b"name:"):
            metric, scale, segment = codec.loads(value)
            name = (metric, scale, tuple((d, v) for d, v in segment))
            self._names.restore(int(key[5:]), name)
            return
        _, code, number, index = _PANE_KEY.unpack(key)
        for level, resolution in enumerate(self._levels):
            if level_code(resolution.pane) == code:
                self._restore_pane(number, level, index, codec.unpack(value))

    def _restore_pane(self, number: int, level: int, index: int, histogram: dict[int, int]) -> None:
        while len(self._panes) <= number:
            self._panes.append(Panes(len(self._levels), len(self._specs)))
        self._panes[number].panes[level][index] = histogram
        self._by_index[level][index].add(number)

    def restored(self, stream_time: int, counters: Mapping[CounterKey, int]) -> int:
        self.counters.update(counters)
        self.stream_time = stream_time
        while len(self._panes) < len(self._names.by_number):
            self._panes.append(Panes(len(self._levels), len(self._specs)))
        for number, (metric, scale, segment) in enumerate(self._names.by_number):
            dimensions, values = tuple(d for d, _ in segment), tuple(v for _, v in segment)
            self._numbers[(metric, scale, dimensions, values)] = number
            self._values[(metric, scale, dimensions)] += 1
            if not dimensions:
                self._overall.append(number)
        for level, resolution in enumerate(self._levels):
            start, end = self._ends[level], resolution.end(stream_time)
            self._ends[level] = end
            for number, segment_panes in enumerate(self._panes):
                segment_panes.move(level, self._sizes[level], start, end)
                for window in resolution.windows:
                    if self._shows(number, window):
                        self._published.add((number, window))
                        if self._scale(number) is None:
                            self._dirty.add((number, window))  # to take it back
        return NORMAL


def level_code(pane: int) -> int:
    """A byte that names a pane size in changelog keys, whatever windows are configured: its five minutes' log2."""
    return (pane // PANE).bit_length()
