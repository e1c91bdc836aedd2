"""A customer is forgotten by recover: nothing that is kept or written afterwards says who it was."""

import json
from typing import Any

import pytest

from npsflow.schemas import topics
from npsflow.schemas.headers import CloudEvents
from npsflow.streams.recovery.business_hours import WallClock
from npsflow.streams.recovery.changes import UnitOfWork
from npsflow.streams.recovery.contents import Contents
from npsflow.streams.recovery.customers import Customer
from npsflow.streams.recovery.erasure import forget as forget_customer
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.settings import Recovery
from npsflow.streams.stage import Output
from tests.streams.folding import Record

from .recovering import PREFIX, World

PERSONAL_FIELDS: dict[str, Any] = {
    "comment": "My boiler leaks",
    "customer_fields": {"name": "Ann Example", "email": "ann@example.com"},
}
CONTENTS = Contents(Policy(Recovery(), WallClock()))
PERSONAL = (b"C-1", b"boiler", b"Ann", b"ann@", b"called her")


def forget(world: World, customer: str) -> list[Output]:
    """What was written because of it."""
    before = len(world.recover.committed)
    action = {"action_id": f"forget-{customer}", "action": "forget", "by": "privacy"}
    world.send(topics.ACTIONS, customer.encode(), json.dumps(action).encode())
    return world.recover.committed[before:]


def personal(*parts: bytes | None) -> list[bytes]:
    return [word for word in PERSONAL if any(word in (part or b"") for part in parts)]


def kept(world: World) -> list[bytes]:
    """Keys and values that stand in the state."""
    return [part for pair in world.recover.state.items() for part in pair]


def test_a_customer_is_forgotten_with_all_cases() -> None:
    world = World()
    world.respond(2, name="gone", **PERSONAL_FIELDS)
    world.delete("gone")  # a case that its customer does not know any more
    world.respond(3, **PERSONAL_FIELDS)
    world.act("contact", comment="called her")
    world.respond(9)
    world.respond(2, "C-11", name="other")
    assert set(personal(*kept(world))) == {b"C-1", b"boiler", b"called her"}
    written = forget(world, "C-1")
    assert sorted((output.topic, output.value) for output in written) == [(topics.CASES, None)] * 2
    assert personal(*(part for output in written for part in (output.key, output.value))) == []
    assert "'C-1'" not in repr([vars(part) for part in (world.recover.fold, world.state, world.state.agenda)])
    assert [name for name in world.recover.state if name.startswith(b"customer:")] == [b"customer:C-11"]
    assert [case["key"] for case in world.cases] == ["C-11"]
    world.restart()
    assert world.act("contact", "C-11", case_id=world.case["case_id"]) == ["contacted"]
    assert world.respond(2) == ["opened"]  # what comes afterwards is new
    assert "previous_score" not in world.case


def test_who_is_not_known_leaves_no_trace() -> None:
    world = World()
    world.respond(2, "C-2")
    before = dict(world.recover.state)
    assert forget(world, "C-1") == []
    assert world.recover.state == before
    action = b'{"action_id":"again","action":"forget","by":"privacy"}'
    world.recover.take(Record(b"C-1", action, 0, world.now, topic=PREFIX + topics.ACTIONS))
    assert world.recover.fold.checkpoint(world.now).state == []  # not even that the key is deleted


@pytest.mark.parametrize("score", [2, 9])
def test_what_is_deleted_at_the_platform_afterwards_brings_nobody_back(score: int) -> None:
    world = World()
    world.respond(2, "C-2")
    world.respond(score, name="gone")
    forget(world, "C-1")
    before = dict(world.recover.state)
    assert world.delete("gone") == []
    assert world.recover.state == before


def test_a_forgotten_case_does_nothing_by_itself_and_counts_no_more() -> None:
    world = World()
    world.respond(2)
    world.wait(25)
    assert gauges(world)["overdue_cases", "0"] == gauges(world)["cases", "0", "opened"] == 1
    forget(world, "C-1")
    assert set(gauges(world).values()) == {0}
    assert world.wait(24 * 8) == []


def gauges(world: World) -> dict[tuple[str, ...], float]:
    return world.recover.fold.gauges()


