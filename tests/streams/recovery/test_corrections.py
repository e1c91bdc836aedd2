"""What begins again, moves to another customer, or changes its mind: no case is lost, doubled or somebody else's."""

import json
from typing import Any

import pytest

from npsflow.schemas import topics
from npsflow.schemas.times import DAY, HOUR, from_rfc3339, rfc3339
from npsflow.streams.recovery.settings import Escalation, FirstContact, OwnerRule, Recovery, SeverityRule

from .recovering import World, header


def answered(world: World, score: int, name: str = "r", customer: str | None = "C-1", **more: Any) -> list[str]:
    world.now += 60_000
    return world.respond(score, customer, name, submitted=more.pop("submitted", world.now), **more)


def test_a_case_that_begins_again_is_as_severe_as_the_alert_is_now() -> None:
    world = World()
    answered(world, 6)
    assert answered(world, 9)[0] == "closed"
    answered(world, 1)
    case = next(case for case in world.cases if case["kind"] == "recovery")
    assert (case["status"], case["severity"], len(case["alert_ids"])) == ("reopened", "critical", 1)
    answered(world, 9)
    answered(world, 6)
    case = next(case for case in world.cases if case["kind"] == "recovery")
    assert (case["status"], case["severity"]) == ("reopened", "medium")


def test_an_alert_that_is_taken_back_after_the_end_is_not_there_twice_when_it_is_back() -> None:
    world = World()
    answered(world, 2)
    world.act("close_loop")
    assert answered(world, 9) == ["noted", "opened"]
    world.wait(25)
    assert answered(world, 2)[0] == "reopened"
    case = next(case for case in world.cases if case["kind"] == "recovery")
    assert len(case["alert_ids"]) == 1


def test_a_response_that_moves_to_another_customer_is_a_case_of_that_one() -> None:
    world = World()
    reference: dict[str, Any] = {"reference": {"type": "ticket", "id": "T-1"}}
    submitted = world.now + 60_000
    assert answered(world, 2, customer=None, **reference) == ["opened"]
    assert answered(world, 2, submitted=submitted, **reference) == ["closed", "opened"]
    (old, new) = world.cases
    assert (old["key"], old["status"], new["key"], new["status"]) == ("s/r", "closed", "C-1", "opened")
    assert old["case_id"] != new["case_id"]
    assert world.events[-1].key == b"C-1"
    assert len({header(event, "ce_id") for event in world.events}) == len(world.events)
    action = {"action_id": "1", "action": "forget", "by": "privacy"}
    world.send(topics.ACTIONS, b"C-1", json.dumps(action).encode())
    assert [case["key"] for case in world.cases] == ["s/r"]


def test_an_ask_moves_too_and_keeps_no_id() -> None:
    world = World()
    submitted = world.now + 60_000
    answered(world, 9, customer="C-1")
    assert answered(world, 9, customer="C-2", submitted=submitted) == ["closed", "opened"]
    assert [(ask["key"], ask["status"]) for ask in world.cases] == [("C-1", "closed"), ("C-2", "opened")]
    assert len({header(event, "ce_id") for event in world.events}) == 3
    assert world.act("done", "C-2", follow_up_id=world.cases[0]["follow_up_id"]) == ["closed"]


@pytest.mark.parametrize("score", [2, 9])
def test_what_was_forgotten_does_not_begin_again_under_the_same_id(score: int) -> None:
    world = World(Recovery(keep_days=1, ask_every_days=0.5))
    submitted = world.now + 60_000
    answered(world, score)
    world.act("close_loop" if score == 2 else "done")
    answered(world, 7 if score == 2 else 2, submitted=submitted)
    world.wait(48)
    answered(world, score, submitted=submitted)
    names = [header(event, "ce_id") for event in world.events]
    assert len(set(names)) == len(names)


def test_a_customer_has_one_open_case_also_when_an_old_one_is_reopened() -> None:
    world = World()
    answered(world, 6, "r1")
    first = world.case["case_id"]
    world.act("close_loop")
    world.wait(25)
    answered(world, 6, "r2")
    second = world.case["case_id"]
    assert world.act("reopen", case_id=first) == ["action_refused"]
    assert world.last()["reason"] == "other_case_open"
    world.act("close_loop", case_id=second)
    assert world.act("reopen", case_id=first) == ["reopened"]
    assert answered(world, 0, "r3") == ["joined"]
    assert world.case["case_id"] == first


def test_who_is_no_part_of_a_bundle_any_more_is_not_bound_by_it() -> None:
    world = World(Recovery(burst_alerts=1))
    for customer in ("C-1", "C-2", "C-3"):
        answered(world, 5, customer, customer, department="IT")
    bundle = world.case["case_id"]
    assert answered(world, 9, "C-3", "C-3", department="IT") == ["noted", "opened"]
    assert answered(world, 5, "r", "C-3", department="HR")[0] == "opened"
    assert [case["kind"] for case in world.cases if case["key"] == "C-3" and not case.get("ended_at")] == ["recovery"]
    assert next(case for case in world.cases if case["case_id"] == bundle)["status"] == "opened"


