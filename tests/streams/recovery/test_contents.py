"""What a case says when a customer answers again, takes something back, or when answers come out of order."""

import json
from typing import Any

import pytest

from npsflow.schemas import codec, topics
from npsflow.schemas.times import HOUR, rfc3339
from npsflow.streams.recovery.settings import Escalation, FirstContact, OwnerRule, Recovery, SeverityRule
from tests.streams.folding import Record

from .recovering import NOW, PREFIX, World

THANKS = "Thank you for your answer."


def shown(answer: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(answer.get(name) for name in ("score", "comment", "channel", "department", "survey_id"))


def of_kind(world: World, kind: str = "recovery") -> dict[str, Any]:
    (case,) = (case for case in world.cases if case["kind"] == kind)
    return case


def test_a_second_worse_answer_is_what_the_case_is_about() -> None:
    world = World()
    world.respond(5, channel="email", department="Delivery")
    assert world.case["message"].endswith("?")
    world.now += HOUR
    later = {"channel": "chat", "department": "Billing", "comment": "I will cancel my contract today"}
    assert world.respond(0, **later) == ["joined"]
    case, entry = world.case, world.case["history"][-1]
    assert (case["severity"], case["worsened_at"], case["score"], case["previous_score"]) == (
        "critical", rfc3339(world.now), 0, 5,
    )  # fmt: skip
    assert case["message"] == THANKS  # what the customer has written is not asked for
    assert shown(case) == shown(case["newest"]) == shown(case["worst"]) == (0, *reversed_of(later), "q")
    assert (entry["alert_id"], entry["metric"], entry["score"], entry["severity"]) == (
        case["newest"]["alert_id"], "nps", 0, "critical",
    )  # fmt: skip
    world.now += HOUR
    assert world.respond(6, channel="email") == ["joined"]
    assert (world.case["severity"], world.case["score"], world.case["newest"]["score"]) == ("critical", 0, 6)
    assert "severity" not in world.case["history"][-1]
    assert world.case["message"] == THANKS


def reversed_of(fields: dict[str, str]) -> tuple[str, ...]:
    return fields["comment"], fields["channel"], fields["department"]


def test_what_is_taken_back_leaves_again() -> None:
    world = World()
    world.respond(5, name="r1", department="Delivery")
    world.now += HOUR
    world.respond(0, name="r2", comment="I will sue", contact_requested=True)
    assert world.case["reasons"] == ["detractor", "contact_requested"]
    due = world.case["due_at"]
    assert world.delete("r2") == ["noted"]
    case = world.case
    assert (case["severity"], case["score"], case["reasons"], case["due_at"]) == ("medium", 5, ["detractor"], due)
    assert (case["worst"]["score"], case["newest"]["score"], "comment" in case) == (5, 5, False)
    assert case["message"].endswith("?")
    assert world.delete("r1") == ["closed"]
    assert world.case["history"][-1]["reason"] == "retracted"


def test_the_first_deadline_goes_with_the_answer_that_is_taken_back() -> None:
    world = World()
    world.respond(5, name="r1")
    world.now += HOUR
    world.respond(5, name="r2")
    world.now += HOUR
    assert world.delete("r1") == ["noted"]
    assert world.case["due_at"] == rfc3339(NOW + 25 * HOUR)
    assert world.wait(22.5) == ["warned"]
    assert world.delete("r2") == ["closed"]


def test_owner_and_deadline_follow_the_worst_answer() -> None:
    recovery = Recovery(
        owners=[OwnerRule("crisis", {"severity": "critical"}), OwnerRule("billing", {"department": "Billing"})],
        first_contact=[FirstContact(2, {"severity": "critical"})],
        escalations=[Escalation("boss")],
    )
    world = World(recovery)
    world.respond(6, name="r1", department="Billing")
    world.wait(10)
    assert world.respond(1, name="r2") == ["joined"]
    assert (world.case["owner"], world.case["due_at"]) == ("crisis", rfc3339(NOW + 12 * HOUR))
    assert world.wait(2.5) == ["warned", "breached", "escalated"]
    assert world.respond(6, name="r2", submitted=NOW + 10 * HOUR) == ["noted"]
    assert (world.case["owner"], world.case["severity"]) == ("billing", "medium")
    assert world.case["due_at"] == rfc3339(NOW + 24 * HOUR)
    assert world.wait(100) == []  # nobody hears the same twice
    world.act("assign", assignee="anna")
    world.respond(0)
    assert world.case["owner"] == "anna"


def test_whom_an_old_answer_left_overdue_a_new_one_reminds_of() -> None:
    world = World()
    assert world.respond(5, submitted=NOW - 100 * HOUR) == ["opened"]
    assert world.respond(5) == ["joined"]
    assert world.case["due_at"] == rfc3339(NOW - 76 * HOUR)
    assert world.wait(25) == ["warned", "breached"]


def test_the_worst_of_two_metrics_is_the_more_severe() -> None:
    world = World()
    world.respond(6, metric="nps")
    world.respond(1, metric="csat", survey_id="csat", comment="no")
    assert (world.case["metric"], world.case["severity"], world.case["newest"]["metric"]) == (
        "csat",
        "critical",
        "csat",
    )
    assert world.case["reasons"] == ["dissatisfied", "detractor"]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_reasons_agree_with_the_score_before(order: tuple[int, ...]) -> None:
    """10, then 7, then 6: who gives a 6 was no promoter."""
    world = World(Recovery(ask_every_days=0))
    for number in order:
        world.respond((10, 7, 6)[number], name=f"r{number}", submitted=NOW - (3 - number) * HOUR)
    case = of_kind(world)
    assert (case["previous_score"], case["severity"], case["reasons"]) == (7, "medium", ["detractor"])
    assert case["worst"]["previous_score"] == 7


def test_a_late_promoter_raises_the_severity_and_one_that_is_taken_back_lowers_it() -> None:
    world = World()
    world.respond(6)
    assert world.respond(10, name="late", submitted=NOW - HOUR)[0] == "noted"
    entry = of_kind(world)["history"][-1]
    assert (entry["reason"], entry["severity"], of_kind(world)["previous_score"]) == ("answered_before", "high", 10)
    assert of_kind(world)["reasons"] == ["detractor", "was_promoter"]
    assert world.respond(8, name="late", submitted=NOW - HOUR)[0] == "noted"
    assert (of_kind(world)["severity"], of_kind(world)["previous_score"]) == ("medium", 8)


def test_a_bundle_shows_the_worst_of_all() -> None:
    world = World(Recovery(burst_alerts=1))
    for customer, score in (("C-1", 5), ("C-2", 6), ("C-3", 4), ("C-4", 6)):
        world.now += 1000
        world.respond(score, customer, customer, department="IT", comment=f"of {customer}")
    bundle = of_kind(world, "bundle")
    assert (bundle["worst"]["score"], bundle["newest"]["comment"], bundle["severity"]) == (4, "of C-4", "high")
    assert bundle["customer_id"] == "C-3"
    world.delete("C-3")
    assert (of_kind(world, "bundle")["score"], of_kind(world, "bundle")["severity"]) == (6, "medium")


def test_turned_scales_are_worse_where_they_are_high() -> None:
    world = World(turned=frozenset({"ces"}))
    world.respond(6, metric="ces")
    world.now += 1000
    world.respond(5, metric="ces")
    assert (world.case["worst"]["score"], world.case["newest"]["score"]) == (6, 5)


def test_nothing_is_left_in_the_state_of_what_was_forgotten() -> None:
    world = World(Recovery(keep_days=1, remember_days=2))
    for name in ("r1", "r2", "r3"):
        world.respond(3, name=name)
    world.delete("r2")
    assert sum(key.startswith(b"alert:") for key in world.recover.state) == 2
    world.act("close_loop")
    world.wait(24 * 4)
    assert world.recover.state == {}


# What an older build has kept


def older(world: World) -> None:
    """Only what the build of 186fcdf has written stays of the state."""
    new = ("newest", "worst", "restarted_at", "worsened_at")
    state = world.recover.state
    for key in [key for key in state if key.startswith(b"alert:")]:
        del state[key]
    for key in [key for key in state if key.startswith(b"case:")]:
        case = {name: value for name, value in json.loads(state[key]).items() if name not in new}
        for entry in case["history"]:
            for name in ("alert_id", "metric", "score", "severity"):
                entry.pop(name, None)
        state[key] = json.dumps(case).encode()
    world.restart()


def test_a_case_of_an_older_build_goes_on() -> None:
    world = World(Recovery(severity=[SeverityRule("law", "critical", words=["lawyer"])]))
    world.respond(5, name="r1", comment="my lawyer")
    world.respond(4, name="r2")
    older(world)
    world.now += HOUR
    assert world.respond(6, name="r3", department="IT") == ["joined"]
    case = world.case
    assert (case["severity"], case["worst"]["score"], case["newest"]["score"]) == ("critical", 5, 6)
    assert (case["comment"], case["message"], case["due_at"]) == ("my lawyer", THANKS, rfc3339(NOW + 24 * HOUR))
    assert world.delete("r1") == ["noted"]
    assert len(world.case["alert_ids"]) == 2
    assert world.case["score"] == 6
    assert world.delete("r3") == ["noted"]
    assert world.delete("r2") == ["closed"]


def test_who_an_older_build_called_won_back_stays_so() -> None:
    world = World()
    world.respond(5, name="r1")
    world.act("contact")
    world.wait(1)
    assert "won_back" in world.respond(9, name="r2")
    older(world)
    for key in [key for key in world.recover.state if key.startswith(b"customer:")]:
        answers, *others = codec.unpack(world.recover.state[key])
        answers = {metric: [answer[:5] for answer in kept] for metric, kept in answers.items()}
        world.recover.state[key] = codec.pack([answers, *others])
    world.restart()
    world.wait(1)
    assert world.respond(10, name="r3") == ["suppressed"]
    assert of_kind(world)["won_back_by"] == "s/r2"
    assert world.delete("r2") == ["noted"]
    assert of_kind(world)["won_back_by"] == "s/r3"


# What teams report


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("2020-01-01T00:00:00Z", "before_the_case"),
        (rfc3339(NOW - HOUR), "before_the_case"),
        (rfc3339(NOW + 3 * HOUR), "in_the_future"),
        (rfc3339(NOW + HOUR + 30_000), None),  # clocks differ
        (rfc3339(NOW - 30_000), None),
        (rfc3339(NOW + HOUR // 2), None),
    ],
)
def test_what_cannot_have_been_then_is_refused(at: str, reason: str | None) -> None:
    world = World()
    world.respond(2)
    world.wait(1)
    happened = world.act("contact", at=at)
    assert happened == (["action_refused"] if reason else ["contacted"])
    if reason:
        assert (world.case["history"][-1]["reason"], "contacted_at" in world.case) == (reason, False)
    else:
        assert rfc3339(NOW) <= world.case["contacted_at"] <= rfc3339(world.now)


def test_who_closes_the_loop_says_what_the_cause_was() -> None:
    world = World()
    world.respond(2)
    action = {"action_id": "1", "action": "close_loop", "by": "anna", "case_id": world.case["case_id"]}

    def close(**more: str) -> list[str]:
        value = json.dumps(action | {"action_id": str(more)} | more).encode()
        return world.feed([Record(b"C-1", value, 0, world.now, topic=PREFIX + topics.ACTIONS)])

    assert close() == ["action_refused"]
    assert world.case["history"][-1]["reason"] == "root_cause_missing"
    assert close(root_cause="late") == ["action_refused"]
    assert world.case["history"][-1]["reason"] == "comment_missing"
    assert close(root_cause="late", comment="refunded") == ["loop_closed"]
    assert world.case["root_cause"] == "late"


def test_a_root_cause_has_one_spelling() -> None:
    world = World(Recovery(root_causes=["Broken form"]))
    for customer, cause in (("C-1", "Late Delivery"), ("C-2", "late delivery "), ("C-3", "BROKEN FORM")):
        world.respond(2, customer)
        world.act("resolve", customer, root_cause=cause, comment="c")
    assert [case["root_cause"] for case in world.cases] == ["Late Delivery", "Late Delivery", "Broken form"]
    world.restart()
    world.respond(2, "C-4")
    assert world.act("resolve", "C-4", root_cause="NO_COMPLAINT") == ["resolved"]
    assert world.case["root_cause"] == "no_complaint"
    assert world.act("fixed", root_cause="LATE delivery") == ["assigned"] * 2
    assert world.act("fixed", root_cause="broken form") == ["assigned"]
