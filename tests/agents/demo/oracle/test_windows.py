"""The oracle on windows and statistics, against values computed by hand and taken from tables."""

import pytest

from npsflow.agents.demo import oracle
from tests.agents.demo.oracle.cases import expect, overall
from tests.support.responses import response


def test_windows_of_one_response() -> None:
    expected = expect(response(score=9, channel=" Chat ", customer={"tier": "Plus"}))
    segments = [(), (("survey_id", "q"),), (("channel", "chat"),), (("tier", "plus"),)]
    names = ("1h", "24h", "7d", "30d")
    assert set(expected.windows) == {("nps", "0-10", segment, name) for segment in segments for name in names}
    assert overall(expected, "1h") == {
        "type": "npsflow.window.updated.v1",
        "time": "2026-03-01T15:00:00.000Z",
        "metric": "nps",
        "scale": "0-10",
        "segment": {},
        "window": "1h",
        "start": "2026-03-01T14:05:00Z",
        "end": "2026-03-01T15:05:00Z",
        "n": 1,
        "promoters": 1,
        "passives": 0,
        "detractors": 0,
        "histogram": {"9": 1},
        "score": 100.0,
        "low": pytest.approx(-48.49865, abs=1e-4),
        "high": 100.0,
        "margin": pytest.approx(74.24933, abs=1e-4),
        "unit": "points",
        "sufficient": False,
    }
    assert expected.windows["nps", "0-10", (("channel", "chat"),), "1h"]["segment"] == {"channel": "Chat"}


def test_a_segment_is_shown_as_the_first_that_counts_has_it() -> None:
    expected = expect(
        response("1", channel="CHAT", test=True),
        response("2", channel="Chat"),
        response("3", channel="chat", submitted_at="2026-02-28T15:00:00Z"),
    )
    found = {
        window["segment"]["channel"] for key, window in expected.windows.items() if key[2] == (("channel", "chat"),)
    }
    assert found == {"Chat"}


def test_windows_begin_at_a_pane_and_end_after_the_newest() -> None:
    expected = expect(
        response("1", submitted_at="2026-02-28T16:00:00Z"),
        response("2", submitted_at="2026-02-28T15:59:59Z"),
        response("3"),
    )
    day = overall(expected, "24h")
    assert (day["start"], day["end"], day["n"]) == ("2026-02-28T16:00:00Z", "2026-03-01T16:00:00Z", 2)
    assert overall(expected, "30d")["end"] == "2026-03-02T00:00:00Z"


def test_employees_are_published_from_five_on() -> None:
    employees = [response(str(number), 9, metric="enps") for number in range(5)]
    assert expect(*employees[:4]).windows == {}
    assert overall(expect(*employees), metric="enps")["n"] == 5


def test_scores_of_satisfaction_and_effort() -> None:
    satisfaction = [response(str(score), score, metric="csat") for score in (1, 4, 5)]
    assert overall(expect(*satisfaction), metric="csat", scale="1-5")["score"] == 66.6667
    efforts = [response(str(score), score, metric="ces") for score in (1, 4, 5)]
    window = overall(expect(*efforts), metric="ces", scale="1-7")
    assert (window["score"], window["histogram"]) == (3.3333, {"1": 1, "4": 1, "5": 1})
    assert "promoters" not in window


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        ((0, 0, 10), (100.0, 47.5035, 100.0)),
        ((10, 0, 0), (-100.0, -100.0, -47.5035)),
        ((20, 30, 50), (30.0, 14.0511, 44.2013)),
    ],
)
def test_nps(counts: tuple[int, int, int], wanted: tuple[float, float, float]) -> None:
    assert oracle.nps(*counts) == pytest.approx(wanted, abs=1e-3)


def test_csat_has_the_wilson_interval() -> None:
    assert oracle.csat(8, 10) == pytest.approx((80.0, 49.0162, 94.3318), abs=1e-4)
    assert oracle.csat(0, 10) == pytest.approx((0.0, 0.0, 27.7533), abs=1e-4)


def test_ces_has_the_t_interval() -> None:
    assert oracle.ces({6: 1}) == (6.0, 1.0, 7.0)
    assert oracle.ces({6: 9}) == (6.0, 6.0, 6.0)
    half = 2.776445 * (2.5 / 5) ** 0.5
    assert oracle.ces({2: 1, 3: 1, 4: 1, 5: 1, 6: 1}) == pytest.approx((4.0, 4 - half, 4 + half), abs=1e-6)


@pytest.mark.parametrize(
    ("df", "wanted"),
    [(1, 12.706205), (2, 4.302653), (3, 3.182446), (10, 2.228139), (30, 2.042272), (120, 1.979930), (1000, 1.962339)],
)
def test_t_quantile_is_that_of_the_tables(df: int, wanted: float) -> None:
    assert oracle.t_quantile(df) == pytest.approx(wanted, abs=1e-6)


def test_the_two_ways_to_the_t_quantile_meet() -> None:
    assert oracle.t_quantile(200) - oracle.t_quantile(201) == pytest.approx(6.0e-5, abs=2e-6)
