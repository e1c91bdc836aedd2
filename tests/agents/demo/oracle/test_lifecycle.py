"""The oracle on versions of a response, and on the life of its alert or follow-up."""

from typing import Any

import pytest

from npsflow.agents.demo.oracle import Step
from tests.agents.demo.oracle.cases import expect, overall
from tests.support.responses import deletion, response


def alert_steps(*values: dict[str, Any]) -> list[Step]:
    (case,) = expect(*values).alerts.values()
    return case.steps


# Versions


def test_an_equal_version_is_repeated_and_an_older_one_superseded() -> None:
    corrected = response(score=9, updated_at="2026-03-01T15:05:00Z")
    expected = expect(response(), response(), corrected, corrected, response())
    assert expected.outcomes == {"counted": 2, "repeated": 2, "superseded": 1}
    assert overall(expected)["histogram"] == {"9": 1}


def test_without_updated_at_the_later_append_stands() -> None:
    assert overall(expect(response(score=2), response(score=9)))["histogram"] == {"9": 1}


def test_a_correction_replaces_the_whole_response() -> None:
    expected = expect(response(channel="chat"), response(updated_at="2026-03-01T15:05:00Z"))
    assert ("nps", "0-10", (("channel", "chat"),), "30d") not in expected.windows


def test_deletions_of_known_and_unknown_responses() -> None:
    expected = expect(response(), deletion(), deletion(), deletion("2"), response("2"))
    assert expected.outcomes == {"counted": 1, "deleted": 2, "repeated": 1, "superseded": 1}
    assert expected.windows == {}


def test_a_deletion_older_than_the_response_changes_nothing() -> None:
    expected = expect(response(), deletion(updated_at="2026-03-01T14:00:00Z"))
    assert expected.outcomes == {"counted": 1, "superseded": 1}


def test_late_is_judged_by_the_stream_time_of_the_task() -> None:
    at_border, too_old = "2026-01-25T15:00:00Z", "2026-01-25T14:59:59.999Z"
    expected = expect(response("1", submitted_at=too_old), response("2"))
    assert expected.outcomes == {"counted": 2}
    expected = expect(response("2"), response("1", submitted_at=at_border), response("3", submitted_at=too_old))
    assert expected.outcomes == {"counted": 2, "dead": 1}
    assert expected.dead == {"too_late": {(0, 2)}}


def test_tests_move_stream_time_and_count_nowhere() -> None:
    expected = expect(
        response(test=True), response("2", internal=True), response("3", submitted_at="2026-01-01T00:00:00Z")
    )
    assert expected.outcomes == {"test": 2, "dead": 1}
    assert (expected.windows, expected.alerts, expected.follow_ups) == ({}, {}, {})


# Alerts and follow-ups


def test_an_alert_is_raised_under_the_customer_or_the_response() -> None:
    assert alert_steps(response()) == [Step("raised", "s/1")]
    assert alert_steps(response(customer={"id": "C-1"})) == [Step("raised", "C-1")]
    assert alert_steps(response(customer={"id": ""})) == [Step("raised", "s/1")]
    assert list(expect(response()).alerts) == ["a-f5982d7c481c2fd6d8df6fd1d315ed8d"]


def test_a_comment_enriches_and_what_the_event_does_not_tell_does_not() -> None:
    assert alert_steps(response(), response(comment="bad")) == [Step("raised", "s/1"), Step("enriched", "s/1")]
    assert alert_steps(response(), response(question="why?")) == [Step("raised", "s/1")]


def test_up_down_and_away() -> None:
    steps = alert_steps(response(score=2), response(score=9), response(score=3), deletion())
    assert steps == [
        Step("raised", "s/1"),
        Step("retracted", "s/1", "category"),
        Step("reinstated", "s/1"),
        Step("retracted", "s/1", "deleted"),
    ]


def test_another_customer_moves_the_alert() -> None:
    steps = alert_steps(response(), response(customer={"id": "C-1"}))
    assert steps == [Step("raised", "s/1"), Step("retracted", "s/1", "moved"), Step("reinstated", "C-1")]


@pytest.mark.parametrize(
    ("more", "cause"),
    [({"test": True}, "test"), ({"internal": True}, "internal"), ({"metric": "csat", "score": 5}, "metric")],
)
def test_causes(more: dict[str, Any], cause: str) -> None:
    assert alert_steps(response(), response(**more))[1] == Step("retracted", "s/1", cause)


def test_follow_ups_are_for_all_others_and_employees_get_nothing() -> None:
    expected = expect(response("1", 6), response("2", 7), response("3", 10), response("4", 0, metric="enps"))
    assert (len(expected.alerts), len(expected.follow_ups)) == (1, 2)
    (case,) = expect(response(score=7), response(score=9)).follow_ups.values()
    assert [step.type for step in case.steps] == ["requested", "retracted", "requested"]
    assert case.live