def test_a_bundle_goes_on_without_the_one_who_is_forgotten() -> None:
    world = World(Recovery(burst_alerts=2))
    for customer in ("C-8", "C-9", "C-1", "C-2", "C-3"):
        world.respond(5, customer, department="IT", **(PERSONAL_FIELDS if customer == "C-1" else {}))
    assert (world.case["kind"], world.case["key"], len(world.case["alert_ids"])) == ("bundle", "C-1", 3)
    world.act("note", comment="called her")

    written = forget(world, "C-1")
    (event,) = [output for output in written if output.topic == topics.SERVICE_RECOVERY]
    assert (event.key, json.loads(event.value or b"")["history"][-1]["reason"]) == (b"C-2", "forgotten")
    assert personal(*(part for output in written for part in (output.key, output.value))) == []
    assert personal(*kept(world)) == []
    bundle = world.case
    assert (bundle["key"], len(bundle["alert_ids"]), bundle["department"]) == ("C-2", 2, "IT")

    world.restart()
    forget(world, "C-3")
    assert (world.case["case_id"], world.case["key"], len(world.case["alert_ids"])) == (bundle["case_id"], "C-2", 1)
    assert world.act("acknowledge", "C-2") == ["acknowledged"]
    forget(world, "C-2")
    assert bundle["case_id"] not in {case["case_id"] for case in world.cases}


def test_a_bundle_forgets_the_comment_of_another_than_the_first() -> None:
    world = World(Recovery(burst_alerts=2))
    for customer in ("C-8", "C-9", "C-2", "C-1", "C-3"):
        world.respond(5, customer, name=customer, department="IT")
    world.delete("C-2")  # who began it
    world.respond(5, name="C-1", department="IT", **PERSONAL_FIELDS)
    assert (world.case["customer_id"], world.case["comment"], world.case["key"]) == (
        "C-1",
        PERSONAL_FIELDS["comment"],
        "C-2",
    )
    written = forget(world, "C-1")
    assert personal(*(part for output in written for part in (output.key, output.value))) == []
    assert personal(*kept(world)) == []
    assert world.case["kind"] == "bundle"


def test_who_answered_without_a_name_is_known_by_the_answer() -> None:
    world = World()
    world.respond(2, None, name="C-1", **PERSONAL_FIELDS)
    forget(world, "s/C-1")
    assert (world.cases, personal(*kept(world))) == ([], [])


def test_first_contacts_in_time_and_late_are_counted() -> None:
    world = World()
    world.respond(2)
    world.act("contact")
    world.respond(2, "C-2")
    world.wait(25)
    world.act("acknowledge", "C-2")
    world.act("resolve", "C-2", root_cause="no_complaint")
    counted = world.recover.fold.counters
    assert (counted["first_contact", "in_time"], counted["first_contact", "late"]) == (1, 1)
    assert gauges(world)["overdue_cases", "0"] == 0
    world.wait(24 * 7)
    assert gauges(world)["overdue_cases", "0"] == 2
    world.restart()
    assert gauges(world)["overdue_cases", "0"] == 2


def test_a_bundle_of_which_no_other_member_is_known_goes_too() -> None:
    world = World(Recovery(burst_alerts=1))
    for customer in ("C-0", "C-1", "C-2"):
        world.respond(5, customer, department="IT", **(PERSONAL_FIELDS if customer == "C-1" else {}))
    assert (world.case["kind"], world.case["key"], len(world.case["alert_ids"])) == ("bundle", "C-1", 2)
    for _ in range(101):  # of C-2 the alert is not remembered any more
        world.respond(7, "C-2")
    forget(world, "C-1")
    assert [case["key"] for case in world.cases] == ["C-0"]
    assert personal(*kept(world)) == []


def test_a_unit_of_work_reads_what_it_has_written() -> None:
    world = World()
    world.respond(2)
    work = UnitOfWork(world.state, CloudEvents("test", []), 0, world.now)
    assert work.customer("C-1").outcomes
    forget_customer(work, world.state, CONTENTS, "C-1")
    assert work.customer("C-1") == Customer()
    assert work.case(world.case["case_id"]) is None
    assert world.state.customers.get("C-1") is not None  # it is not applied
