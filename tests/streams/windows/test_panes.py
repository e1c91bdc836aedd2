"""Windows by name, and their sums as time goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas.deltas import PANE
from npsflow.schemas.times import DAY, HOUR
from npsflow.streams.windows.panes import Histogram, Panes, change, resolutions, window_spec


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


def test_panes_are_kept_for_twice_their_longest_window() -> None:
    levels = resolutions([window_spec(name) for name in ("30d", "1h", "24h", "7d")])
    assert [(level.pane, level.windows, level.kept) for level in levels] == [
        (PANE, (1,), 24),
        (HOUR, (2, 3), 2 * 7 * 24),
        (DAY, (0,), 60),
    ]
    assert [level.end(DAY - 1) for level in levels] == [288, 24, 1]


def test_no_zeros_are_kept() -> None:
    total: Histogram = {}
    for answer, count in ((3, 2), (4, 1), (3, -2)):
        change(total, answer, count)
    assert total == {4: 1}


@given(st.dictionaries(st.integers(0, 60), st.integers(1, 5)), st.lists(st.integers(0, 90), max_size=5))
def test_sums_follow_the_end_in_steps_of_any_length(counts: dict[int, int], ends: list[int]) -> None:
    sizes = [(0, 3), (1, 24)]
    panes, end = Panes(1, 2), 0
    panes.panes[0].update({index: {9: count} for index, count in counts.items()})
    for new_end in sorted(ends):
        panes.move(0, sizes, end, new_end)
        end = new_end
        for window, size in sizes:
            expected = sum(count for index, count in counts.items() if end - size <= index < end)
            assert panes.sums[window] == ({9: expected} if expected else {})
