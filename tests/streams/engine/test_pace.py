"""How far apart commits are, by how busy a worker is: on a clock turned by hand."""

import itertools

import pytest

from npsflow.streams.engine.pace import Pace


def busy(pace: Pace, share: float, seconds: float, begin: float = 0.0) -> float:
    """Fold for this share of the time, in batches; gives the end."""
    end = begin + seconds
    now = begin
    while now < end:
        now += 0.05
        pace.folded(now, 0.05 * share)
    return now


def test_slots_are_apart_whoever_asks_and_free_when_nobody_has() -> None:
    pace = Pace(40)
    starts = [now + pace.claim(now) for now in (100.0, 100.0, 100.01, 100.02, 200.0)]
    assert starts == pytest.approx([100.0, 100.025, 100.05, 100.075, 200.0])
    assert all(later - earlier >= 0.025 - 1e-9 for earlier, later in itertools.pairwise(starts))


def test_a_worker_that_folds_nothing_commits_soonest() -> None:
    assert Pace(40).spacing(1e6) == pytest.approx(0.15)


@pytest.mark.parametrize(("share", "spacing"), [(0.02, 0.18), (0.1, 0.3), (0.2, 0.45), (0.3, 0.6), (0.9, 0.6)])
def test_the_more_it_folds_the_further_apart_they_are(share: float, spacing: float) -> None:
    pace = Pace(40)
    now = busy(pace, share, 60.0)
    assert pace.spacing(now) == pytest.approx(spacing, rel=0.02)


def test_a_worker_that_has_caught_up_is_soon_at_rest_again() -> None:
    pace = Pace(40)
    now = busy(pace, 0.95, 60.0)
    assert pace.spacing(now + 60) == pytest.approx(0.15, rel=0.01)
    assert pace.spacing(now) == 0.6  # to ask changes nothing
