"""However long its history, a case stays one record, and an action is known to have been done."""

import json

import pytest

from npsflow.schemas.response import MAX_COMMENT, MAX_IDENTIFIER
from npsflow.schemas.topics import CASES, MAX_INPUT, MAX_RECORD
from tests.streams.recovery.recovering import World

ENTRIES = 200


@pytest.mark.long
def test_a_case_stays_a_record_however_much_is_said() -> None:
    world = World()
    world.respond(2, answers=[{"topic": "t", "text": "x" * 16_000}] * (MAX_INPUT // 16_500))
    case_id, longest = world.case["case_id"], "\N{PILE OF POO}" * MAX_IDENTIFIER
    names = [f"{number:03}{longest}"[:MAX_IDENTIFIER] for number in range(ENTRIES + 10)]
    for name in names:
        world.act("note", comment="\x01" * MAX_COMMENT, by=longest, action_id=name, case_id=case_id)
    written = [output.value or b"" for output in world.recover.committed]
    assert max(map(len, written)) < MAX_RECORD
    history = world.case["history"]
    assert [entry["action_id"] for entry in history] == names[-ENTRIES:]
    assert [len(entry.get("comment", "")) for entry in history[-3:]] == [MAX_COMMENT] * 3
    assert "comment" not in history[0]
    assert world.act("note", comment="again", action_id=names[-ENTRIES], case_id=case_id) == []


def test_what_is_usual_is_kept_whole() -> None:
    world = World()
    world.respond(2)
    case_id = world.case["case_id"]
    for _ in range(ENTRIES - 1):
        world.act("note", comment="said " * 400, case_id=case_id)
    last = [output.value or b"" for output in world.recover.committed if output.topic == CASES][-1]
    assert len([entry for entry in json.loads(last)["history"] if entry.get("comment")]) == ENTRIES - 1


@pytest.mark.long
def test_what_is_refused_displaces_nothing_that_was_done() -> None:
    world = World()
    world.respond(2)
    world.act("contact", comment="called", action_id="first")
    for number in range(ENTRIES + 10):
        world.act("contact", comment="\x01" * MAX_COMMENT, action_id=f"late {number}")
    history = world.case["history"]
    assert [entry["what"] for entry in history[:2]] == ["opened", "contacted"]
    assert history[1]["comment"] == "called"
    assert history[-1]["action_id"] == f"late {ENTRIES + 9}", "who waits for it is answered"
    assert len(history) < ENTRIES
    assert world.act("contact", action_id="first") == []
