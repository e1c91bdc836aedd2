"""A month of cases under a clock that is turned by hand, and a team that does not do everything."""

import json
from collections import defaultdict
from random import Random
from typing import Any

from npsflow.schemas.times import DAY, HOUR, MINUTE, from_rfc3339
from npsflow.streams.recovery.settings import Escalation, Recovery

from .recovering import NOW, World, header

BY_ITSELF = ("warned", "breached", "escalated")
VERBS = ("acknowledge", "contact", "resolve", "close_loop", "note", "assign")


def month(seed: int) -> World:
    """Forty customers who answer now and then, a team that acts on half of its cases, a restart every night."""
    random, world = Random(seed), World(Recovery(escalations=[Escalation("lead", at=1.5)]))
    for _ in range(30):
        end_of_day = world.now + DAY
        while world.now < end_of_day:
            world.wait(random.uniform(0.2, 3))
            world.respond(random.choice((0, 2, 3, 5, 6, 8, 9, 10)), f"C-{random.randrange(40)}")
            open_cases = [case for case in world.cases if case["status"] not in ("loop_closed", "closed")]
            if open_cases and random.random() < 0.5:
                case = random.choice(open_cases)
                verb = "done" if case["kind"] == "ask" else random.choice(VERBS)
                more = {"case_id": case["case_id"], "comment": "c", "root_cause": "r", "assignee": "ben"}
                world.act(verb, case["key"], **more)
        world.restart()
    return world


def test_a_month_of_cases() -> None:
    world = month(3)
    happened: defaultdict[str, list[tuple[str, int, dict[str, Any]]]] = defaultdict(list)
    for event in world.events:
        value = json.loads(event.value or b"")
        if "history" in value:
            what, at = header(event, "ce_type").split(".")[2], from_rfc3339(header(event, "ce_time"))
            happened[value["case_id"]].append((what, at, value))
    assert len(happened) > 50
    assert world.now > NOW + 30 * DAY
    seen = {what for events in happened.values() for what, _, _ in events}
    assert {"opened", "joined", "reopened", "won_back", "loop_closed", *BY_ITSELF} <= seen
    for events in happened.values():
        assert [value["revision"] for _, _, value in events] == sorted({v["revision"] for _, _, v in events})
        since: dict[str, int] = {}
        was: dict[str, Any] = {}
        for what, at, value in events:
            if what in ("opened", "reopened"):
                since = {}
            if what in BY_ITSELF:
                reason = value["history"][-1]["reason"]
                name = what + reason
                assert was["status"] not in ("loop_closed", "closed"), "nothing is warned of that is over"
                assert name not in since, "each step once"
                assert reason == "finish_by" or was["status"] in ("opened", "reopened", "acknowledged")
                since[name] = at
                due = from_rfc3339(was["finish_by" if reason == "finish_by" else "due_at"])
                if what == "breached":
                    assert due <= at <= due + MINUTE
                if what == "warned":
                    assert due - 6 * HOUR <= at <= due - 6 * HOUR + MINUTE
            was = value
    late = {case["case_id"] for case in world.cases if case["kind"] == "recovery" and overdue(case, world.now)}
    assert late, "it does not do everything"
    for case_id in late:
        assert "breached" in [what for what, _, _ in happened[case_id]]


def overdue(case: dict[str, Any], now: int) -> bool:
    return case["status"] in ("opened", "reopened", "acknowledged") and from_rfc3339(case["due_at"]) < now - MINUTE
