"""Cases: what becomes of alerts, of actions, and of time that passes."""

import json

import pytest

from npsflow.schemas import topics
from npsflow.schemas.events import ALERT_RAISED
from npsflow.schemas.times import HOUR, rfc3339
from npsflow.streams.recovery.report import report
from npsflow.streams.recovery.settings import Escalation, FirstContact, OwnerRule, Recovery, SeverityRule, mistakes
from npsflow.streams.recovery.state import unpack_case
from tests.streams.folding import Record

from .recovering import PREFIX, World, header

# Opening


def test_an_unhappy_customer_gets_a_case_with_owner_and_deadline() -> None:
    world = World(Recovery(owners=[OwnerRule("support-lead", {"department": "support "})]))
    assert world.respond(2, department="Support", channel="chat") == ["opened"]
    case = world.case
    assert (case["status"], case["owner"], case["severity"]) == ("opened", "support-lead", "critical")
    assert (case["due_at"], case["finish_by"]) == ("2026-03-03T09:00:00.000Z", "2026-03-09T09:00:00.000Z")
    assert (case["channel"], case["score"], case["customer_id"]) == ("chat", 2, "C-1")
    assert case["message"] == "Thank you for your answer. What is the most important reason for your score?"
    event = world.events[-1]
    assert (event.key, header(event, "ce_subject")) == (b"C-1", case["case_id"])
    assert header(event, "ce_id") == f"{case['case_id']}.1"
    attributes = {name: header(event, f"ce_{name}") for name in ("type", "id", "time")}
    assert json.loads(event.value or b"") == attributes | case


def test_a_second_alert_joins_the_open_case_and_makes_it_worse() -> None:
    world = World()
    assert world.respond(6) == ["opened"]
    world.now += 1000
    assert world.respond(5) == ["joined"]
    assert (len(world.case["alert_ids"]), world.case["severity"]) == (2, "medium")
    assert world.respond(0) == ["joined"]
    assert world.case["severity"] == "critical"
    assert world.respond(4, "C-2") == ["opened"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"customer_fields": {"contact_allowed": False}}, "opted_out"),
        ({"customer": None}, "no_contact"),
        ({"submitted": 1_771_700_000_000}, "stale"),
    ],
)
def test_nobody_is_asked_to_act_where_nobody_can_or_may(more: dict[str, object], reason: str) -> None:
    world = World()
    assert world.respond(2, **more) == ["suppressed"]  # type: ignore[arg-type]
    assert (world.last()["reason"], world.last()["score"]) == (reason, 2)
    assert world.cases == []


def test_a_case_just_closed_suppresses_an_alert_that_is_not_worse() -> None:
    world = World()
    world.respond(4)
    assert world.act("close_loop") == ["loop_closed"]
    world.wait(1)
    assert world.respond(3) == ["suppressed"]
    assert world.last()["reason"] == "cooldown"
    assert world.respond(1) == ["opened"]  # worse than that case was
    world.act("close_loop")
    world.wait(25)
    assert world.respond(6) == ["opened"]


def test_the_cooldown_ends_when_it_is_over() -> None:
    for wait, happened in ((24 * HOUR - 1, "suppressed"), (24 * HOUR, "opened")):
        world = World()
        world.respond(4)
        world.act("close_loop")
        world.now += wait
        assert world.respond(4) == [happened]


def test_a_burst_is_of_the_last_hour() -> None:
    for wait, happened in ((HOUR - 1, "bundle"), (HOUR, "recovery")):
        world = World(Recovery(burst_alerts=1))
        world.respond(5, "C-1", department="IT")
        world.now += wait
        world.respond(5, "C-2", department="IT")
        assert world.case["kind"] == happened


def test_too_many_of_one_department_are_one_case_but_for_the_critical() -> None:
    world = World(Recovery(burst_alerts=2))
    happened = [world.respond(5, f"C-{n}", department=("IT", "it ")[n % 2]) for n in range(5)]
    assert happened == [["opened"], ["opened"], ["opened"], ["joined"], ["joined"]]
    assert (world.case["kind"], len(world.case["alert_ids"])) == ("bundle", 3)
    assert world.respond(0, "C-9", department="IT") == ["opened"]
    assert world.respond(5, "C-10", department="HR") == ["opened"]
    world.restart()
    assert world.respond(5, "C-11", department="IT") == ["joined"]
    world.wait(2)
    assert world.respond(5, "C-12", department="IT") == ["opened"]
    assert world.case["kind"] == "recovery"