def test_who_leaves_a_bundle_that_is_over_keeps_the_case_that_came_then() -> None:
    world = World(Recovery(burst_alerts=1))
    for customer in ("C-1", "C-2"):
        answered(world, 5, customer, customer, department="IT")
    submitted = world.now
    world.act("close_loop", "C-2")
    world.wait(25)
    assert answered(world, 5, "r", "C-2", department="HR") == ["opened"]
    answered(world, 9, "C-2", "C-2", department="IT", submitted=submitted)
    assert answered(world, 5, "r2", "C-2", department="HR") == ["joined"]


def test_who_is_back_begins_a_case_of_its_own_and_not_that_which_it_had_joined() -> None:
    world = World(Recovery(burst_alerts=1))
    for customer in ("C-1", "C-2", "C-3"):
        answered(world, 5, customer, customer, department="IT")
    submitted = world.now
    answered(world, 9, "C-3", "C-3", department="IT", submitted=submitted)
    world.wait(2)
    assert answered(world, 5, "C-3", "C-3", department="IT", submitted=submitted)[0] == "opened"
    assert [(case["kind"], len(case["alert_ids"])) for case in world.cases if case["status"] == "opened"] == [
        ("recovery", 1), ("bundle", 1), ("recovery", 1),
    ]  # fmt: skip


def test_what_was_suppressed_at_first_begins_again_as_the_case_that_it_was() -> None:
    world = World()
    submitted = world.now + 60_000
    answered(world, 2, customer=None)
    reference = {"type": "ticket", "id": "T-1"}
    answered(world, 2, customer=None, submitted=submitted, reference=reference)
    case_id = world.case["case_id"]
    answered(world, 9, customer=None, submitted=submitted, reference=reference)
    assert answered(world, 2, customer=None, submitted=submitted, reference=reference) == ["reopened"]
    assert world.case["case_id"] == case_id


def test_an_alert_on_which_nobody_could_act_becomes_a_case_when_somebody_can() -> None:
    world = World()
    submitted = world.now + 60_000
    assert answered(world, 2, customer=None) == ["suppressed"]
    assert answered(world, 2, customer=None, submitted=submitted, comment="Again") == []
    reference = {"type": "ticket", "id": "T-1"}
    assert answered(world, 2, customer=None, submitted=submitted, reference=reference) == ["opened"]

    submitted = world.now + 60_000
    forbidden: dict[str, Any] = {"customer_fields": {"contact_allowed": False}}
    assert answered(world, 2, "r2", submitted=submitted, **forbidden) == ["suppressed"]
    assert answered(world, 2, "r2", submitted=submitted) == ["opened"]


@pytest.mark.parametrize("score", [2, 9])
def test_who_wants_no_contact_any_more_is_left_alone(score: int) -> None:
    world = World()
    submitted = world.now + 60_000
    forbidden: dict[str, Any] = {"customer_fields": {"contact_allowed": False}}
    answered(world, score)
    assert answered(world, score, submitted=submitted, **forbidden) == ["noted", "closed"]
    assert world.case["history"][-1]["reason"] == "opted_out"
    assert world.wait(24 * 8) == []


def test_a_case_that_was_contacted_in_time_stays_so_when_it_turns_out_to_be_worse() -> None:
    world = World(
        Recovery(
            first_contact=[FirstContact(4, {"severity": "critical"})],
            severity=[SeverityRule("law", "critical", words=["lawyer"])],
        )
    )
    submitted = world.now + 60_000
    answered(world, 6)
    world.wait(20)
    world.act("contact")
    due = world.case["due_at"]
    answered(world, 6, submitted=submitted, comment="My lawyer will call")
    assert (world.case["severity"], world.case["due_at"]) == ("critical", due)


def test_who_is_unhappy_again_while_critical_waits_no_longer_than_the_critical_do() -> None:
    world = World(Recovery(first_contact=[FirstContact(4, {"severity": "critical"})]))
    answered(world, 0, "r1")
    world.act("resolve", root_cause="late", comment="refunded")
    assert answered(world, 6, "r2") == ["joined", "reopened"]
    assert world.case["severity"] == "critical"
    assert world.case["due_at"] == "2026-03-02T13:02:00.000Z"


