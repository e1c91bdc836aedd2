"""Windows by name, and their sums as time goes on."""

from collections import Counter
from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas.deltas import PANE
from npsflow.schemas.times import DAY, HOUR, MINUTE
from npsflow.streams.windows.panes import PaneStore, WindowSpec, window_spec
from tests.strategies import NOW


@pytest.mark.parametrize(
    ("name", "length", "pane"),
    [
        ("1h", HOUR, PANE),
        ("23h", 23 * HOUR, PANE),
        ("24h", DAY, HOUR),
        ("1d", DAY, HOUR),
        ("7d", 7 * DAY, HOUR),
        ("29d", 29 * DAY, HOUR),
        ("30d", 30 * DAY, DAY),
        ("720h", 30 * DAY, DAY),
        ("90d", 90 * DAY, DAY),
    ],
)
def test_windows_have_the_panes_of_their_length(name: str, length: int, pane: int) -> None:
    spec = window_spec(name)
    assert (spec.name, spec.length, spec.pane, spec.panes) == (name, length, pane, length // pane)


@pytest.mark.parametrize("name", ["", "h", "0h", "-1h", "1", "1m", "1.5h", "1 h", "721h"])
def test_what_is_no_window(name: str) -> None:
    with pytest.raises(ValueError, match="window"):
        window_spec(name)


SPECS = [window_spec(name) for name in ("30d", "1h", "24h", "2h", "7d")]
TIMES = st.builds(
    lambda days, minutes: NOW + days * DAY + minutes * MINUTE,
    st.sampled_from([0, 0, 0, 0, 1, 2, 7, 13, 14, 29, 30, 59, 60]),
    st.sampled_from([0, 1, 4, 5, 59, 60, 61, 119, 120, 239, 240, 241]),
)
ADDITIONS = st.tuples(st.integers(0, 2), TIMES, st.sampled_from([1, 9, 10]), st.integers(-3, 5))
"""Segment, time (ms), score, count."""


class Recount:
    """The same without sums: every answer by pane, counted anew for each question."""

    def __init__(self, specs: list[WindowSpec]) -> None:
        self.time, self.specs = 0, specs
        longest = {spec.pane: max(s.length for s in specs if s.pane == spec.pane) for spec in specs}
        self.kept = {pane: 2 * length for pane, length in longest.items()}
        self.panes: Counter[tuple[int, int, int, int]] = Counter()

    def end(self, pane: int) -> int:
        return self.time // pane * pane + pane

    def add(self, segment: int, time: int, score: int, count: int) -> None:
        for pane, kept in self.kept.items():
            start = time // pane * pane
            if start >= self.end(pane) - kept:
                self.panes[segment, pane, start, score] += max(count, -self.panes[segment, pane, start, score])

    def advance(self, time: int) -> None:
        self.time = max(time, self.time)
        expired = [key for key in self.panes if key[2] < self.end(key[1]) - self.kept[key[1]]]
        for key in expired:
            del self.panes[key]

    def windows(self) -> dict[tuple[int, int], tuple[int, Mapping[int, int]]]:
        """End and counts by segment and window."""
        windows: dict[tuple[int, int], tuple[int, Mapping[int, int]]] = {}
        for segment, (window, spec) in product(range(3), enumerate(self.specs)):
            end, counts = self.end(spec.pane), Counter[int]()
            for (number, pane, start, score), count in self.panes.items():
                if (number, pane) == (segment, spec.pane) and end - spec.length <= start < end:
                    counts[score] += count
            windows[segment, window] = end, +counts
        return windows


def windows(store: PaneStore, specs: list[WindowSpec]) -> dict[tuple[int, int], tuple[int, Mapping[int, int]]]:
    every = product(range(3), range(len(specs)))
    return {(segment, window): (store.end(window), store.counts(segment, window)) for segment, window in every}


@given(st.lists(st.sampled_from(SPECS), min_size=1, unique=True), st.lists(TIMES | ADDITIONS | st.none(), max_size=40))
def test_windows_are_those_counted_anew(
    specs: list[WindowSpec], steps: list[int | tuple[int, int, int, int] | None]
) -> None:
    """A step is a time, answers, or a commit: there the changelog is what is restored from, to the same windows."""
    store, recount = PaneStore(specs), Recount(specs)
    changelog: dict[bytes, bytes] = {}
    before = windows(store, specs)
    for step in [*steps, None]:
        if isinstance(step, int):
            store.advance(step)
            recount.advance(step)
        elif step is not None:
            segment, time, score, count = step
            store.add(segment, time // PANE, score, count)
            recount.add(*step)
        else:
            after = windows(store, specs)
            assert {key for key in after if after[key][1] and after[key] != before[key]} <= store.changed
            assert {key for key in after if before[key][1] and after[key] != before[key]} <= store.changed
            for key, value in store.take_touched():
                changelog.pop(key, None)
                if value is not None:
                    changelog[key] = value
            assert len(changelog) == len({key[:3] for key, count in recount.panes.items() if count})
            store = restored(specs, changelog, recount.time)
            assert store.changed == {key for key, (_, counts) in after.items() if counts}
            store.changed.clear()
            before = windows(store, specs)
            assert before == after
        assert windows(store, specs) == recount.windows()


def restored(specs: list[WindowSpec], changelog: dict[bytes, bytes], time: int) -> PaneStore:
    store = PaneStore(specs)
    for key, value in reversed(changelog.items()):  # compaction keeps no order
        store.restore(key, value)
    store.restored(time)
    return store


def test_what_did_not_change_is_not_touched_and_not_published() -> None:
    store = PaneStore(SPECS)
    store.advance(NOW)
    store.add(0, NOW // PANE, 9, 1)
    assert len(store.take_touched()) == 3
    assert store.changed == {(0, window) for window in range(len(SPECS))}
    store.changed.clear()
    store.advance(NOW)
    store.advance(NOW - DAY)
    store.add(1, NOW // PANE, 9, -1)
    assert (store.take_touched(), store.changed) == ([], set())
    store.advance(NOW + 5 * MINUTE)
    assert (store.take_touched(), store.changed) == ([], {(0, 1), (0, 3)})


def test_windows_that_are_new_are_summed_up_from_the_panes_of_their_size() -> None:
    store = PaneStore([window_spec("7d"), window_spec("30d")])
    store.advance(NOW)
    store.add(0, NOW // PANE, 9, 2)
    changelog = {key: value for key, value in store.take_touched() if value is not None}
    later = [window_spec("24h"), window_spec("1h")]
    assert windows(restored(later, changelog, NOW), later)[0, 0][1] == {9: 2}
    assert windows(restored(later, changelog, NOW), later)[0, 1][1] == {}