def test_severity_rises_and_the_case_says_why() -> None:
    rules = [
        SeverityRule("large", "critical", min_value=10_000),
        SeverityRule("leaving", "high", words=["Cancel", "opzeggen"]),
        SeverityRule("gold", "high", when={"tier": "GOLD"}),
    ]
    world = World(Recovery(severity=rules))
    world.respond(9)
    world.act("done")
    world.respond(6, comment="I will CANCEL")
    assert (world.case["severity"], world.case["previous_score"]) == ("high", 9)
    assert world.case["reasons"] == ["detractor", "was_promoter", "leaving"]
    world.respond(6, "C-2", customer_fields={"value": 20_000, "tier": "gold"})
    assert (world.case["severity"], world.case["reasons"]) == ("critical", ["detractor", "large", "gold"])


def test_a_comment_that_comes_later_enriches_the_case() -> None:
    world = World(Recovery(severity=[SeverityRule("law", "critical", words=["lawyer"])]))
    world.respond(6, name="r", language="nl")
    assert world.case["message"].startswith("Dank u wel voor uw antwoord. Wat is")
    world.now += 60_000
    assert world.respond(6, name="r", language="nl", comment="My lawyer will call") == ["noted"]
    case = world.case
    assert (case["comment"], case["severity"]) == ("My lawyer will call", "critical")
    assert case["message"] == "Dank u wel voor uw antwoord."
    assert world.respond(6, name="r", language="nl", comment="My lawyer will call") == []


def test_a_correction_closes_the_case_and_a_correction_back_opens_it_again() -> None:
    world = World()
    world.respond(2, name="r")
    world.now += 60_000
    assert world.respond(9, name="r") == ["closed", "opened"]  # the case, and an ask
    world.now += 60_000
    assert world.respond(2, name="r") == ["reopened", "closed"]
    recovery = next(case for case in world.cases if case["kind"] == "recovery")
    assert (recovery["status"], [e["what"] for e in recovery["history"]]) == (
        "reopened",
        ["opened", "closed", "reopened"],
    )
    world.now += 60_000
    assert world.delete("r") == ["closed"]


def test_what_is_added_to_an_old_case_does_not_make_it_the_open_one() -> None:
    world = World()
    submitted = world.now
    world.respond(5, name="old")
    world.act("close_loop")
    world.wait(25)
    assert world.respond(5) == ["opened"]
    assert world.respond(4, name="old", submitted=submitted) == ["noted"] * 2  # it was 4 before, not 5
    assert [case["previous_score"] for case in world.cases if "previous_score" in case] == [4]
    assert world.respond(5) == ["joined"]


def test_who_answers_all_the_time_is_not_remembered_without_bound() -> None:
    world = World()
    for number in range(250):
        world.now += 1000
        world.respond(number % 7)
    ((packed, *others),) = [[v for k, v in world.recover.state.items() if k.startswith(b"customer:")]]
    assert not others
    assert len(packed) < 11_000
    assert world.act("contact") == ["contacted"]


# Acting


def test_the_loop_is_closed_step_by_step() -> None:
    world = World()
    world.respond(2)
    assert world.act("acknowledge") == ["acknowledged"]
    assert world.act("assign", assignee="ben") == ["assigned"]
    assert world.act("contact", comment="called") == ["contacted"]
    assert world.act("resolve", root_cause="late delivery", comment="refunded") == ["resolved"]
    assert world.act("close_loop", comment="called") == ["loop_closed"]
    case = world.case
    assert (case["status"], case["owner"], case["root_cause"]) == ("loop_closed", "ben", "late delivery")
    assert [entry["what"] for entry in case["history"]] == [
        "opened", "acknowledged", "assigned", "contacted", "resolved", "loop_closed",
    ]  # fmt: skip
    assert all(entry["by"] == "anna" for entry in case["history"][1:])
    assert world.wait(24 * 8) == []