def test_an_escalation_that_has_been_is_not_repeated_when_the_case_gets_worse() -> None:
    world = World(Recovery(escalations=[Escalation("lead"), Escalation("lead", at=2.0), Escalation("boss", at=2.0)]))
    world.respond(6)
    assert world.wait(30) == ["warned", "breached", "escalated"]
    assert world.respond(0) == ["joined"]
    assert world.wait(30) == ["escalated", "escalated"]
    assert world.case["informed"] == ["lead", "boss"]


def test_who_owns_a_case_is_known_when_its_department_is() -> None:
    world = World(Recovery(owners=[OwnerRule("support-lead", {"department": "Support"})]))
    submitted = world.now + 60_000
    answered(world, 2)
    context: dict[str, Any] = {"department": "Support", "customer_fields": {"primary_contact": "U-7"}}
    answered(world, 2, submitted=submitted, **context)
    assert (world.case["owner"], world.case["informed"]) == ("support-lead", ["U-7"])
    world.act("assign", assignee="ben")
    answered(world, 2, submitted=submitted, comment="Again", **context)
    assert world.case["owner"] == "ben"


def test_who_turns_out_to_be_gold_waits_as_the_golden_do() -> None:
    world = World(Recovery(first_contact=[FirstContact(4, {"tier": "gold"})]))
    submitted = world.now + 60_000
    answered(world, 2)
    answered(world, 2, submitted=submitted, customer_fields={"tier": "gold"})
    assert world.case["due_at"] == "2026-03-02T13:01:00.000Z"


def test_a_case_that_was_reopened_has_its_time_also_when_it_gets_worse() -> None:
    world = World()
    submitted = world.now + 60_000
    answered(world, 5)
    world.act("close_loop")
    world.wait(24 * 5)
    world.act("reopen")
    due = world.case["due_at"]
    assert answered(world, 5, submitted=submitted, contact_requested=True) == ["noted"]
    assert (world.case["severity"], world.case["due_at"]) == ("critical", due)


# What is long ago


@pytest.mark.parametrize("step", [0.5, 1.0])
def test_recover_that_begins_on_an_old_topic_pages_nobody(step: float) -> None:
    world = World(Recovery(escalations=[Escalation("lead", at=step)]))
    world.held = []
    world.respond(2, "C-1")
    world.respond(9, "C-2")
    world.now += 30 * DAY
    world.respond(2, "C-3")
    facts, world.held = world.held, None
    assert world.feed(facts) == ["opened"] * 3
    assert sorted(world.wait(1)) == ["closed", "closed"]
    reasons = {case["key"]: case["history"][-1].get("reason") for case in world.cases}
    assert reasons == {"C-1": "stale", "C-2": "expired", "C-3": None}


def test_what_somebody_works_on_is_not_stale() -> None:
    world = World()
    world.respond(2)
    world.act("acknowledge")
    world.now += 30 * DAY
    assert world.wait(1) == ["warned", "breached", "breached"]


def test_alerts_and_asks_that_are_written_again_long_afterwards_open_nothing() -> None:
    world = World()
    world.held = []
    world.respond(2, "C-1", "r1")
    world.respond(6, "C-3", "r3")
    world.respond(6, "C-3", "r3", comment="and my lawyer", contact_requested=True)
    world.respond(9, "C-2", "r2")
    for fact in world.held:
        fact.timestamp += 30 * DAY
    assert world.feed(world.held) == ["suppressed"] * 4
    assert {json.loads(event.value or b"")["reason"] for event in world.events} == {"stale"}
    assert world.cases == []


def test_a_case_that_moves_after_weeks_goes_on() -> None:
    world = World()
    submitted = world.now + 60_000
    reference = {"type": "ticket", "id": "T-1"}
    answered(world, 2, customer=None, reference=reference)
    world.wait(24 * 20)
    assert answered(world, 2, submitted=submitted, reference=reference) == ["closed", "opened"]
    assert world.wait(1) == ["warned", "breached", "breached"]


def test_an_alert_that_waits_for_days_is_escalated_as_ever() -> None:
    world = World(Recovery(escalations=[Escalation("lead", at=9.0)]))
    world.respond(2)
    assert world.wait(24 * 3) == ["warned", "breached"]
    world.now += 20 * DAY  # nobody looked at the clock
    assert world.wait(1) == ["breached", "escalated"]


# What is kept


def test_customers_are_forgotten_also_when_their_case_was_open_for_very_long() -> None:
    world = World(Recovery(keep_days=1, remember_days=2))
    world.respond(2)
    world.act("acknowledge")
    for _ in range(5):
        world.now += DAY
        world.wait(1 / 60)
    world.act("close_loop")
    for _ in range(2):
        world.now += DAY
        world.wait(1 / 60)
    assert world.recover.state == {}


