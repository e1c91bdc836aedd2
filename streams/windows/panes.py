"""Panes and rolling windows: answers by segment, time and score.

A window is [end - length, end); its end is the stream time floored to the window's pane, plus one pane. Each pane size
has panes of its own, and each window the running sum of its panes: a delta costs a few additions, a step of time two
panes a window.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from npsflow.schemas import codec
from npsflow.schemas.deltas import PANE
from npsflow.schemas.times import DAY, HOUR

Histogram = dict[int, int]
"""Score to count; no zeros."""

_EMPTY: Mapping[int, int] = {}
_KEY = struct.Struct("<cBIi")
"""Key of a pane in the changelog: `p`, code of the pane size, segment, index."""


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """`length` in ms, a multiple of the pane, `pane` in ms."""

    name: str
    length: int
    pane: int

    @property
    def panes(self) -> int:
        """How many panes the window spans."""
        return self.length // self.pane


def window_spec(name: str) -> WindowSpec:
    """Parse `1h`, `24h`, `7d`, ...: below a day of five-minute, below 30 days of hour, else day panes.

    Raises ValueError when it is no such name, or not a whole number of panes.
    """
    unit = {"h": HOUR, "d": DAY}.get(name[-1:])
    if unit is None or not name[:-1].isdecimal() or int(name[:-1]) < 1:
        raise ValueError(f"{name!r} is not a window: say 1h, 24h, 7d or 30d")
    length = int(name[:-1]) * unit
    pane = PANE if length < DAY else HOUR if length < 30 * DAY else DAY
    if length % pane:
        raise ValueError(f"window {name!r} is not a whole number of its panes")
    return WindowSpec(name, length, pane)


class PaneStore:
    """The panes of one task and the sums of its windows.

    Segments are numbers, windows are indices into `specs`. `changed` holds each (segment, window) whose counts or end
    changed since its owner last cleared it.
    """

    def __init__(self, specs: Sequence[WindowSpec]) -> None:
        self.changed: set[tuple[int, int]] = set()
        resolutions = [_resolution(pane, specs) for pane in sorted({spec.pane for spec in specs})]
        self._resolutions = {resolution.code: resolution for resolution in resolutions}
        self._by_window = [next(r for r in resolutions if r.pane == spec.pane) for spec in specs]
        self._sums: list[dict[int, Histogram]] = [{} for _ in specs]
        self._touched: set[tuple[int, int, int]] = set()

    def add(self, segment: int, pane: int, score: int, count: int) -> None:
        """Count answers in the five minutes `pane`, numbered since 1970; what is expired is ignored.

        A negative count takes back no more than is there: under settings that changed since, the answer may have been
        counted in another segment or pane.
        """
        for code, resolution in self._resolutions.items():
            index, end = pane * PANE // resolution.pane, resolution.end
            if index < end - resolution.kept:
                continue
            histograms = resolution.panes[index]
            step = max(count, -histograms.get(segment, _EMPTY).get(score, 0))
            if not step:
                continue
            _add(histograms, segment, score, step)
            self._touched.add((code, segment, index))
            for window, panes in resolution.windows:
                if end - panes <= index < end:
                    _add(self._sums[window], segment, score, step)
                    self.changed.add((segment, window))

    def advance(self, time: int) -> None:
        """Let time (ms) go on: windows end later, old panes expire. An earlier time changes nothing."""
        for resolution in self._resolutions.values():
            old, new = resolution.end, resolution.end_at(time)
            if new <= old:
                continue
            resolution.end = new
            for window, panes in resolution.windows:
                self._sum(resolution, window, old - panes, min(old, new - panes), -1)
                self._sum(resolution, window, max(old, new - panes), new, 1)
                self.changed.update((segment, window) for segment in self._sums[window])
            self._expire(resolution)

    def counts(self, segment: int, window: int) -> Mapping[int, int]:
        """Score to count of one window, no zeros."""
        return self._sums[window].get(segment, _EMPTY)

    def end(self, window: int) -> int:
        """Where a window ends, ms."""
        resolution = self._by_window[window]
        return resolution.end * resolution.pane

    def take_touched(self) -> list[tuple[bytes, bytes | None]]:
        """Give changelog records of the panes touched since the last call; None deletes."""
        records: list[tuple[bytes, bytes | None]] = []
        for code, segment, index in sorted(self._touched):
            histogram = self._resolutions[code].panes.get(index, {}).get(segment)
            records.append((_KEY.pack(b"p", code, segment, index), codec.pack(histogram) if histogram else None))
        self._touched.clear()
        return records

    def restore(self, key: bytes, value: bytes) -> None:
        """Take back one changelog record; ignore panes of a size that no window has any more."""
        _, code, segment, index = _KEY.unpack(key)
        if code in self._resolutions:
            self._resolutions[code].panes[index][segment] = codec.unpack(value)

    def restored(self, time: int) -> None:
        """Sum up what was restored as of `time`, ms; `changed` then holds each window that has answers."""
        for resolution in self._resolutions.values():
            end = resolution.end = resolution.end_at(time)
            for window, panes in resolution.windows:
                self._sum(resolution, window, end - panes, end, 1)

    def _sum(self, resolution: "_Resolution", window: int, begin: int, end: int, sign: int) -> None:
        """Add the panes of [begin, end) to a window, or take them off."""
        sums = self._sums[window]
        for index in resolution.between(begin, end):
            for segment, histogram in resolution.panes[index].items():
                for score, count in histogram.items():
                    _add(sums, segment, score, sign * count)
                self.changed.add((segment, window))

    def _expire(self, resolution: "_Resolution") -> None:
        oldest = resolution.end - resolution.kept
        for index in [index for index in resolution.panes if index < oldest]:
            self._touched.update((resolution.code, segment, index) for segment in resolution.panes.pop(index))


@dataclass(slots=True)
class _Resolution:
    """All panes of one size: by index, then by segment. `windows` are (window, its number of panes).

    `end` is the index of the pane after the one that holds the time: where windows end. `code` names the size in
    changelog keys, whatever windows are configured.
    """

    pane: int
    code: int
    windows: list[tuple[int, int]]
    kept: int
    end: int = 1
    panes: defaultdict[int, dict[int, Histogram]] = field(default_factory=lambda: defaultdict(dict))

    def end_at(self, time: int) -> int:
        """Where windows end at `time`, ms."""
        return time // self.pane + 1

    def between(self, begin: int, end: int) -> Iterable[int]:
        """Indices of panes in [begin, end), by whichever is the shorter walk."""
        if end - begin > len(self.panes):
            return [index for index in self.panes if begin <= index < end]
        return [index for index in range(begin, end) if index in self.panes]


def _resolution(pane: int, specs: Sequence[WindowSpec]) -> _Resolution:
    """Panes live for twice their longest window."""
    windows = [(window, spec.panes) for window, spec in enumerate(specs) if spec.pane == pane]
    return _Resolution(pane, (pane // PANE).bit_length(), windows, kept=2 * max(panes for _, panes in windows))


def _add(histograms: dict[int, Histogram], segment: int, score: int, count: int) -> None:
    """Add to the histogram of a segment; neither zeros nor empty histograms stay."""
    histogram = histograms.setdefault(segment, {})
    total = histogram.get(score, 0) + count
    if total:
        histogram[score] = total
    else:
        del histogram[score]
        if not histogram:
            del histograms[segment]