@pytest.mark.parametrize(
    ("before", "action", "reason"),
    [
        ([], {"action": "resolve"}, "root_cause_missing"),
        ([], {"action": "resolve", "root_cause": "x"}, "comment_missing"),
        ([], {"action": "assign"}, "assignee_missing"),
        ([], {"action": "note"}, "comment_missing"),
        ([], {"action": "reopen"}, "still_open"),
        ([], {"action": "done"}, "only_for_asks"),
        (["contact"], {"action": "acknowledge"}, "is_contacted"),
        (["contact"], {"action": "contact"}, "is_contacted"),
        (["close_loop"], {"action": "contact"}, "is_loop_closed"),
        (["close_loop"], {"action": "assign", "assignee": "b"}, "is_loop_closed"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    before: list[str], action: dict[str, str], reason: str
) -> None:
    world = World()
    world.respond(2)
    for verb in before:
        world.act(verb)
    was = world.case
    assert world.act(**action) == ["action_refused"]
    now = world.case
    assert now["history"][-1]["reason"] == reason
    unchanged = {name: value for name, value in was.items() if name not in ("revision", "history")}
    assert {name: value for name, value in now.items() if name not in ("revision", "history")} == unchanged


def test_no_complaint_needs_no_comment_and_an_action_counts_once() -> None:
    world = World()
    world.respond(2)
    assert world.act("resolve", root_cause="no_complaint", action_id="one") == ["resolved"]
    assert world.act("reopen", action_id="two") == ["reopened"]
    assert world.act("resolve", root_cause="no_complaint", action_id="one") == []
    world.restart()
    assert world.act("reopen", action_id="two") == []
    assert world.act("contact", case_id="c-unknown") == ["action_refused"]
    assert world.last()["reason"] == "no_such_case"


def test_an_action_names_the_case_by_an_alert_too() -> None:
    world = World()
    world.respond(2)
    assert world.act("contact", alert_id=world.case["alert_ids"][0]) == ["contacted"]
    assert world.act("contact", "C-2", alert_id=world.case["alert_ids"][0]) == ["action_refused"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null_value"),
        (b"{", "not_json"),
        (b'{"action_id":"1","action":"dance","by":"x","case_id":"c"}', "invalid_action"),
        (b'{"action_id":"1","action":"contact","by":"x"}', "invalid_action"),
        (b'{"action_id":"1","action":"fixed","by":"x"}', "invalid_action"),
        (b'{"action_id":"1","action":"forget","by":"x","case_id":"c"}', "invalid_action"),
    ],
)
def test_an_action_that_cannot_be_read_is_a_dead_letter(value: bytes | None, reason: str) -> None:
    world = World()
    assert world.send(topics.ACTIONS, b"C-1", value) == []
    (letter,) = world.dead
    assert (letter.value, header(letter, "npsflow_dlq_reason")) == (value, reason)


def test_when_the_cause_is_fixed_everyone_affected_is_to_hear_of_it() -> None:
    world = World()
    for n in range(3):
        world.respond(2, f"C-{n}")
        world.act("resolve", f"C-{n}", root_cause="broken form" if n else "other", comment="explained")
    world.restart()
    assert world.act("fixed", root_cause="broken form") == ["assigned", "assigned"]
    to_inform = [case for case in world.cases if case.get("task") == "close_loop"]
    assert sorted(case["customer_id"] for case in to_inform) == ["C-1", "C-2"]
    assert world.act("close_loop", case_id=to_inform[0]["case_id"]) == ["loop_closed"]
    assert "task" not in world.case
    assert world.act("fixed", root_cause="broken form") == ["assigned"]


@pytest.mark.parametrize("at", ["yesterday", "2026-03-02T09:00:00"])
def test_an_action_without_a_readable_time_counts_from_when_it_came(at: str) -> None:
    world = World()
    world.respond(2)
    world.wait(1)
    assert world.act("contact", at=at) == ["contacted"]
    assert world.case["contacted_at"] == "2026-03-02T10:00:00.000Z"


def test_what_is_not_for_recover_is_skipped_and_what_nobody_can_read_is_a_dead_letter() -> None:
    world = World()
    assert world.send(topics.SERVICE_RECOVERY, b"C-1", b"{}") == []  # without a type
    world.respond(2)
    own = world.events[-1]
    again = Record(own.key, own.value, 0, world.now, own.headers, topic=PREFIX + topics.SERVICE_RECOVERY)
    assert world.feed([again]) == []
    counted = world.recover.fold.counters
    assert (counted["recover", "skipped"], counted["recover", "alert"], world.dead) == (2, 1, [])
    broken = Record(b"C-1", b"{", 0, world.now, [("ce_type", ALERT_RAISED.encode())], topic=again.topic)
    assert world.feed([broken]) == []
    (letter,) = world.dead
    assert (letter.value, header(letter, "npsflow_dlq_reason")) == (b"{", "internal_error")


def test_an_attribute_decides_who_owns_a_case() -> None:
    recovery = Recovery(owners=[OwnerRule("key-accounts", {"attributes.plan": "Enterprise"})])
    assert not list(mistakes(recovery))
    world = World(recovery)
    world.respond(2, "C-1", attributes={"plan": "enterprise"})
    world.respond(2, "C-2", attributes={"plan": "free"})
    world.respond(2, "C-3")
    assert [case["owner"] for case in world.cases] == ["key-accounts", "service-recovery", "service-recovery"]


# Time


def test_time_does_what_nobody_did_once_each_over_restarts() -> None:
    world = World(Recovery(escalations=[Escalation("lead"), Escalation("manager", at=2.0)]))
    world.respond(2)
    happened = []
    for _ in range(24 * 8):
        world.restart()
        happened += [(what, (world.now // 3_600_000)) for what in world.wait(1)]
    hours = [(what, hour - happened[0][1] + 18) for what, hour in happened]
    assert hours == [("warned", 18), ("breached", 24), ("escalated", 24), ("escalated", 48), ("breached", 168)]
    assert world.case["informed"] == ["lead", "manager"]
    assert [e.get("reason") for e in world.case["history"] if e["what"] == "breached"] == ["first_contact", "finish_by"]


@pytest.mark.parametrize(
    ("days", "later"),
    [(0.5, ["warned", "breached", "escalated", "breached"]), (0.8, ["breached", "escalated", "breached"]),
     (1, ["escalated", "breached"]), (1.5, ["escalated", "breached"]), (2, ["breached"]), (6.9, ["breached"])],
)  # fmt: skip
def test_nobody_is_told_of_a_deadline_that_passed_before_the_response_was_known(days: float, later: list[str]) -> None:
    """As with history that is sent by `produce` or `import`. What passes afterwards counts as ever."""
    world = World(Recovery(escalations=[Escalation("manager", at=2.0)]))
    submitted = world.now - int(days * 24) * HOUR
    assert world.respond(2, submitted=submitted, name="r1") == ["opened"]
    case = world.case
    assert case["due_at"] == rfc3339(submitted + 24 * HOUR)
    assert world.respond(2, submitted=submitted, name="r1", comment="and late again") == ["noted"]
    assert world.wait(24 * 8) == later
    assert world.case.get("informed", []) == (["manager"] if "escalated" in later else [])


def test_old_answers_make_no_open_case_overdue_and_a_late_reader_is_still_told() -> None:
    world = World()
    world.respond(2)
    assert world.respond(2, submitted=world.now - 72 * HOUR) == ["joined"]
    assert world.wait(17) == []
    assert world.wait(8) == ["warned", "breached"]

    world = World()
    world.held = []
    world.respond(2)
    facts, world.held = world.held, None
    world.now += 72 * HOUR  # recover was away, the answer was known
    for fact in facts:
        fact.timestamp = world.now
    assert world.feed(facts) == ["opened"]
    assert world.wait(1) == ["warned", "breached"]


def test_a_contact_stops_warnings_and_a_closed_case_has_none() -> None:
    world = World()
    world.respond(2)
    world.act("contact")
    assert world.wait(24 * 6) == []
    assert world.wait(24 * 2) == ["breached"]
    world.act("close_loop")
    world.respond(2, "C-2")
    world.act("close_loop", "C-2")
    assert world.wait(24 * 30) == []


def test_the_time_depends_on_severity_and_customer() -> None:
    world = World(
        Recovery(first_contact=[FirstContact(2, {"tier": "gold"}), FirstContact(4, {"severity": "critical"})])
    )
    for customer, tier, score, due in (("C-1", "gold", 6, 11), ("C-2", "basic", 1, 13), ("C-3", "basic", 6, 33)):
        world.respond(score, customer, customer_fields={"tier": tier})
        day, hour = divmod(due, 24)
        assert world.case["due_at"] == f"2026-03-{2 + day:02}T{hour:02}:00:00.000Z"


def test_what_is_over_is_forgotten_in_the_end() -> None:
    world = World(Recovery(keep_days=2, remember_days=4))
    world.respond(2)
    world.act("close_loop")
    assert world.wait(24 * 3) == []
    assert world.cases == []
    assert list(world.recover.state) == [b"customer:C-1"]
    world.wait(24 * 3)
    assert world.recover.state == {}


# Asking and winning back


def test_a_promoter_is_asked_once_in_a_while() -> None:
    world = World()
    assert world.respond(9) == ["opened"]
    assert (world.case["kind"], world.case["action"]) == ("ask", "referral")
    assert world.respond(10) == ["suppressed"]
    assert world.last()["reason"] == "asked_recently"
    assert world.act("done") == ["closed"]
    assert world.respond(10) == ["suppressed"]
    assert world.last()["reason"] == "asked_recently"
    world.wait(24 * 91)
    assert world.respond(10) == ["opened"]
    assert world.act("declined") == ["closed"]
    assert world.case["history"][-1]["reason"] == "declined"


def test_an_ask_that_is_retracted_is_withdrawn_and_one_that_nobody_acts_on_expires() -> None:
    world = World()
    world.respond(9, name="r")
    world.now += 1000
    assert world.delete("r") == ["closed"]
    assert world.case["history"][-1]["reason"] == "retracted"
    assert world.respond(9) == ["opened"]
    assert world.wait(24 * 8) == ["closed"]
    assert world.case["history"][-1]["reason"] == "expired"


def test_a_customer_with_an_open_case_is_asked_nothing_and_is_won_back_once() -> None:
    world = World()
    world.respond(2)
    world.wait(1)
    world.act("contact")
    world.wait(1)
    assert world.respond(9) == ["won_back", "suppressed"]
    assert world.last()["reason"] == "case_open"
    won = next(case for case in world.cases if case["kind"] == "recovery")
    assert (won["won_back_by"], won["won_back_at"]) == ("s/r2", rfc3339(world.now))
    world.wait(1)
    assert world.respond(10) == ["suppressed"]


def test_who_is_better_before_anybody_called_has_improved_and_is_not_won_back() -> None:
    world = World()
    world.respond(2)
    world.wait(1)
    assert world.respond(9) == ["noted", "suppressed"]
    assert world.case["history"][-1]["reason"] == "improved"
    assert (world.case["improved_by"], "won_back_by" in world.case) == ("s/r2", False)
    assert figures(world) == (0, 1, 1)
    world.wait(1)
    world.act("contact")
    world.wait(1)
    assert world.respond(8) == ["won_back", "suppressed"]
    assert (world.case["won_back_by"], "improved_by" in world.case) == ("s/r3", False)
    assert figures(world) == (1, 0, 1)
    assert world.act("reopen") == ["action_refused"]
    world.act("close_loop")
    assert world.act("reopen") == ["reopened"]  # all of it again
    assert figures(world) == (0, 0, 1)


def figures(world: World) -> tuple[int, int, int]:
    """Cases won back and improved, of how many."""
    overall = report([unpack_case(json.dumps(case).encode()) for case in world.cases], world.now).overall
    return overall.won_back.part, overall.improved.part, overall.won_back.whole


def test_a_contact_that_is_reported_later_counts_from_when_it_was() -> None:
    world = World()
    world.respond(2)
    world.wait(1)
    called = rfc3339(world.now)
    world.wait(1)
    assert world.respond(9) == ["noted", "suppressed"]
    assert world.act("contact", at=called) == ["contacted", "won_back"]
    assert "improved_by" not in world.case


@pytest.mark.parametrize(
    "other",
    [{"metric": "csat"}, {"survey_id": "another"}, {"department": "Billing"}, {"touchpoint": "shop"}],
)
def test_a_better_answer_about_something_else_wins_nobody_back(other: dict[str, str]) -> None:
    world = World()
    world.respond(2, department="Delivery", touchpoint="door")
    world.act("contact")
    world.wait(1)
    score = 5 if "metric" in other else 9
    assert "won_back" not in world.respond(score, **({"department": "Delivery", "touchpoint": "door"} | other))
    assert figures(world) == (0, 0, 1)
    assert "won_back" in world.respond(9, department="delivery ", touchpoint="Door")


def test_who_is_unhappy_about_two_things_is_won_back_on_both() -> None:
    world = World()
    world.respond(2, department="Delivery")
    world.respond(3, department="Billing")
    world.act("contact")
    world.wait(1)
    assert "won_back" not in world.respond(9, department="Billing")
    world.wait(1)
    assert "won_back" in world.respond(8, department="Delivery", name="last")
    case = next(case for case in world.cases if case["kind"] == "recovery")
    assert case["won_back_by"] == "s/last"
    world.wait(1)
    assert world.respond(4, department="Billing") == ["joined", "noted"]
    assert world.case["history"][-1]["reason"] == "not_won_back"


def test_a_correction_wins_nobody_back() -> None:
    world = World()
    world.respond(2, name="r")
    world.act("contact")
    world.wait(1)
    assert world.respond(9, name="r") == ["closed", "opened"]
    assert figures(world) == (0, 0, 0)  # nobody was unhappy


@pytest.mark.parametrize("better_left", [False, True])
def test_who_was_won_back_by_an_answer_that_is_taken_back_is_so_no_more(better_left: bool) -> None:
    world = World()
    world.respond(2)
    world.act("contact")
    world.wait(1)
    assert "won_back" in world.respond(9, name="better")
    if better_left:
        world.wait(1)
        world.respond(8, name="later")
    assert world.delete("better") == ["noted"]
    case = next(case for case in world.cases if case["kind"] == "recovery")
    assert case.get("won_back_by") == ("s/later" if better_left else None)
    assert figures(world) == (better_left, 0, 1)
