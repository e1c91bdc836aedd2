"""What concerns very many cases at once is done in steps that one transaction holds, each case once, over restarts."""

from collections import Counter

from npsflow.schemas.response import MAX_COMMENT
from npsflow.schemas.times import DAY, HOUR
from npsflow.schemas.topics import CASES
from npsflow.streams.recovery.actions import MAX_STEP_BYTES
from npsflow.streams.recovery.settings import Recovery

from .recovering import World, header

MANY = 3 * MAX_STEP_BYTES // MAX_COMMENT
"""Cases of people who write as much as they can."""


def full(recovery: Recovery | None = None) -> World:
    world = World(recovery)
    for number in range(MANY):
        world.respond(2, f"C-{number}", comment="x" * MAX_COMMENT)
    return world


def in_steps(world: World) -> list[int]:
    """How much happens at each tick until nothing does, with a restart before each."""
    steps = list[int]()
    while True:
        world.restart()
        written = len(world.recover.committed)
        happened = world.wait(1 / 60)
        if not happened:
            return steps
        size = sum(len(o.value or b"") for o in world.recover.committed[written:] if o.topic == CASES)
        assert size < MAX_STEP_BYTES + 64 * MAX_COMMENT
        steps.append(len(happened))


def test_a_cause_of_very_many_cases_is_fixed_in_steps() -> None:
    world = full()
    for case in world.cases:
        world.act("resolve", case["key"], case_id=case["case_id"], root_cause="late", comment="c")
    before = len(world.events)
    first = world.act("fixed", root_cause="late", action_id="f", comment="mended")
    assert 0 < len(first) < MANY
    world.act("reopen", case_id=world.cases[-1]["case_id"])
    again = world.act("fixed", root_cause="late", action_id="f", comment="mended")
    steps = in_steps(world)
    assigned = Counter(
        header(e, "ce_subject") for e in world.events[before:] if header(e, "ce_type").endswith("assigned.v1")
    )
    assert len(steps) > 1
    assert len(first) + len(again) + sum(steps) == len(assigned)
    assert set(assigned.values()) == {1}
    waiting = {case["case_id"] for case in world.cases if case["status"] == "resolved"}
    assert waiting <= set(assigned)
    assert len(waiting) == MANY - 1
    assert {case["history"][-1]["by"] for case in world.cases if case["status"] == "resolved"} == {"anna"}
    assert not [key for key in world.recover.state if key.startswith(b"fixing:")]
    assert world.act("fixed", root_cause="late", action_id="f") == []


def test_what_is_due_after_a_long_rest_happens_in_steps() -> None:
    world = full(Recovery(keep_days=3))
    world.now += 20 * HOUR
    steps = in_steps(world)
    assert len(steps) > 1
    assert sum(steps) == MANY
    warned = Counter(header(e, "ce_subject") for e in world.events if header(e, "ce_type").endswith("warned.v1"))
    assert (len(warned), set(warned.values())) == (MANY, {1})
    for case in world.cases:
        world.act("close_loop", case["key"], case_id=case["case_id"])
    world.now += 4 * DAY
    for _ in range(MANY):
        if not world.cases:
            break
        left = len(world.cases)
        world.wait(1 / 60)
        assert 0 < left - len(world.cases) < MANY, "what is forgotten, too"
    assert world.cases == []


def test_customers_are_forgotten_some_at_a_time() -> None:
    world = World(Recovery(keep_days=1, remember_days=1))
    for number in range(6_000):
        world.respond(7, f"C-{number}")
    assert len(world.state.customers) == 6_000
    world.now += 3 * DAY
    world.wait(1 / 60)
    assert 0 < len(world.state.customers) < 6_000
    world.wait(1 / 60)
    assert len(world.state.customers) == 0
