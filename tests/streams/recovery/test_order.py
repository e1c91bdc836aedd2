"""Facts come from several topics, and nobody knows from which first: what is to be done in the end is the same."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npsflow.schemas import topics
from npsflow.schemas.times import HOUR
from npsflow.streams.recovery.settings import Recovery
from tests.streams.folding import Record

from .recovering import NOW, PREFIX, World

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
    assert [saying(case) for case in recoveries(other)] == [saying(case) for case in recoveries(straight)]
    good = {f"s/{name}" for name, score in dict(steps).items() if score is not None and score > 6}
    for world in (straight, other):
        assert {by for _, by in recovery_cases(world, "improved_by")} <= good | {None}, (
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
    assert world.respond(10) == ["won_back", "opened"]


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
@given(scores=st.lists(st.sampled_from([1, 4, 6, 8, 9]), max_size=5), choices=st.lists(st.booleans(), max_size=10))
def test_without_corrections_more_of_it_is_the_same(scores: list[int], choices: list[bool]) -> None:
    straight, other = both([(f"r{number}", score) for number, score in enumerate(scores)], choices)
    assert open_asks(other) == open_asks(straight)


def both(steps: list[tuple[str, int | None]], choices: list[bool]) -> tuple[World, World]:
    straight, other = unread(steps), unread(steps)
    assert straight.held is not None
    straight.feed(straight.held)
    other.feed(interleaved(straight.held, choices))
    return straight, other


WORDS = (
    "severity",
    "reasons",
    "previous_score",
    "score",
    "comment",
    "message",
    "newest",
    "worst",
    "owner",
    "improved_by",
)


def saying(case: dict[str, Any]) -> dict[str, Any]:
    """What a case says of its answers, but for when npsflow learnt it."""
    return {name: case.get(name) for name in WORDS}


def recoveries(world: World) -> list[dict[str, Any]]:
    """Those of which alerts stand: what was taken back stays as it was in a closed case."""
    return sorted(
        (case for case in world.cases if case["kind"] == "recovery" and case.get("alert_ids")),
        key=lambda case: str(case["case_id"]),
    )


class Given(NamedTuple):
    """A response: what it says first and later (None: it is deleted), in which metric, and about what."""

    scores: list[int | None]
    metric: str
    department: str
    comment: str | None

    def unhappy(self, score: int) -> bool:
        return score <= {"nps": 6, "csat": 2}[self.metric]


def givens() -> st.SearchStrategy[Given]:
    def of(metric: str, scores: list[int]) -> st.SearchStrategy[Given]:
        versions = st.lists(st.sampled_from([*scores, None]), min_size=1, max_size=3)
        about = st.sampled_from(["IT", "HR"]), st.sampled_from([None, "slow"])
        return st.builds(Given, versions, st.just(metric), *about)

    return st.one_of(of("nps", [0, 3, 6, 8, 10]), of("csat", [1, 2, 5]))


@settings(max_examples=150, deadline=None)
@given(given=st.lists(givens(), min_size=1, max_size=5), data=st.data())
def test_whatever_the_order_of_arrival_a_case_says_what_stands_in_the_end(
    given: list[Given], data: st.DataObject
) -> None:
    """Response `n` was given in the n-th hour; versions of one come in their order, all else does not."""
    arrivals = data.draw(st.permutations([number for number, one in enumerate(given) for _ in one.scores]))
    world, left = World(Recovery(ask_every_days=0)), [list(one.scores) for one in given]
    sent = set[int]()
    for number in arrivals:
        one, score = given[number], left[number].pop(0)
        world.now += 1000
        if score is not None:
            sent.add(number)
            more: dict[str, Any] = {"comment": one.comment} if one.comment else {}
            at = NOW - (len(given) - number) * HOUR
            world.respond(score, name=f"r{number}", metric=one.metric, department=one.department, submitted=at, **more)
        elif number in sent:
            world.delete(f"r{number}")
    standing = [(number, one, one.scores[-1]) for number, one in enumerate(given)]
    expected = said_of([(number, one, score) for number, one, score in standing if score is not None])
    found = [case for case in at_work(world) if case["kind"] == "recovery"]
    assert [found_in(case) for case in found] == ([expected] if expected else [])


def found_in(case: dict[str, Any]) -> tuple[Any, ...]:
    answers = [(case[name]["response_id"], case[name]["severity"], case[name].get("comment")) for name in SHOWN]
    asks, promoter = "?" in case["message"], "was_promoter" in case["reasons"]
    what = len(case["alert_ids"]), case["score"], case.get("previous_score"), promoter, case["severity"], asks
    return (*answers, *what, case.get("improved_by"))


SHOWN = ("newest", "worst")


def said_of(standing: list[tuple[int, Given, int]]) -> tuple[Any, ...] | None:
    """The same by brute force, from what was answered in the end; None where nobody is unhappy."""

    def before(number: int, metric: str) -> int | None:
        return next((s for n, one, s in reversed(standing) if n < number and one.metric == metric), None)

    def severity(number: int, one: Given, score: int) -> int:
        if one.metric == "csat":
            return 2 if score == 1 else 0
        own = 2 if score <= 2 else 1 if score <= 4 else 0
        return max(own, 1) if (before(number, "nps") or 0) >= 9 else own

    unhappy = [each for each in standing if each[1].unhappy(each[2])]
    if not unhappy:
        return None

    def badness(each: tuple[int, Given, int]) -> tuple[float, ...]:
        low, high = {"nps": (0, 10), "csat": (1, 5)}[each[1].metric]
        return -severity(*each), (each[2] - low) / (high - low), each[0]

    worst, newest = min(unhappy, key=badness), unhappy[-1]
    answers = [
        (f"r{each[0]}", ("medium", "high", "critical")[severity(*each)], each[1].comment) for each in (newest, worst)
    ]
    was = before(worst[0], worst[1].metric)
    promoter = worst[1].metric == "nps" and was is not None and was >= 9
    better = list[int]()
    for metric, department in {(one.metric, one.department) for _, one, _ in unhappy}:
        last = max(n for n, one, _ in unhappy if (one.metric, one.department) == (metric, department))
        good = [n for n, one, s in standing if n > last and (one.metric, one.department) == (metric, department)]
        better += good[:1] or [-1]
    improved = None if -1 in better else f"s/r{max(better)}"
    asks = not any(one.comment for _, one, _ in unhappy)
    what = len(unhappy), worst[2], was, promoter, answers[1][1], asks
    return (*answers, *what, improved)


def recovery_cases(world: World, *names: str) -> list[tuple[Any, ...]]:
    found = [
        (case["case_id"], *(case.get(name) for name in names)) for case in world.cases if case["kind"] == "recovery"
    ]
    return sorted(found, key=str)


def open_asks(world: World) -> list[str]:
    return [case["follow_up_id"] for case in at_work(world) if case["kind"] == "ask"]


def cooled_down(closed: int, suppressed: int) -> World:
    """A world in which a loop was closed just now, and an unhappy answer of the same customer opened no case."""
    world = World()
    world.respond(closed)
    world.act("close_loop")
    world.now += HOUR
    assert world.respond(suppressed, name="r2", comment="again") == ["suppressed"]
    world.now += 60_000
    return world


@pytest.mark.parametrize("restarted", [False, True])
def test_an_earlier_answer_that_comes_late_lifts_the_cooldown_of_an_alert_that_it_makes_worse(restarted: bool) -> None:
    world = cooled_down(closed=5, suppressed=6)
    if restarted:
        world.restart()
    assert world.respond(9, submitted=NOW + 1, survey_id="other") == ["opened", "suppressed"]
    assert (world.case["severity"], world.case["previous_score"], world.case["comment"]) == ("high", 9, "again")
    assert world.case["reasons"] == ["detractor", "was_promoter"]
    assert len(at_work(world)) == 1, "who has a case is asked nothing"


def test_an_answer_that_is_taken_back_lifts_the_cooldown_too() -> None:
    world = World(Recovery(ask_every_days=0))
    world.respond(2, metric="csat")
    world.act("close_loop")
    world.respond(9, submitted=NOW - 2)
    world.respond(7, name="r7")
    world.now += 60_000
    assert world.respond(6) == ["suppressed"]
    assert "opened" in world.delete("r7")
    (case,) = at_work(world)
    assert (case["severity"], case["previous_score"]) == ("high", 9)


def test_the_cooldown_stands_where_the_alert_is_no_worse_than_what_was_closed() -> None:
    world = cooled_down(closed=1, suppressed=6)
    world.respond(9, submitted=NOW + 1, survey_id="other")
    assert [case["kind"] for case in at_work(world)] == ["ask"]


def test_what_is_known_of_a_suppressed_alert_is_what_came_last() -> None:
    world = cooled_down(closed=5, suppressed=6)
    world.respond(6, name="r2", comment="in other words", submitted=NOW + HOUR)
    world.respond(9, submitted=NOW + 1)
    assert (world.case["severity"], world.case["comment"]) == ("high", "in other words")


@pytest.mark.parametrize("end", ["delete", "forget", "age"])
def test_a_suppressed_alert_is_kept_no_longer_than_its_customer_is_remembered(end: str) -> None:
    world = cooled_down(closed=5, suppressed=6)
    kept = len(world.state.alerts)
    if end == "delete":
        world.delete("r2")
    elif end == "forget":
        world.act("forget", case_id=None)
    else:
        world.now += 500 * 24 * HOUR
        while world.recover.fold.idle(world.now):
            world.recover.commit(world.now)
    assert len(world.state.alerts) == (kept - 1 if end == "delete" else 0)