def test_bursts_and_causes_that_are_over_leave_nothing_behind() -> None:
    world = World(Recovery(burst_alerts=2))
    for number in range(5):
        world.respond(5, f"C-{number}", department=f"D-{number}")
        world.act("resolve", f"C-{number}", root_cause=f"cause {number}", comment="c")
    assert sum(key.startswith(b"burst:") for key in world.recover.state) == 5
    for number in range(5):
        world.act("close_loop", f"C-{number}", case_id=world.cases[0]["case_id"])
    world.wait(1)
    assert not [key for key in world.recover.state if key.startswith(b"burst:")]
    assert not world.state.bursts
    assert not world.state.agenda.causes


def test_a_bundle_of_very_many_names_the_first_and_the_newest() -> None:
    world = World(Recovery(burst_alerts=1, burst_minutes=10_000))
    count = 700
    for number in range(count):
        world.respond(5, f"C-{number}", f"r{number}", department="IT")
    bundle = next(case for case in world.cases if case["kind"] == "bundle")
    assert (len(bundle["alert_ids"]), bundle["more_alerts"]) == (500, count - 1 - 500)
    assert len(world.events[-1].value or b"") < 80_000
    world.now += HOUR
    for number in range(1, count):
        world.delete(f"r{number}")
        bundle = next(case for case in world.cases if case["case_id"] == bundle["case_id"])
        left = len(bundle.get("alert_ids", ())) + bundle.get("more_alerts", 0)
        assert (left, bundle["status"]) == (count - 1 - number, "opened" if number < count - 1 else "closed")


def test_a_contact_from_before_it_began_again_is_not_in_time() -> None:
    world = World()
    world.respond(4)
    world.wait(1)
    before = rfc3339(world.now)
    world.act("resolve", root_cause="late", comment="refunded")
    world.wait(20)
    assert world.respond(4) == ["joined", "reopened"]
    world.wait(25)
    world.act("contact", at=before)
    assert from_rfc3339(world.case["contacted_at"]) == world.now
    assert world.recover.fold.counters["first_contact", "late"] == 1


# What is read twice, or after its case is gone


@pytest.mark.parametrize("score", [2, 9])
def test_a_fact_that_is_read_again_changes_nothing(score: int) -> None:
    world = World()
    world.held = []
    world.respond(score, name="r")
    world.delete("r")
    assert world.feed(world.held) == ["opened", "closed"]
    before = dict(world.recover.state)
    assert world.feed(world.held) == []
    assert world.recover.state == before


@pytest.mark.parametrize("score", [2, 9])
def test_a_comment_that_comes_after_the_case_was_forgotten_opens_none(score: int) -> None:
    world = World(Recovery(keep_days=1))
    submitted = world.now + 60_000
    answered(world, score)
    world.act("close_loop" if score == 2 else "done")
    world.wait(48)
    assert world.cases == []
    assert answered(world, score, submitted=submitted, comment="Again") == []
    action = {"action_id": "1", "action": "forget", "by": "privacy"}
    world.send(topics.ACTIONS, b"C-1", json.dumps(action).encode())
    assert world.recover.state == {}


def test_a_suppressed_alert_that_is_retracted_is_decided_on_again_when_it_is_back() -> None:
    world = World()
    submitted = world.now + 60_000
    forbidden: dict[str, Any] = {"customer_fields": {"contact_allowed": False}}
    assert answered(world, 2, submitted=submitted, **forbidden) == ["suppressed"]
    assert answered(world, 9, submitted=submitted, **forbidden) == ["suppressed"]  # the follow-up that it is now
    assert answered(world, 2, submitted=submitted, **forbidden) == ["suppressed"]
    assert "alert_id" in world.last()


def test_a_case_that_begins_again_is_as_severe_as_the_worst_of_its_alerts() -> None:
    world = World()
    submitted = world.now + 60_000
    answered(world, 6, "r1")
    assert answered(world, 0, "r2") == ["joined"]
    world.act("close_loop")
    assert answered(world, 9, "r1", submitted=submitted)[0] == "noted"
    world.wait(25)
    assert answered(world, 6, "r1", submitted=submitted)[0] == "reopened"
    case = next(case for case in world.cases if case["kind"] == "recovery")
    assert (case["severity"], len(case["alert_ids"])) == ("critical", 2)


def test_what_was_not_asked_is_not_asked_because_of_a_comment() -> None:
    world = World()
    answered(world, 9, "r1")
    world.act("done")
    submitted = world.now + 60_000
    assert answered(world, 9, "r2") == ["suppressed"]
    assert answered(world, 9, "r2", submitted=submitted, comment="Great") == []


def test_a_customer_is_kept_as_long_as_facts_come() -> None:
    world = World(Recovery(keep_days=1, remember_days=2))
    for _ in range(3):
        assert world.respond(5, metric="csat") == []  # thanks alone
        world.wait(36)
    assert list(world.recover.state) == [b"customer:C-1"]
    world.wait(48)
    assert world.recover.state == {}
