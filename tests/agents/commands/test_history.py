"""What `npsflow history` makes of the days on the topic."""

from typing import Any

import pytest

from npsflow.agents.commands.history import by_segment, is_wanted, of_days, sparkline, total
from npsflow.agents.commands.windows import wanted_segments
from npsflow.schemas.history import Counts, history_key
from npsflow.schemas.times import DAY, from_rfc3339, rfc3339_seconds
from npsflow.streams.config.settings import Settings

NEWEST = from_rfc3339("2026-03-10T00:00:00Z")


def counts(histogram: dict[str, int], back: int = 0, **more: Any) -> Counts:
    start = NEWEST - back * DAY
    usual: dict[str, Any] = {"metric": "nps", "scale": "0-10", "segment": {"channel": "E-Mail"}, "resolution": "1d"}
    times: dict[str, Any] = {"start": rfc3339_seconds(start), "end": rfc3339_seconds(start + DAY)}
    return Counts(n=sum(histogram.values()), histogram=histogram, **times, **usual | more)


def test_days_are_added_up_and_then_divided() -> None:
    found = [counts({"10": 3, "0": 1}), counts({"0": 4}, back=1), counts({"10": 99}, back=2)]
    ((key, line),) = by_segment(found, NEWEST - DAY).items()
    assert key == (0, "0-10", 1, (("channel", "E-Mail"),))
    assert total(line) == {10: 3, 0: 5}
    days = of_days({key: line}, Settings())
    assert [(day.start[:10], day.n, day.score, day.window) for day in days] == [
        ("2026-03-09", 4, -100.0, "1d"), ("2026-03-10", 4, 50.0, "1d"),
    ]  # fmt: skip
    assert all(day.low <= day.score <= day.high for day in days)


def test_metrics_and_segments_stand_in_the_order_of_windows() -> None:
    found = [
        counts({"5": 1}, metric="csat", scale="1-5", segment={}), counts({"1": 1}), counts({"1": 1}, segment={}),
        counts({"1": 1}, segment={"channel": "chat"}),
    ]  # fmt: skip
    keys = [(key[0], key[3]) for key in by_segment(found, 0)]
    assert keys == [(0, ()), (0, (("channel", "chat"),)), (0, (("channel", "E-Mail"),)), (1, ())]


def test_a_segment_is_one_however_it_was_spelled() -> None:
    """Days that have expired stay as they were published; the newest says how it is shown."""
    found = [counts({"10": 1}), counts({"0": 2}, back=1, segment={"channel": "e-mail"})]
    for order in (found, found[::-1]):
        ((key, line),) = by_segment(order, 0).items()
        assert (key[3], total(line)) == ((("channel", "E-Mail"),), {10: 1, 0: 2})


def test_only_what_is_asked_for() -> None:
    key = history_key("nps", "0-10", {"channel": "e-mail"}, "1d", "2026-03-10T00:00:00Z")
    assert is_wanted(key, "nps", wanted_segments(("channel=E-Mail",)))
    assert is_wanted(key, None, None)
    assert not is_wanted(key, "csat", None)
    assert not is_wanted(key, None, wanted_segments(("overall",)))
    assert not is_wanted(history_key("nps", "0-10", {}, "1h", "2026-03-10T00:00:00Z"), None, None)
    assert not is_wanted(history_key("nps", "0-10", {"channel": ',"1d",'}, "1h", "2026-03-10T00:00:00Z"), None, None)


def test_a_scale_that_no_setting_knows_is_left_out() -> None:
    line = by_segment([counts({"5": 1}, metric="csat", scale="1-9")], 0)
    assert of_days(line, Settings()) == []


@pytest.mark.parametrize(
    ("scores", "bars"),
    [([1.0, None, 8.0], "▁·█"), ([0.0, 1.0, 2.0, 7.0], "▁▂▃█"), ([5.0], "▁"), ([None, 3.0, 3.0], "·▁▁")],
)
def test_a_bar_for_each_day(scores: list[float | None], bars: str) -> None:
    assert sparkline(scores) == bars
