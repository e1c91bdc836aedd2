"""Stage `roll up`: histogram deltas and time into panes and rolling windows."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from msgspec import Struct
from xxhash import xxh3_64_intdigest

from npsflow.schemas import codec, topics
from npsflow.schemas.deltas import (
    PANE,
    TICK,
    Spelling,
    TaskAt,
    Values,
    decode_deltas,
    decode_tick,
    is_late,
    parse_delta_key,
    spellings_of,
    task_of,
)
from npsflow.schemas.events import WINDOW_UPDATED
from npsflow.schemas.headers import CloudEvents
from npsflow.schemas.times import HOUR, MINUTE, rfc3339
from npsflow.schemas.window import Window, window_key
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
from npsflow.streams.watching.rules import Rule
from npsflow.streams.watching.watcher import Happened, Watcher
from npsflow.streams.windows.history import History, kept_for_history
from npsflow.streams.windows.panes import PaneStore, WindowSpec
from npsflow.streams.windows.score_alerts import ScoreAlerts
from npsflow.streams.windows.scored import scored
from npsflow.streams.windows.spellings import Spellings
from npsflow.streams.windows.watermark import Watermark

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
_QUIET = 2 * MINUTE


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
    horizon_days: int = 35
    rules: tuple[Rule, ...] = ()
    false_alarms_per_month: float = 1.0


class Change(Struct, gc=False):
    """A tick (`time`, ms), spellings, or deltas: per segment of one metric, scale and set of dimensions.

    `task`: which hour a task of classify has come to; `late`: of deltas.
    """

    time: int = 0
    metric: str = ""
    scale: str = ""
    dimensions: tuple[str, ...] = ()
    deltas: Sequence[tuple[Values, list[int]]] = ()
    spellings: Sequence[Spelling] = ()
    task: TaskAt | None = None
    late: bool = False


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


_instant = lru_cache(1000)(rfc3339)
"""For borders of panes, of which there are few."""


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
        self.outputs: dict[str, int | None] = dict.fromkeys((topics.WINDOWS, topics.HISTORY, topics.SCORE_ALERTS))
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
        self._panes = PaneStore(settings.windows, kept_for_history(settings.horizon_days))
        self._spellings = Spellings(settings.max_values, settings.aliases)
        self._segments_of: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self._keys: dict[int, list[bytes]] = {}
        self._published: set[tuple[int, int]] = set()
        self._watermark = Watermark()
        self._history = History(self._panes, self._names, self._scale, self._spellings.shown, self._fewest)
        self._history_at = 0
        self._watcher = Watcher(settings.rules, settings.false_alarms_per_month)
        self._score_alerts = ScoreAlerts(settings.event_source, partition, self._names, self._spellings.shown)

    def read(self, record: Record) -> Change:
        """Decode a record of `nps-panes`. Raises ValueError when it is none, msgspec.DecodeError when it is cut."""
        value = record.value or b""
        if record.key == TICK:
            headers = record.headers
            return Change(decode_tick(value), spellings=spellings_of(headers), task=task_of(headers))
        metric, scale, dimensions = parse_delta_key(record.key or b"")
        return Change(0, metric, scale, dimensions, decode_deltas(value), late=is_late(record.headers))

    def crashed(self, record: Record, error: Exception) -> Change:
        """Raise the error: this topic is our own, and what cannot be read in it must not be skipped."""
        raise error

    def apply(self, change: Change) -> int:
        """Let time go on, learn spellings, or count deltas."""
        if change.spellings:
            self._show_anew(self._spellings.hear(change.spellings))
            return NORMAL
        if change.task:
            self._hear_of_task(change.task)
            return NORMAL
        if change.time:
            self.counters[TICKS.stored,] += 1
            if change.time > self.stream_time:
                self._advance(change.time)
            return NORMAL
        self.counters[DELTAS.stored,] += 1
        for values, flat in change.deltas:
            segment = self._segment(change.metric, change.scale, change.dimensions, values)
            for at in range(0, len(flat), 3):
                self._panes.add(segment, flat[at], flat[at + 1], flat[at + 2])
            if not change.late and self._watcher.watches(segment):
                for at in range(0, len(flat), 3):
                    self._watcher.count(segment, flat[at] * PANE // HOUR, flat[at + 1], flat[at + 2])
        return NORMAL

    def _advance(self, time: int) -> None:
        if time // MINUTE > self.stream_time // MINUTE:
            self._history.take()
        self.stream_time = time
        self._panes.advance(time, self._all_at)

    def _hear_of_task(self, at: TaskAt) -> None:
        """Judge what is closed when the last task of classify has come to another hour."""
        if self._watermark.note(at):
            self._announce(self._watcher.advance(self._watermark.hour or 0))

    def _announce(self, happened: Iterable[Happened]) -> None:
        for one in happened:
            self._emit(self._score_alerts.output(one))

    @property
    def _all_at(self) -> int | None:
        """The time, ms, that all tasks of classify have come to; None where they do not say."""
        return None if self._watermark.hour is None else self._watermark.hour * HOUR

    def _segment(self, metric: str, scale: str, dimensions: tuple[str, ...], values: Values) -> int:
        counted = self._cap.admit(metric, scale, dimensions, values)
        number = self._names.number((metric, scale, tuple(zip(dimensions, counted, strict=True))))
        if number == self._indexed:
            self._index(number)
        return number

    def _index(self, number: int) -> None:
        """Make a segment found by what it is of: the whole, or values of dimensions."""
        *_, pairs = name = self._names.by_number[number]
        self._indexed += 1
        self._watcher.know(number, name)
        if not pairs:
            self._overall.add(number)
        for pair in pairs:
            self._segments_of[pair].append(number)

    def _show_anew(self, values: Iterable[tuple[str, str]]) -> None:
        """Publish all windows of what has another spelling now."""
        segments = {segment for value in values for segment in self._segments_of[value]}
        windows = range(len(self._settings.windows))
        self._panes.changed.update((segment, window) for segment in segments for window in windows)
        if segments:
            self._history.show_anew(segments)

    def checkpoint(self, now: int) -> Checkpoint:
        """Publish the windows that changed; give new names and touched panes."""
        for segment, window in sorted(self._panes.changed):
            self._publish(segment, window)
        self._panes.changed.clear()
        if self._history.publish(self._partition, self._emit):
            self._history_at = now
        self._announce(self._watcher.take_ended())
        checkpoint = Checkpoint()
        checkpoint.state += self._names.dump()
        checkpoint.state += self._spellings.dump()
        checkpoint.state += self._history.dump()
        checkpoint.state += self._watermark.dump()
        checkpoint.state += self._watcher.dump()
        return checkpoint

    def idle(self, now: int) -> bool:
        """Publish the history of what is open, where no tick has let it be published for so long."""
        if not self._history.is_behind or 0 <= now - self._history_at < _QUIET:
            return False
        self._history.take()
        return True

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
        key, at = self._key(segment, window), _instant(self._panes.end(window) - self._settings.windows[window].pane)
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
        return counts if sum(counts.values()) >= self._fewest(segment) else {}

    def _fewest(self, segment: int) -> int:
        return _FEWEST_EMPLOYEES if self._names.by_number[segment][0] == "enps" else 1

    def _window(self, segment: int, window: int) -> Window | None:
        """None where nothing may be shown."""
        scale, counts = self._scale(segment), self._shown(segment, window)
        if scale is None or not counts:
            return None
        *_, pairs = self._names.by_number[segment]
        spec, end = self._settings.windows[window], self._panes.end(window)
        start, shown = end - spec.length, self._spellings.shown(pairs)
        return scored(scale, shown, spec.name, start, end, counts, self._settings.sufficient)

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
        """Take back a name, a spelling, what was heard of time, what is watched or not published yet, or a pane."""
        owners = self._names, self._spellings, self._watermark, self._watcher
        if not any(owner.restore(key, value) for owner in owners):
            self._history.restore(*self._panes.restore(key, value))

    def restored(self, stream_time: int, counters: Mapping[CounterKey, int]) -> int:
        """All is back. Windows whose scale is gone are to be taken back with the next checkpoint."""
        self.counters.update(counters)
        self.stream_time = stream_time
        for number, (metric, scale, pairs) in enumerate(self._names.by_number):
            self._cap.restore(metric, scale, tuple(d for d, _ in pairs), tuple(v for _, v in pairs))
            self._index(number)
        self._panes.restored(stream_time, self._all_at)
        self._history.restored()
        self._watcher.restored(self._settings.scales.named)
        self._published = {(segment, window) for segment, window in self._panes.changed if self._shown(segment, window)}
        self._panes.changed = {(segment, window) for segment, window in self._published if self._scale(segment) is None}
        return NORMAL
