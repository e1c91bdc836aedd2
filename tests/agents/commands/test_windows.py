"""Which windows `npsflow windows` shows, in what order and unit, and what it says of names that are not there."""

from typing import Any

import click
import pytest

from npsflow.agents.commands import windows
from npsflow.agents.commands.windows import ORDERS, expect_known, first_of_each, is_chosen, wanted_segments
from npsflow.schemas.window import Window
from npsflow.streams.config.settings import Settings, parse

PAIRED = '[segments]\ndimensions = ["department", "channel", "tier"]\npairs = [["department", "channel"]]\n'


def window(score: float = 0.0, metric: str = "nps", scale: str = "0-10", **more: Any) -> Window:
    usual: dict[str, Any] = {
        "segment": {"department": "delivery"}, "window": "7d", "n": 40, "sufficient": True, "histogram": {},
        "start": "2026-10-01T00:00:00Z", "end": "2026-10-08T00:00:00Z", "low": score - 1.26, "high": score + 1.26,
        "margin": 1.26,
    }  # fmt: skip
    return Window(metric=metric, scale=scale, score=score, **usual | more)


@pytest.mark.parametrize(
    ("of", "score", "interval"),
    [
        (window(-12.51), "-12.5", "-13.8 to -11.3"),
        (window(0.01), "+0.0", "-1.3 to +1.3"),
        (window(-0.01), "+0.0", "-1.3 to +1.3"),
        (window(30, "enps"), "+30.0", "+28.7 to +31.3"),
        (window(85.2, "csat", "1-5"), "85.2%", "83.9 to 86.5%"),
        (window(85.2, "csat_overall", "1-10"), "85.2%", "83.9 to 86.5%"),
        (window(5.2, "ces", "1-7"), "5.2/7", "3.9 to 6.5"),
        (window(3.1, "ces", "1-5"), "3.1/5", "1.8 to 4.4"),
    ],
)
def test_a_score_has_its_unit(of: Window, score: str, interval: str) -> None:
    assert (windows.score(of), windows.interval(of)) == (score, interval)


def test_the_lowest_scores_of_each_metric_and_window() -> None:
    few = window(-100.0, n=1, sufficient=False)
    worst, better = window(-40.0), window(20.0, n=90)
    other = window(50.0, "csat", "1-5")
    shown = sorted([few, other, better, worst], key=ORDERS["score"])
    assert shown == [worst, better, few, other]  # of too few answers nobody can say that it is the worst
    assert first_of_each(shown, 1) == [worst, other]
    assert first_of_each(shown, None) == shown
    assert sorted([few, better, worst], key=ORDERS["n"]) == [better, worst, few]


def test_segments_are_compared_without_regard_to_notation() -> None:
    named = {"department": "Zürich - Außendienst"}
    assert is_chosen(named, wanted_segments(("department= zürich - AUSSENDIENST",)))
    assert is_chosen(named, wanted_segments(("department",)))
    assert is_chosen(named, None)
    assert not is_chosen(named, wanted_segments(("overall",)))
    assert not is_chosen({**named, "channel": "chat"}, wanted_segments(("department",)))


def unknown(*segments: str, length: str | None = None, settings: str = "") -> tuple[int, str]:
    """The status with which the command would end, and what it says."""
    current = [window(), window(segment={"department": "Sales"}), window(segment={})]
    wanted = wanted_segments(segments)
    try:
        expect_known(current, parse(settings) if settings else Settings(), wanted, length)
    except click.ClickException as error:
        return error.exit_code, error.message
    return 0, windows.why_nothing(current, wanted)


def test_what_is_misspelt_is_an_error_that_names_what_is_meant() -> None:
    assert unknown("departmnt")[0] == 2
    assert "there is no segment departmnt; did you mean department? (there are overall, " in unknown("departmnt")[1]
    assert unknown(length="17d") == (2, "there is no window 17d; did you mean 7d? (there are 1h, 24h, 7d, 30d)")
    assert unknown("department=delivry") == (1, "no answer has department=delivry; did you mean delivery?")
    assert unknown("department=sals") == (1, "no answer has department=sals; did you mean Sales?")
    assert unknown("channel", "tier")[1] == "channel and tier are not counted together: name them in segments.pairs"


def test_what_is_known_and_empty_is_none() -> None:
    assert unknown("channel") == (0, "no windows yet by channel: no answer says one")
    assert unknown("department", "channel", settings=PAIRED)[0] == 0
    assert unknown("department=sales", length="1h") == (0, "no such windows: nothing was answered there")
    assert windows.why_nothing([], None) == "no windows yet"
