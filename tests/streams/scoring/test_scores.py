"""Metrics, scales and categories."""

import pytest

from npsflow.schemas.response import Metric
from npsflow.streams.scoring.scores import DEFAULT_SCALES, Scales, scale_of


@pytest.mark.parametrize(
    ("metric", "low", "categories"),
    [
        ("nps", 0, ["detractor"] * 7 + ["passive"] * 2 + ["promoter"] * 2),
        ("enps", 0, ["detractor"] * 7 + ["passive"] * 2 + ["promoter"] * 2),
        ("csat", 1, ["dissatisfied"] * 2 + ["neutral"] + ["satisfied"] * 2),
        ("csat_overall", 1, ["dissatisfied"] * 2 + ["neutral"] + ["satisfied"] * 2),
        ("ces", 1, ["hard"] * 3 + ["neutral"] + ["easy"] * 3),
    ],
)
def test_category_of_every_score(metric: Metric, low: int, categories: list[str]) -> None:
    scale = DEFAULT_SCALES[metric]
    assert (scale.low, scale.high) == (low, low + len(categories) - 1)
    assert [scale.words[rank] for rank in scale.ranks] == categories
    assert scale.worst_score == low


def test_an_effort_score_can_be_turned() -> None:
    scales = Scales(ces_seven_is_hard=True)
    scale = scales.defaults["ces"]
    assert [scale.words[rank] for rank in scale.ranks] == ["easy"] * 3 + ["neutral"] + ["hard"] * 3
    assert scale.worst_score == 7
    assert scales.find("ces", 1, 7) is scale


def test_scales_are_found_by_their_range() -> None:
    percent = scale_of("nps", 0, 100, range(61), range(61, 81))
    scales = Scales([percent])
    assert scales.find("nps", 0, 100) is percent is scales.named("nps", "0-100")
    assert scales.find("nps", 0, 10) is scales.defaults["nps"] is scales.named("nps", "0-10")
    assert scales.find("csat", 0, 100) is None
    assert percent.count({0: 1, 60: 1, 61: 1, 80: 1, 81: 1, 100: 2}) == [2, 2, 3]
