"""Facts come from several topics, and nobody knows from which first: what is to be done in the end is the same."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npsflow.schemas import topics
from npsflow.streams.recovery.policy import is_worse
from tests.streams.folding import Record

from .recovering import PREFIX, World

STEPS = st.lists(st.tuples(st.sampled_from(["r1", "r2", "r3"]), st.sampled_from([1, 4, 6, 8, 9, None])), max_size=8)
"""Responses of one customer, each as it was answered or corrected; None: it was deleted."""


def unread(steps: Iterable[tuple[str, int | None]]) -> World:
    """A world in which classify has read them, and recover has read nothing of what classify wrote."""
    world = World()
    world.held = []
    submitted: dict[str, int] = {}
    for name, score in steps:
        world.now += 60_000
        if score is not None:
            world.respond(score, name=name, submitted=submitted.setdefault(name, world.now))
        elif name in submitted:
            world.delete(name)
    return world


def interleaved(facts: list[Record], choices: Iterable[bool]) -> list[Record]:
    """Each topic in its order; a choice says from which the next one comes."""
    of = {
        topic: [fact for fact in facts if fact.topic == PREFIX + topic]
        for topic in (topics.SERVICE_RECOVERY, topics.FOLLOW_UP)
    }
    found = []
    for choice in choices:
        first, other = of.values() if choice else reversed(of.values())
        if first or other:
            found.append((first or other).pop(0))
    return found + [fact for left in of.values() for fact in left]


def at_work(world: World) -> list[dict[str, Any]]:
    return [case for case in world.cases if not case.get("ended_at")]


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, choices=st.lists(st.booleans(), max_size=40))
def test_in_whatever_order_topics_are_read_the_same_cases_are_open(
    steps: list[tuple[str, int | None]], choices: list[bool]
) -> None:
    straight, other = both(steps, choices)
    for world in (straight, other):
        assert len(at_work(world)) <= 1, "who has a case is asked nothing"
    assert recovery_cases(other, "status", "alert_ids") == recovery_cases(straight, "status", "alert_ids")
    good = {f"s/{name}" for name, score in dict(steps).items() if score is not None and score > 6}
    for world in (straight, other):
        assert {by for _, by in recovery_cases(world, "won_back_by")} <= good | {None}, (
            "nobody is won back by what was taken back"
        )


@pytest.mark.parametrize("follow_up_first", [False, True])
def test_an_answer_that_is_corrected_upwards_is_an_ask_and_no_case(follow_up_first: bool) -> None:
    world = unread([("r1", 2), ("r1", 9)])
    assert world.held is not None
    world.feed(sorted(world.held, key=lambda fact: (fact.topic == PREFIX + topics.FOLLOW_UP) != follow_up_first))
    assert [case["kind"] for case in at_work(world)] == ["ask"]
    world.held = None
    world.now += 60_000
    world.respond(6)
    (case,) = at_work(world)
    assert (case["kind"], case["previous_score"], case["severity"]) == ("recovery", 9, "high")


@pytest.mark.parametrize("case_first", [False, True])
def test_who_has_a_case_is_asked_nothing_and_may_be_asked_afterwards(case_first: bool) -> None:
    world = unread([("r1", 2), ("r2", 9)])
    assert world.held is not None
    world.feed(world.held if case_first else reversed(world.held))
    (case,) = at_work(world)
    assert (case["kind"], "improved_at" in case) == ("recovery", True)
    if not case_first:
        assert [ask["history"][-1]["reason"] for ask in world.cases if ask["kind"] == "ask"] == ["case_open"]
    world.held = None
    world.act("close_loop", case_id=case["case_id"])
    world.now += 60_000
    assert world.respond(10) == ["opened"]


@pytest.mark.parametrize("verb", ["resolve", "close_loop"])
@pytest.mark.parametrize("action_first", [False, True])
def test_who_is_unhappy_after_it_was_done_has_an_open_case(verb: str, action_first: bool) -> None:
    world = World()
    world.respond(4)
    fields = {"action_id": "1", "action": verb, "by": "anna", "root_cause": "late", "comment": "refunded"}
    value = json.dumps(fields | {"case_id": world.case["case_id"]}).encode()
    world.now += 60_000
    action = Record(b"C-1", value, 0, world.now, topic=PREFIX + topics.ACTIONS)
    world.now += 60_000
    world.held = []
    world.respond(1)
    (alert,) = world.held
    world.feed([action, alert] if action_first else [alert, action])
    (case,) = at_work(world)
    assert (case["severity"], "resolved_at" in case) == ("critical", False)
    action.timestamp = world.now
    world.feed([action])  # the same action once more counts once
    assert len(at_work(world)) == 1


@settings(max_examples=300, deadline=None)
@given(scores=st.lists(st.sampled_from([1, 4, 6, 8, 9]), max_size=3), choices=st.lists(st.booleans(), max_size=10))
def test_without_corrections_more_of_it_is_the_same(scores: list[int], choices: list[bool]) -> None:
    """Of three answers: two are remembered, besides the one that is read."""
    straight, other = both([(f"r{number}", score) for number, score in enumerate(scores)], choices)
    for name in ("status", "alert_ids", "previous_score"):
        assert recovery_cases(other, name) == recovery_cases(straight, name)
    for (_, as_read), (_, in_order) in zip(
        recovery_cases(other, "severity"), recovery_cases(straight, "severity"), strict=True
    ):
        assert as_read == in_order or is_worse(as_read, in_order), "who was a promoter is not overlooked"
    assert open_asks(other) == open_asks(straight)


def both(steps: list[tuple[str, int | None]], choices: list[bool]) -> tuple[World, World]:
    straight, other = unread(steps), unread(steps)
    assert straight.held is not None
    straight.feed(straight.held)
    other.feed(interleaved(straight.held, choices))
    return straight, other


def recovery_cases(world: World, *names: str) -> list[tuple[Any, ...]]:
    found = [
        (case["case_id"], *(case.get(name) for name in names)) for case in world.cases if case["kind"] == "recovery"
    ]
    return sorted(found, key=str)


def open_asks(world: World) -> list[str]:
    return [case["follow_up_id"] for case in at_work(world) if case["kind"] == "ask"]
