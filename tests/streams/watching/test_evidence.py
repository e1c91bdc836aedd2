"""Evidence is that of the definition, and cannot be expected to grow while the mean is where it should be."""

from collections import Counter
from math import exp, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.streams.scoring.levels import answer_level, limits, to_level, to_score
from npsflow.streams.scoring.scores import DEFAULT_SCALES, Scales, scale_of
from npsflow.streams.watching import evidence

SCALES = [
    *DEFAULT_SCALES.values(), Scales(ces_seven_is_hard=True).defaults["ces"], scale_of("csat", 1, 10, (1, 2, 3), (4, 5))
]  # fmt: skip
scales = st.sampled_from(SCALES)
levels = st.floats(-1, 1)


@given(scales, st.data())
def test_levels_go_from_the_worst_to_the_best_and_back_to_scores(scale, data) -> None:  # type: ignore[no-untyped-def]
    level_of, answers = answer_level(scale), range(scale.low, scale.high + 1)
    assert min(map(level_of, answers)) == level_of(scale.worst_score) == -1
    assert max(map(level_of, answers)) == 1
    score = data.draw(st.floats(*limits(scale)))
    assert to_score(scale, to_level(scale, score)) == pytest.approx(score, abs=1e-9)
    counts = data.draw(st.dictionaries(st.sampled_from(answers), st.integers(1, 9), min_size=1))
    mean = sum(level_of(answer) * n for answer, n in counts.items()) / sum(counts.values())
    ranks, n = scale.count(counts), sum(counts.values())
    expected = {
        "net": 100 * (ranks[2] - ranks[0]) / n,
        "share": 100 * ranks[2] / n,
        "mean": sum(answer * count for answer, count in counts.items()) / n,
    }
    assert to_score(scale, mean) == pytest.approx(expected[scale.formula])


@given(scales, st.dictionaries(st.integers(0, 10), st.integers(1, 40), max_size=6), levels)
def test_what_answers_are_worth_is_the_product_of_all_bets_on_them(scale, found, level) -> None:  # type: ignore[no-untyped-def]
    counts = {answer: n for answer, n in found.items() if scale.low <= answer <= scale.high}
    level_of = answer_level(scale)
    worths = evidence.worth(counts, level_of, level)
    for bet, worth in zip(evidence.BETS, worths, strict=True):
        assert exp(worth) == pytest.approx(prod(1 + bet * (level - level_of(a)) for a in Counter(counts).elements()))


@given(st.lists(st.floats(0.01, 1), min_size=5, max_size=5), st.lists(st.floats(-1, 1), min_size=5, max_size=5), levels)
def test_an_answer_is_worth_one_at_most_while_the_mean_is_at_the_level(
    weights: list[float], answers: list[float], level: float
) -> None:
    mean = sum(w * x for w, x in zip(weights, answers, strict=True)) / sum(weights)
    worth = [evidence.worth({0: 1}, lambda _, x=x: x, min(level, mean)) for x in answers]  # type: ignore[misc]
    for at in range(len(evidence.BETS)):
        expected = sum(w * exp(of[at]) for w, of in zip(weights, worth, strict=True)) / sum(weights)
        assert expected <= 1 + 1e-12


@given(st.lists(st.lists(st.floats(-3, 3), min_size=5, max_size=5), max_size=12))
def test_evidence_is_the_sum_over_all_hours_of_what_came_since(hours: list[list[float]]) -> None:
    grown, cusum = [0.0] * 5, 0.0
    for worths in hours:
        grown, cusum = evidence.grown(grown, worths), evidence.changed(cusum, worths)
    for at, found in enumerate(grown):
        expected = sum(prod(exp(worths[at]) for worths in hours[begin:]) for begin in range(len(hours)))
        assert found == pytest.approx(expected, rel=1e-9)
    since = [prod(sum(map(exp, worths)) / 5 for worths in hours[begin:]) for begin in range(len(hours))]
    assert exp(cusum) == pytest.approx(max([1.0, *since]), rel=1e-9)


def test_no_hour_is_too_great_for_a_number() -> None:
    huge = evidence.worth({0: 10**6}, lambda _: -1.0, 1.0)
    tiny = evidence.worth({0: 10**6}, lambda _: 1.0, -1.0)
    assert evidence.total(evidence.grown(evidence.grown([0.0] * 5, huge), huge)) < float("inf")
    assert min(evidence.grown(evidence.grown([0.0] * 5, tiny), tiny)) > 0
    assert evidence.changed(0.0, tiny) == 0
    assert evidence.changed(0.0, huge) > 0


def test_the_threshold_shares_what_is_allowed() -> None:
    assert evidence.threshold(5000, 1, 0.72) == pytest.approx(5e6)
    assert evidence.threshold(1, 4, 1.0) == 4 * 720
