"""The fold of classify: against the oracle, and whatever the commits, restarts and crashes in between."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings

from npsflow.agents.demo import oracle
from npsflow.schemas import topics
from npsflow.schemas.deltas import TICK, decode_tick, delta_key
from npsflow.schemas.headers import ORIGIN
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import DAY, MINUTE, rfc3339
from npsflow.streams.classify import parsing
from npsflow.streams.classify.counters import OUTCOMES
from npsflow.streams.classify.parsing import Read
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.sections import DeadLetters, Segments, Topics
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.counters import encode_counters
from npsflow.streams.scoring.scores import Scales
from npsflow.streams.stage import NORMAL, URGENT, Output
from npsflow.streams.windows.stage import Rollup
from tests.strategies import NOW, Produced, histories, own_key, plans
from tests.streams.folding import Record, Task, deltas, for_oracle, log, panes, run, windows
from tests.support.responses import deletion, response

SETTINGS = Settings(idle_ticks=False)
STAGE = Classify(SETTINGS.classify_settings("npsflow/t.", 1))


def on_topic(outputs: list[Output], topic: str) -> list[Output]:
    return [output for output in outputs if output.topic == topic]


def events(outputs: list[Output], topic: str) -> list[oracle.Event]:
    return [
        oracle.Event(dict(o.headers)["ce_type"].decode(), o.key, json.loads(o.value or b""))
        for o in on_topic(outputs, topic)
    ]


def dead(outputs: list[Output]) -> list[tuple[str, int, int]]:
    found = [dict(output.headers) for output in on_topic(outputs, topics.DEAD_LETTERS)]
    return [
        (h["npsflow_dlq_reason"].decode(), int(h["npsflow_dlq_partition"]), int(h["npsflow_dlq_offset"])) for h in found
    ]


def outcomes(task: Task) -> dict[str, int]:
    counters = encode_counters(task.fold.counters)
    return {name: counters[name] for name in OUTCOMES if counters.get(name)}


# Against the oracle


@settings(max_examples=150)
@given(histories(), plans)
def test_everything_that_comes_out_is_what_the_oracle_expects(history: list[Produced], plan: list[str]) -> None:
    task, whole = run(STAGE, log(history), plan)
    expected = oracle.expect(for_oracle(whole), partitions=1)
    out = task.committed
    assert oracle.compare_outcomes(expected, outcomes(task)) == []
    assert oracle.compare_forwarded(expected) == []
    assert oracle.compare_dead(expected, dead(out)) == []
    assert oracle.compare_alerts(expected, events(out, topics.SERVICE_RECOVERY)) == []
    assert oracle.compare_follow_ups(expected, events(out, topics.FOLLOW_UP)) == []
    rolled, _ = run(Rollup(SETTINGS.window_settings("npsflow/t.")), panes(out))
    assert oracle.compare_windows(expected, map(json.loads, windows(rolled.committed).values())) == []
    hours_and_days = windows(rolled.committed, topics.HISTORY).values()
    assert oracle.compare_history(expected, map(json.loads, hours_and_days)) == []


# Whatever happens in between


@given(histories(), plans)
def test_commits_restarts_and_crashes_change_nothing_that_is_published(
    history: list[Produced], plan: list[str]
) -> None:
    task, _ = run(STAGE, log(history), plan)
    plain, _ = run(STAGE, log(history))
    assert [o for o in task.committed if o.topic != topics.PANES] == [
        o for o in plain.committed if o.topic != topics.PANES
    ]
    assert deltas(task.committed) == deltas(plain.committed)
    assert task.counters == plain.counters
    assert task.stream_time == plain.stream_time


@given(histories())
def test_reading_changes_nothing(history: list[Produced]) -> None:
    task, plain = Task(STAGE), Task(STAGE)
    for record in log(history):
        before = seen(task)
        once = task.fold.read(record)
        assert task.fold.read(record) == once
        assert seen(task) == before
        task.take(record)
        plain.take(record)
    assert task.commit(NOW) == plain.commit(NOW)
    assert (task.state, task.log, task.counters) == (plain.state, plain.log, plain.counters)


def seen(task: Task) -> str:
    fold = task.fold
    return repr((fold.counters, fold.gauges(), fold.stream_time, task.pending))


@given(histories())
def test_outcomes_add_up_to_what_was_read(history: list[Produced]) -> None:
    task, whole = run(STAGE, log(history))
    assert sum(outcomes(task).values()) == len(whole)


# One by one


def fold(*values: dict[str, Any] | bytes, settings: Settings = SETTINGS, **more: Any) -> Task:
    task = Task(Classify(settings.classify_settings("npsflow/t.", 1)))
    for offset, value in enumerate(values):
        encoded = value if isinstance(value, bytes) else json.dumps(value).encode()
        task.take(Record(**{"key": own_key(encoded), "value": encoded, "offset": offset, "timestamp": NOW} | more))
    task.commit(NOW)
    return task


def test_too_late_is_a_millisecond_past_the_horizon_of_what_was_read_before() -> None:
    new, border, late = "2026-03-01T15:00:00Z", "2026-01-25T15:00:00Z", "2026-01-25T14:59:59.999Z"
    task = fold(response("1", submitted_at=late), response("2", submitted_at=new), response("3", submitted_at=border))
    assert outcomes(task) == {"counted": 3}
    task = fold(response("2", submitted_at=new), response("1", submitted_at=late), deletion("2"))
    assert dead(task.committed) == [("too_late", 0, 1)]
    assert task.stream_time == NOW - 7 * MINUTE


@pytest.mark.parametrize(("produced", "outcome"), [(NOW + DAY, "counted"), (NOW + DAY + 1, "dead")])
def test_what_was_produced_more_than_a_day_from_now_is_refused(produced: int, outcome: str) -> None:
    """By a client with a wrong clock, on a topic with create time. What comes after it counts; a deletion is alike."""
    task = Task(STAGE)
    far, last, now = response("1", submitted_at=rfc3339(produced)), deletion("3"), response("2")
    for offset, (fields, timestamp) in enumerate([(far, produced), (last, NOW + 100 * 365 * DAY), (now, NOW)]):
        value = json.dumps(fields).encode()
        record = Record(own_key(value), value, offset, timestamp)
        task.fold.prepare([record], NOW)
        task.take(record)
    assert outcomes(task) == Counter([outcome, "dead", "counted"])
    task.commit(NOW)
    assert dead(task.committed)[-1] == ("in_the_future", 0, 1)


def test_a_deletion_of_an_unknown_response_is_too_late_by_its_append_time() -> None:
    new = response("2", submitted_at="2026-03-01T15:00:00Z")
    task = Task(STAGE)
    for offset, (fields, age) in enumerate([(new, 0), (deletion("1"), 36), (deletion("1"), 34)]):
        value = json.dumps(fields).encode()
        task.take(Record(own_key(value), value, offset, NOW - age * DAY))
    assert outcomes(task) == {"counted": 1, "deleted": 1, "dead": 1}


def test_a_repeat_that_was_produced_earlier_changes_nothing() -> None:
    task, value = Task(STAGE), json.dumps(response()).encode()
    task.take(Record(b"s/1", value))
    change = task.take(Record(b"s/1", value, 1, NOW, [(ORIGIN, b"%d 0 0" % (NOW - MINUTE))]))
    assert outcomes(task) == {"counted": 1, "repeated": 1}
    assert change.packed == b""


def test_a_changelog_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="pane:1"):
        Task(STAGE).fold.restore(b"pane:1", b"{}")


def test_what_has_left_the_horizon_is_as_if_never_seen() -> None:
    old, new = "2026-01-20T15:00:00Z", "2026-03-01T15:00:00Z"
    task = fold(response("1", submitted_at=old), response("2", submitted_at=new), response("1", submitted_at=new))
    assert outcomes(task) == {"counted": 3}
    assert [event.type for event in events(task.committed, topics.SERVICE_RECOVERY)] == ["npsflow.alert.raised.v1"] * 3
    task = fold(response("1", submitted_at=old), response("2", submitted_at=new), response("1", submitted_at=old))
    assert dead(task.committed) == [("too_late", 0, 2)]


@pytest.mark.parametrize("never", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
def test_a_time_of_change_that_was_never_set_is_none(never: str) -> None:
    """As Go writes it: else no deletion would delete, and a correction would have been due two thousand years ago."""
    first = response("1", score=9, submitted_at=rfc3339(NOW - DAY), updated_at=never)
    task = fold(first, first | {"score": 2})
    (alert,) = on_topic(task.committed, topics.SERVICE_RECOVERY)
    assert json.loads(alert.value or b"")["due_at"].startswith("2026-03")
    task = fold(first, {"source": "s", "response_id": "1", "deleted": True, "updated_at": never})
    assert outcomes(task) == {"counted": 1, "deleted": 1}


def test_a_deletion_is_remembered_as_long_as_what_it_deletes() -> None:
    old, new = "2026-01-20T15:00:00Z", "2026-03-01T15:00:00Z"
    task = fold(response("1", submitted_at=old), deletion("1"), deletion("2"), response("3", submitted_at=new))
    assert outcomes(task) == {"counted": 2, "deleted": 2}
    assert task.fold.gauges()["remembered_responses", "0"] == 2


def test_a_repeat_raises_the_version_that_later_arrivals_are_measured_against() -> None:
    task, between = Task(STAGE), response(updated_at="2026-03-01T15:18:00Z")
    for offset, fields in enumerate([deletion(), deletion(), between]):
        value = json.dumps(fields).encode()
        task.take(Record(b"s/1", value, offset, NOW + 2 * offset * MINUTE))
    assert outcomes(task) == {"deleted": 1, "repeated": 1, "superseded": 1}


@pytest.mark.parametrize("first", ["response", "deletion"])
def test_a_deletion_without_a_time_is_newer_than_a_clock_that_is_ahead(first: str) -> None:
    task, pair = Task(STAGE), [response(score=2, submitted_at=rfc3339(NOW + 9 * MINUTE)), deletion(updated_at="soon")]
    for offset, fields in enumerate(pair if first == "response" else reversed(pair)):
        value = json.dumps(fields).encode()
        task.take(Record(b"s/1", value, offset, NOW + offset * 1000))
    expected = {"counted": 1, "deleted": 1} if first == "response" else {"deleted": 1, "superseded": 1}
    assert outcomes(task) == expected
    assert task.fold.counters["warning", "updated_at"] == 1


def test_an_origin_without_a_value_is_none() -> None:
    task, value = Task(STAGE), json.dumps(response()).encode()
    task.take(Record(b"s/1", value, headers=[("npsflow_origin", None)]))  # type: ignore[list-item]
    assert outcomes(task) == {"counted": 1}


def test_counters_do_not_show_what_single_employees_answered() -> None:
    task = fold(response(metric="enps", score=2), response(metric="enps", score=9, updated_at="2026-03-01T15:08:00Z"))
    assert {n for n in encode_counters(task.fold.counters) if "enps" in n} == {
        "response:enps:any",
        "correction:enps:any",
    }


def test_sent_again_a_time_that_was_ahead_says_nothing_new() -> None:
    """It became the time of the record, which is another one now."""
    task, value = Task(STAGE), json.dumps(response(score=2, submitted_at=rfc3339(NOW + 60 * MINUTE))).encode()
    for offset in range(2):
        task.take(Record(own_key(value), value, offset, NOW + offset * MINUTE))
    assert outcomes(task) == {"counted": 1, "repeated": 1}
    assert len(events(task.pending, topics.SERVICE_RECOVERY)) == 1


def test_memory_is_given_back_behind_the_horizon() -> None:
    old = [response(str(n), submitted_at="2026-01-20T15:00:00Z") for n in range(10)]
    task = fold(*old)
    assert task.fold.gauges()["remembered_responses", "0"] == 10
    task = fold(*old, response("x", submitted_at="2026-03-01T15:00:00Z"))
    assert task.fold.gauges()["remembered_responses", "0"] == 1
    task.restore()
    assert task.fold.gauges()["remembered_responses", "0"] == 1


def test_a_clock_of_a_live_alert_never_restarts_but_a_reinstated_one_has_its_own() -> None:
    first = response(customer={"id": "C"})
    comment = first | {"comment": "slow", "updated_at": "2026-03-01T15:05:00Z"}
    found = [e.value for e in events(fold(first, comment).committed, topics.SERVICE_RECOVERY)]
    assert [value["due_at"] for value in found] == ["2026-03-02T15:00:00Z"] * 2
    for between in (deletion(updated_at="2026-03-01T15:01:00Z"), first | {"test": True}, first | {"score": 9}):
        found = [e.value for e in events(fold(first, between, comment).committed, topics.SERVICE_RECOVERY)]
        assert [value.get("due_at") for value in found] == ["2026-03-02T15:00:00Z", None, "2026-03-02T15:05:00Z"]


def test_a_tombstone_deletes_where_the_settings_say_so() -> None:
    tombstone = Record(b"s/1", None, 1, NOW + 1000)
    for delete, expected in ((False, {"counted": 1, "dead": 1}), (True, {"counted": 1, "deleted": 1})):
        chosen = Settings(topics=Topics(tombstones_delete=delete), idle_ticks=False)
        task = Task(Classify(chosen.classify_settings("npsflow/t.", 1)))
        task.take(Record(b"s/1", json.dumps(response()).encode()))
        task.take(tombstone)
        task.commit(NOW)
        assert outcomes(task) == expected
        assert bool(deltas(task.committed)) is not delete


def test_a_misplaced_tombstone_is_forwarded_as_it_is() -> None:
    partition = next(p for p in range(4) if p != partition_of(b"s/1", 4))
    chosen = Settings(topics=Topics(tombstones_delete=True))
    task = Task(Classify(chosen.classify_settings("npsflow/t.", 1)), partition, 4)
    task.take(Record(b"s/1", None, 7, partition=partition))
    (copy,) = task.commit(NOW)
    assert (copy.partition, copy.key, copy.value) == (partition_of(b"s/1", 4), b"s/1", None)
    assert copy.headers == [(ORIGIN, b"%d %d 7" % (NOW, partition))]


def late(**more: Any) -> dict[str, Any]:
    """Begun eight days before the record, the score given a minute before it."""
    begun, given = rfc3339(NOW - 8 * DAY), rfc3339(NOW - MINUTE)
    return response(submitted_at=begun, updated_at=given, customer={"id": "C"}, **more)


def test_a_score_that_comes_days_after_the_response_was_begun_is_due_from_then() -> None:
    (alert,) = events(fold(late()).committed, topics.SERVICE_RECOVERY)
    assert (alert.value["actionable"], alert.value["due_at"]) == (True, "2026-03-02T15:06:00Z")
    (thanks,) = events(fold(late(score=9)).committed, topics.FOLLOW_UP)
    assert thanks.value["due_at"] == "2026-03-08T15:06:00Z"


def test_its_clock_does_not_restart_and_it_does_not_become_stale() -> None:
    comment = late(comment="slow") | {"updated_at": rfc3339(NOW)}
    task = fold(late(), comment)
    found = [event.value for event in events(task.committed, topics.SERVICE_RECOVERY)]
    assert [value["due_at"] for value in found] == ["2026-03-02T15:06:00Z"] * 2
    assert [value["actionable"] for value in found] == [True, True]


def test_a_customer_who_becomes_unhappy_later_can_be_helped_then() -> None:
    task = fold(late(score=9) | {"updated_at": rfc3339(NOW - 7 * DAY)}, late())
    (alert,) = events(task.committed, topics.SERVICE_RECOVERY)
    assert (alert.value["actionable"], alert.value["due_at"]) == (True, "2026-03-02T15:06:00Z")


@pytest.mark.parametrize("updated", [None, NOW - 8 * DAY, NOW - 9 * DAY, NOW - 7 * DAY - 1])
def test_an_old_score_is_stale_whatever_came_first(updated: int | None) -> None:
    task = fold(late() | {"updated_at": updated and rfc3339(updated)})
    (alert,) = events(task.committed, topics.SERVICE_RECOVERY)
    assert alert.value["not_actionable"] == "stale"


def test_windows_are_those_of_submitted_at_whatever_arrives_first() -> None:
    both = late(score=9) | {"updated_at": rfc3339(NOW - 8 * DAY)}, late()
    forth, back = (deltas(fold(*versions).committed) for versions in (both, both[::-1]))
    assert forth == back


def test_forwarded_once_with_its_origin_and_read_by_it() -> None:
    value = json.dumps(response()).encode()
    task, whole = run(STAGE, [Record(b"C-1", value, 5, NOW, [("trace", b"x")])])
    (copy,) = on_topic(task.committed, topics.RESPONSES)
    assert (copy.key, copy.value, copy.headers) == (b"s/1", value, [("trace", b"x"), (ORIGIN, b"%d 0 5" % NOW)])
    assert outcomes(task) == {"forwarded": 1, "counted": 1}
    assert events(task.committed, topics.SERVICE_RECOVERY)[0].value["raised_at"] == "2026-03-01T15:07:00.000Z"
    assert len(whole) == 2


def test_a_dead_letter_of_a_forwarded_record_names_its_origin() -> None:
    late = response("late", submitted_at="1999-01-01T00:00:00Z")
    task = fold(response(), late, headers=[(ORIGIN, b"%d 3 5" % (NOW - MINUTE))])
    assert dead(task.committed) == [("too_late", 3, 5)]
    assert (
        dict(on_topic(task.committed, topics.DEAD_LETTERS)[0].headers)["npsflow_dlq_at"] == b"2026-03-01T15:06:00.000Z"
    )


def test_a_dead_letter_is_the_record_as_received_and_says_why() -> None:
    task = fold(b"{", key=b"any", offset=7, headers=[("trace", b"x")])
    (letter,) = on_topic(task.committed, topics.DEAD_LETTERS)
    assert (letter.key, letter.value) == (b"any", b"{")
    assert letter.headers == [
        ("trace", b"x"),
        ("npsflow_dlq_reason", b"not_json"),
        ("npsflow_dlq_message", b"not JSON"),
        ("npsflow_dlq_topic", b"survey-responses"),
        ("npsflow_dlq_partition", b"0"),
        ("npsflow_dlq_offset", b"7"),
        ("npsflow_dlq_at", b"2026-03-01T15:07:00.000Z"),
    ]


def test_a_record_that_crashes_reading_is_a_dead_letter_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    read = parsing.read

    def fails(value: bytes | None, scales: Scales) -> Read:
        if value == json.dumps(response("2")).encode():
            raise ZeroDivisionError("of a comment")
        return read(value, scales)

    monkeypatch.setattr(parsing, "read", fails)
    task = fold(response("1"), response("2"), response("3"))
    assert dead(task.committed) == [("internal_error", 0, 1)]
    assert dict(on_topic(task.committed, topics.DEAD_LETTERS)[0].headers)["npsflow_dlq_message"] == b"ZeroDivisionError"
    assert outcomes(task) == {"counted": 2, "dead": 1}


@pytest.mark.parametrize("value", [json.dumps(response()).encode(), b"{"])
def test_a_time_or_origin_beyond_the_calendar_stops_nothing(value: bytes) -> None:
    for more in ({"headers": [(ORIGIN, b"999999999999999 65535 99999999999999")]}, {"timestamp": 10**17}):
        assert sum(outcomes(fold(value, **more)).values()) == 1


def test_counters_name_a_platform_once_a_response_of_it_was_accepted() -> None:
    """Before that its name may be anything that stood in the wrong place."""
    bad, good = {"source": "jane@example.com"}, response(score=9)
    task = fold(bad, {"source": "s"}, good, {"source": "s"}, response(score=8, updated_at="2026-03-01T15:08:00Z"))
    assert encode_counters(task.fold.counters) == {
        "counted": 2, "dead": 3, "dead:missing_field:unknown": 2, "dead:missing_field:s": 1, "source:s": 2,
        "response:nps:promoter": 1, "correction:nps:passive": 1,
        "event:npsflow.follow_up.requested.v1": 2, "event:npsflow.follow_up.retracted.v1": 1,
    }  # fmt: skip


def test_counters_do_not_grow_with_the_names_of_platforms() -> None:
    values = [json.dumps(response(source=f"s{number}", score=9)).encode() for number in range(60)]
    task = fold(*values, *[{"source": f"s{number}"} for number in range(60)])
    names = encode_counters(task.fold.counters)
    assert (sum(n.startswith("source:") for n in names), names["source:other"]) == (51, 10)
    assert (sum(n.startswith("dead:") for n in names), names["dead:missing_field:unknown"]) == (51, 10)


def test_counters_name_the_platforms_of_misplaced_records() -> None:
    for partition in range(4):
        task = Task(STAGE, partition, 4)
        for offset, fields in enumerate([response(), response(score=3), deletion(), {"source": "s", "score": 3}]):
            task.take(Record(b"s/1", json.dumps(fields).encode(), offset, partition=partition))
        expected = {} if partition == partition_of(b"s/1", 4) else {("misplaced", "s"): 2, ("misplaced", "unknown"): 1}
        assert {key: n for key, n in task.fold.counters.items() if key[0] == "misplaced"} == expected


def test_what_was_forwarded_stays_where_it_is() -> None:
    """Also where the number of partitions is another one by now: a rebuild does not forward it a second time."""
    record = Record(b"s/1", json.dumps(response()).encode(), headers=[(ORIGIN, b"%d 0 5" % NOW)])
    for partition in range(4):
        task = Task(STAGE, partition, 4)
        task.take(record)
        assert outcomes(task) == {"counted": 1}


def test_misplaced_platforms_do_not_grow_without_bound() -> None:
    task = Task(STAGE, 3, 4)
    for number in range(200):
        value = json.dumps(response(source=f"s{number}", score=9)).encode()
        task.take(Record(own_key(value), value, number, partition=3))
    names = [key for key in task.fold.counters if key[0] == "misplaced"]
    assert len(names) == 51
    assert task.fold.counters["misplaced", "other"] > 50


def test_most_records_refused_pauses_until_accepted_and_that_outlives_a_restart() -> None:
    task = Task(Classify(Settings(dead_letters=DeadLetters(pause=True)).classify_settings("npsflow/", 1)))
    for offset in range(1000):
        assert not task.paused
        value = b"{" if offset % 2 or offset == 998 else json.dumps(response(str(offset))).encode()
        task.take(Record(own_key(value), value, offset))
    assert task.paused
    task.commit(NOW)
    task.restore()
    assert task.paused
    task.fold.accept()
    task.commit(NOW)
    task.restore()
    assert not task.paused


def test_an_alert_is_urgent() -> None:
    task = Task(STAGE)
    for offset, (score, asked) in enumerate([(9, NORMAL), (2, URGENT), (3, URGENT), (8, URGENT), (9, NORMAL)]):
        task.take(Record(b"s/1", json.dumps(response(score=score)).encode(), offset))
        assert task.asked == asked


def test_ticks_go_out_once_a_second_and_at_the_end_of_the_input_by_the_clock() -> None:
    task = Task(Classify(Settings(idle_ticks=True).classify_settings("npsflow/", 2)))

    def ticks() -> list[tuple[int, int]]:
        found = [(o.partition, decode_tick(o.value or b"")) for o in task.pending if o.key == TICK and not o.headers]
        task.pending.clear()
        return found

    def at(minute: int) -> int:
        return NOW - 7 * MINUTE + minute * MINUTE

    for offset, (minute, later, ticked) in enumerate([(1, 0, [1, 1]), (2, 999, []), (3, 1000, [3, 3])]):
        value = json.dumps(response(str(offset), submitted_at=rfc3339(at(minute)))).encode()
        task.take(Record(own_key(value), value, offset))
        task.fold.checkpoint(NOW + later)
        assert ticks() == [(partition, at(minute)) for partition, minute in enumerate(ticked)]
    assert not task.fold.idle(at(4))
    ahead = json.dumps(response("ahead", submitted_at=rfc3339(at(9)))).encode()
    task.take(Record(own_key(ahead), ahead, 3))
    assert task.fold.idle(at(8))
    assert ticks() == [(0, at(9)), (1, at(9))]
    assert task.fold.idle(at(11))
    assert ticks() == [(0, at(10)), (1, at(10))]
    assert not task.fold.idle(at(14))


def test_settings_that_change_leave_corrections_exact() -> None:
    task = fold(response("1", channel="Chat", department="Sales"))
    wider = Settings(segments=Segments(dimensions=["department", "product"]), aliases={"department": {"sales": "all"}})
    for later in (response("1", score=9, department="Sales", product="x"), deletion("1")):
        task.stage = Classify(wider.classify_settings("npsflow/t.", 1))
        task.restore()
        value = json.dumps(later | {"updated_at": "2026-03-01T15:01:00Z"}).encode()
        task.take(Record(b"s/1", value, task.next))
        task.commit(NOW)
        kept = {key[0]: (key[1], count) for key, count in deltas(task.committed).items()}
        assert kept == (
            {}
            if "deleted" in later
            else {key(): ((), 1), key("department"): (("all",), 1), key("product"): (("x",), 1)}
        )


def key(*dimensions: str) -> bytes:
    return delta_key("nps", "0-10", dimensions)
