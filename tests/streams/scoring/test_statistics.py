"""Scores and intervals against tables and worked examples."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.streams.scoring.scores import DEFAULT_SCALES, Scale, scale_of
from npsflow.streams.scoring.statistics import Score, mean, net, score, share, t_quantile

counts = st.integers(0, 3000)
CES = DEFAULT_SCALES["ces"]


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [
        (1, 12.7062047), (2, 4.3026527), (3, 3.1824463), (4, 2.7764451), (5, 2.5705818), (10, 2.2281389),
        (30, 2.0422725), (60, 2.0002978), (100, 1.9839715), (120, 1.9799304), (1000, 1.9623391), (10**9, 1.9599640),
    ],
)  # fmt: skip
def test_t_is_that_of_the_tables(degrees: int, quantile: float) -> None:
    assert t_quantile(degrees) == pytest.approx(quantile, abs=1e-7)


def test_t_falls_without_a_jump_where_its_formula_changes() -> None:
    steps = [t_quantile(n) - t_quantile(n + 1) for n in range(190, 210)]
    assert all(later < earlier for earlier, later in pairwise(steps))


@pytest.mark.parametrize(
    ("best", "n", "low", "high"),
    [(8, 10, 49.0162, 94.3318), (0, 10, 0.0, 27.7533), (10, 10, 72.2467, 100.0), (50, 100, 40.3832, 59.6168)],
)
def test_wilson(best: int, n: int, low: float, high: float) -> None:
    assert share(best, n) == pytest.approx((100 * best / n, low, high), abs=1e-4)


def test_ten_promoters_are_not_certain_of_a_hundred() -> None:
    """By hand: p = 10.75/13, d = 0.75/13, variance 0.292899, standard error 0.150103."""
    assert net(10, 0, 0) == pytest.approx((100, 47.5035, 100), abs=1e-3)


def test_a_single_answer_lies_in_its_interval() -> None:
    """Adjusted Wald alone ends at 98.4987."""
    assert net(1, 0, 0) == pytest.approx((100, -48.4987, 100), abs=1e-4)
    assert net(0, 0, 1) == pytest.approx((-100, -100, 48.4987), abs=1e-4)


@pytest.mark.parametrize(("n", "margin"), [(232, 10), (935, 5)])
def test_how_many_answers_a_margin_needs(n: int, margin: float) -> None:
    found = net(round(n * 0.5), n - round(n * 0.5) - round(n * 0.2), round(n * 0.2))
    assert (found.high - found.low) / 2 == pytest.approx(margin, abs=0.1)


def test_mean_by_hand() -> None:
    """s = sqrt(2.5), s/sqrt(5) = 0.707107, t(4) = 2.776445."""
    assert mean(CES, {1: 1, 2: 1, 3: 1, 4: 1, 5: 1}) == pytest.approx((3, 1.036757, 4.963243), abs=1e-6)
    assert mean(CES, {6: 1}) == (6, 1, 7)
    assert mean(CES, {6: 9}) == (6, 6, 6)


@given(counts, counts, counts)
def test_nps_lies_in_its_interval_and_swaps_sign_with_its_counts(p: int, n: int, d: int) -> None:
    if p + n + d:
        inside(net(p, n, d), -100, 100)
        one, other = net(p, n, d), net(d, n, p)
        assert (one.point, one.low, one.high) == pytest.approx((-other.point, -other.high, -other.low))


@given(counts, counts)
def test_a_share_lies_in_its_interval_and_mirrors(best: int, others: int) -> None:
    if n := best + others:
        inside(share(best, n), 0, 100)
        one, other = share(best, n), share(others, n)
        assert (one.low, one.high) == pytest.approx((100 - other.high, 100 - other.low), abs=1e-9)


@given(st.dictionaries(st.integers(1, 7), st.integers(1, 500), min_size=1))
def test_a_mean_lies_in_its_interval(histogram: dict[int, int]) -> None:
    inside(mean(CES, histogram), 1, 7)


def inside(found: Score, lowest: float, highest: float) -> None:
    assert lowest <= found.low <= found.point <= found.high <= highest


@pytest.mark.parametrize(
    ("scale", "histogram", "same"),
    [
        (DEFAULT_SCALES["nps"], {0: 1, 6: 1, 7: 1, 8: 1, 9: 1, 10: 2}, net(3, 2, 2)),
        (DEFAULT_SCALES["enps"], {9: 5}, net(5, 0, 0)),
        (DEFAULT_SCALES["csat"], {1: 1, 3: 1, 4: 1, 5: 1}, share(2, 4)),
        (DEFAULT_SCALES["csat_overall"], {4: 1}, share(1, 1)),
        (CES, {1: 2, 7: 1}, mean(CES, {1: 2, 7: 1})),
        (scale_of("nps", 1, 5, (1, 2, 3), (4,)), {3: 1, 4: 1, 5: 1}, net(1, 1, 1)),
    ],
)
def test_each_metric_has_its_formula(scale: Scale, histogram: dict[int, int], same: Score) -> None:
    assert score(scale, histogram) == same
