"""Panes and rolling windows of one segment's histogram.

A window is [end - length, end), end = time floored to its resolution plus one pane. Each resolution keeps panes of its
own, and each window the running sum of its panes: a delta costs a few additions, a step of time two panes a window.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from npsflow.schemas.deltas import PANE
from npsflow.schemas.times import DAY, HOUR

Histogram = dict[int, int]
"""Score to count; no zeros."""


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """`length` in ms, a multiple of the pane, `pane` in ms."""

    name: str
    length: int
    pane: int

    @property
    def panes(self) -> int:
        return self.length // self.pane


def window_spec(name: str) -> WindowSpec:
    """`1h`, `24h`, `7d`, ...: below a day of five-minute, below 30 days of hour, else day panes. Raises ValueError."""
    unit = {"h": HOUR, "d": DAY}.get(name[-1:])
    if unit is None or not name[:-1].isdecimal() or int(name[:-1]) < 1:
        raise ValueError(f"{name!r} is not a window: say 1h, 24h, 7d or 30d")
    length = int(name[:-1]) * unit
    pane = PANE if length < DAY else HOUR if length < 30 * DAY else DAY
    if length % pane:
        raise ValueError(f"window {name!r} is not a whole number of its panes")
    return WindowSpec(name, length, pane)


@dataclass(frozen=True, slots=True)
class Resolution:
    """Panes of one size (ms), the windows made of them (indices into all windows), and how many panes are kept."""

    pane: int
    windows: tuple[int, ...]
    kept: int

    def end(self, time: int) -> int:
        """Index of the pane after the one that holds `time`: where windows end."""
        return time // self.pane + 1


def resolutions(specs: Sequence[WindowSpec]) -> tuple[Resolution, ...]:
    """Finest first. Panes live for twice their longest window."""
    return tuple(
        Resolution(
            pane,
            tuple(i for i, s in enumerate(specs) if s.pane == pane),
            2 * max(s.panes for s in specs if s.pane == pane),
        )
        for pane in sorted({s.pane for s in specs})
    )


class Panes:
    """One segment: panes by resolution and index, and the sum of each window. `ends` are given by the owner."""

    __slots__ = ("panes", "sums")

    def __init__(self, resolutions: int, windows: int) -> None:
        self.panes: tuple[dict[int, Histogram], ...] = tuple({} for _ in range(resolutions))
        self.sums: tuple[Histogram, ...] = tuple({} for _ in range(windows))

    def move(self, level: int, sizes: Sequence[tuple[int, int]], old_end: int, new_end: int) -> None:
        """Let windows of one resolution end later. `sizes`: (window, its number of panes)."""
        panes = self.panes[level]
        for window, size in sizes:
            total = self.sums[window]
            for index in _between(panes, old_end - size, min(old_end, new_end - size)):
                add(total, panes[index], -1)
            for index in _between(panes, max(old_end, new_end - size), new_end):
                add(total, panes[index], 1)


def add(total: Histogram, other: Histogram, sign: int) -> None:
    for answer, count in other.items():
        change(total, answer, sign * count)


def change(total: Histogram, answer: int, count: int) -> None:
    """Add, keeping no zeros."""
    after = total.get(answer, 0) + count
    if after:
        total[answer] = after
    else:
        total.pop(answer, None)


def _between(panes: dict[int, Histogram], begin: int, end: int) -> Iterable[int]:
    """Indices of panes in [begin, end), by whichever is the shorter walk."""
    if end - begin > len(panes):
        return [index for index in panes if begin <= index < end]
    return [index for index in range(begin, end) if index in panes]
