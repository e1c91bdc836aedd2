"""The oracle finds no difference in a right answer, and names those of a wrong one."""

from npsflow.agents.demo import oracle, sample
from npsflow.agents.demo.oracle import Event, Expected
from tests.agents.demo.oracle.cases import END, expect, log
from tests.support.responses import response


def events(expected: Expected, kind: str) -> list[Event]:
    """The events that a right answer consists of."""
    cases = expected.alerts if kind == "alert" else expected.follow_ups
    return [
        Event(
            f"npsflow.{kind}.{step.type}.v1",
            step.key.encode(),
            {f"{kind}_id": name, "revision": revision} | ({"cause": step.cause} if step.cause else {}),
        )
        for name, case in cases.items()
        for revision, step in enumerate(case.steps, start=1)
    ]


def test_a_right_answer_has_no_differences() -> None:
    whole = oracle.expect(log(sample.sample(7, 5_000, END)))
    assert oracle.compare_windows(whole, whole.windows.values()) == []
    assert oracle.compare_history(whole, whole.history.values()) == []
    assert oracle.compare_alerts(whole, events(whole, "alert")) == []
    assert oracle.compare_follow_ups(whole, events(whole, "follow_up")) == []
    letters = [(reason, *place) for reason, places in whole.dead.items() for place in places]
    assert oracle.compare_dead(whole, letters) == []


def test_differences_of_alerts_are_named() -> None:
    expected = expect(response(), response("2"), response("2", 9))
    right = events(expected, "alert")
    assert "lost" in oracle.compare_alerts(expected, right[1:])[0]
    assert "revision 1 repeated" in oracle.compare_alerts(expected, [*right, right[0]])[0]
    assert (
        "not expected"
        in oracle.compare_alerts(expected, [*right, right[0]._replace(value={"alert_id": "a-", "revision": 1})])[0]
    )
    revision, live = oracle.compare_alerts(expected, right[:-1])
    assert "revision 2" in revision
    assert "live: expected False, read True" in live
    assert "C-9" in oracle.compare_alerts(expected, [right[0]._replace(key=b"C-9"), *right[1:]])[0]
    assert oracle.compare_alerts(expected, [*right, Event("npsflow.case.opened.v1", b"s/1", {})]) == []


def test_differences_of_windows_are_named_beyond_rounding() -> None:
    expected = expect(response(score=9))
    right = {key: dict(value) for key, value in expected.windows.items()}
    key, *rest = right
    assert oracle.compare_windows(expected, (right[name] for name in rest)) == [f"window lost: {key}"]
    right[key]["low"] += 0.0001
    assert oracle.compare_windows(expected, right.values()) == []
    right[key]["n"] = 2
    assert oracle.compare_windows(expected, right.values()) == [f"window {key}, n: expected 1, read 2"]


def test_differences_of_hours_and_days_that_are_over_are_named() -> None:
    expected = expect(response("1", 9, submitted_at="2026-02-27T15:00:00Z"), response("2"))
    (hour, day) = sorted(key for key in expected.history if key[2] == ())[::-1]
    assert (hour[3:], day[3:]) == (("1h", "2026-02-27T15:00:00Z"), ("1d", "2026-02-27T00:00:00Z"))
    right = {key: dict(value) for key, value in expected.history.items()}
    open_one = right[hour] | {"start": "2026-03-01T15:00:00Z", "end": "2026-03-01T16:00:00Z"}
    assert oracle.compare_history(expected, [*right.values(), open_one]) == []
    right[hour]["n"] = 2
    assert len(oracle.compare_history(expected, right.values())) == 1
    del right[hour]
    assert oracle.compare_history(expected, right.values()) == [f"history lost: {hour}"]
    assert len(oracle.compare_history(expect(response("2")), expected.history.values())) == len(expected.history)


def test_differences_of_dead_letters_and_outcomes_are_named() -> None:
    expected = expect(b"{}")
    assert oracle.compare_dead(expected, []) == ["dead letter lost: ('missing_field', 0, 0)"]
    twice = [("missing_field", 0, 0)] * 2
    assert oracle.compare_dead(expected, twice) == ["dead letter not expected: ('missing_field', 0, 0)"]
    assert oracle.compare_outcomes(expected, {}) == [
        "outcome dead: expected 1, read 0",
        "records read: expected 1, read 0",
    ]
