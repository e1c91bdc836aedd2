"""Panes and rolling windows: answers by segment, time and score.

A window is [end - length, end); its end is the stream time floored to the window's pane, plus one pane. Each pane size
has panes of its own, and each window the running sum of its panes: a delta costs a few additions, a step of time two
panes a window.
"""

import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from npsflow.schemas import codec
from npsflow.schemas.deltas import PANE
from npsflow.schemas.times import DAY, HOUR

Histogram = dict[int, int]
"""Score to count; no zeros."""

Cell = tuple[int, int, int]
"""Code of a pane size, segment, index: numbers of panes since 1970."""

_EMPTY: Mapping[int, int] = {}
_MOST_DAYS = 400  # that are kept for a task of classify that says no time
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


def pane_code(pane: int) -> int:
    """What names panes of this size (ms) in changelog keys, whatever windows are configured."""
    return (pane // PANE).bit_length()


class PaneStore:
    """The panes of one task and the sums of its windows.

    Segments are numbers, windows are indices into `specs`. `changed` holds each (segment, window) whose counts or end
    changed since its owner last cleared it, `touched` each pane that changed since `take_touched`, `created` those of
    them that were empty then. `least`: sizes of panes (ms) that are kept whatever the windows are, and how many of them
    at least.
    """

    def __init__(self, specs: Sequence[WindowSpec], least: Mapping[int, int] = _EMPTY) -> None:
        self.changed: set[tuple[int, int]] = set()
        sizes = sorted({spec.pane for spec in specs} | least.keys())
        resolutions = [_resolution(pane, specs, least.get(pane, 0)) for pane in sizes]
        self._resolutions = {resolution.code: resolution for resolution in resolutions}
        self._by_window = [next(r for r in resolutions if r.pane == spec.pane) for spec in specs]
        self._sums: list[dict[int, Histogram]] = [{} for _ in specs]
        self.touched: set[Cell] = set()
        self.created: set[Cell] = set()

    def add(self, segment: int, pane: int, score: int, count: int) -> None:
        """Count answers in the five minutes `pane`, numbered since 1970; what is expired is ignored.

        A negative count takes back no more than is there: under settings that changed since, the answer may have been
        counted in another segment or pane.
        """
        for code, resolution in self._resolutions.items():
            index, end = pane * PANE // resolution.pane, resolution.end
            if index < resolution.oldest:
                continue
            histograms = resolution.panes[index]
            known, cell = histograms.get(segment), (code, segment, index)
            step = max(count, -(known or _EMPTY).get(score, 0))
            if not step:
                continue
            if known is None and cell not in self.touched:
                self.created.add(cell)
            _add(histograms, segment, score, step)
            self.touched.add(cell)
            for window, panes in resolution.windows:
                if end - panes <= index < end:
                    _add(self._sums[window], segment, score, step)
                    self.changed.add((segment, window))

    def advance(self, time: int, all_at: int | None = None) -> None:
        """Let time (ms) go on: windows end later, old panes expire. An earlier time changes nothing.

        Panes of a day expire only when all tasks of classify have come on: `all_at` is the time of the last of them.
        """
        for resolution in self._resolutions.values():
            old, new = resolution.end, resolution.end_at(time)
            if new <= old:
                continue
            resolution.end = new
            resolution.expire_before(time if all_at is None or resolution.pane < DAY else all_at)
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

    def histogram(self, cell: Cell) -> Mapping[int, int]:
        """Score to count of a pane, no zeros."""
        code, segment, index = cell
        return self._resolutions[code].panes.get(index, {}).get(segment, _EMPTY)

    def is_open(self, cell: Cell) -> bool:
        """Whether time has not come to the end of a pane."""
        code, _, index = cell
        return index >= self._resolutions[code].end - 1

    def is_expired(self, cell: Cell) -> bool:
        """Whether a pane is not kept any more."""
        code, _, index = cell
        return index < self._resolutions[code].oldest

    def cells(self, code: int) -> Iterator[Cell]:
        """All panes of a size."""
        panes = self._resolutions[code].panes
        return ((code, segment, index) for index in panes for segment in panes[index])

    def take_touched(
        self, marked: Collection[Cell] = (), absent: Collection[Cell] = ()
    ) -> list[tuple[bytes, bytes | None]]:
        """Give changelog records of the panes touched since the last call; None deletes.

        `restore` gives the mark of a pane back: whether it is absent.
        """
        records: list[tuple[bytes, bytes | None]] = []
        for cell in sorted(self.touched):
            stored: Any = self.histogram(cell)
            if cell in marked:
                stored = [stored, cell in absent]
            records.append((_KEY.pack(b"p", *cell), codec.pack(stored) if stored else None))
        self.touched.clear()
        self.created.clear()
        return records

    def restore(self, key: bytes, value: bytes) -> tuple[Cell, bool | None]:
        """Take back one changelog record, and give its pane and mark; ignore panes of a size that is not kept."""
        _, code, segment, index = _KEY.unpack(key)
        stored = codec.unpack(value)
        histogram, mark = stored if isinstance(stored, list) else (stored, None)
        if histogram and code in self._resolutions:
            self._resolutions[code].panes[index][segment] = histogram
        return (code, segment, index), mark

    def restored(self, time: int, all_at: int | None = None) -> None:
        """Sum up what was restored as of `time`, ms; `changed` then holds each window that has answers."""
        for resolution in self._resolutions.values():
            end = resolution.end = resolution.end_at(time)
            resolution.expire_before(time if all_at is None or resolution.pane < DAY else all_at)
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
        for index in [index for index in resolution.panes if index < resolution.oldest]:
            self.touched.update((resolution.code, segment, index) for segment in resolution.panes.pop(index))


@dataclass(slots=True)
class _Resolution:
    """All panes of one size: by index, then by segment. `windows` are (window, its number of panes).

    `end` is the index of the pane after the one that holds the time: where windows end. Panes before `oldest` have
    expired.
    """

    pane: int
    code: int
    windows: list[tuple[int, int]]
    kept: int
    end: int = 1
    oldest: int = 0
    panes: defaultdict[int, dict[int, Histogram]] = field(default_factory=lambda: defaultdict(dict))

    def end_at(self, time: int) -> int:
        """Where windows end at `time`, ms."""
        return time // self.pane + 1

    def expire_before(self, time: int) -> None:
        """Keep what is kept at `time`, ms."""
        most = max(self.kept, _MOST_DAYS * DAY // self.pane)
        self.oldest = max(self.oldest, self.end_at(time) - self.kept, self.end - most)

    def between(self, begin: int, end: int) -> Iterable[int]:
        """Indices of panes in [begin, end), by whichever is the shorter walk."""
        if end - begin > len(self.panes):
            return [index for index in self.panes if begin <= index < end]
        return [index for index in range(begin, end) if index in self.panes]


def _resolution(pane: int, specs: Sequence[WindowSpec], least: int) -> _Resolution:
    """Panes live for twice their longest window, and for so many panes at least."""
    windows = [(window, spec.panes) for window, spec in enumerate(specs) if spec.pane == pane]
    return _Resolution(pane, pane_code(pane), windows, max([least, *(2 * panes for _, panes in windows)]))


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
