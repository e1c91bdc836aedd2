"""Actions of producers with another partitioner: done once, by the task of their customer, as of when they came."""

import json
from collections.abc import Sequence

import pytest

from npsflow.schemas import topics
from npsflow.schemas.headers import ORIGIN
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import HOUR, MINUTE
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.settings import Recovery, clock_of
from npsflow.streams.recovery.stage import Recover
from npsflow.streams.stage import Output
from tests.streams.folding import Record, Task

from .recovering import NOW, PREFIX, SOURCE, World, header

KEY, PARTITIONS = b"C-1", 4
RIGHT = partition_of(KEY, PARTITIONS)
WRONG = (RIGHT + 1) % PARTITIONS


def tasks() -> list[Task]:
    stage = Recover(Policy(Recovery(), clock_of(Recovery())), SOURCE, PREFIX)
    return [Task(stage, partition, PARTITIONS) for partition in range(PARTITIONS)]


def read(
    task: Task, topic: str, value: bytes | None, at: int, headers: Sequence[tuple[str, bytes]] = ()
) -> list[Output]:
    task.take(Record(KEY, value, task.next, at, list(headers), partition=task.partition, topic=PREFIX + topic))
    return task.commit(at)


def action(**fields: str) -> bytes:
    return json.dumps({"action_id": "do-1", "by": "anna"} | fields).encode()


def opened(task: Task) -> str:
    """The id of a case of KEY."""
    world = World()
    world.held = []
    world.respond(2, KEY.decode())
    (alert,) = world.held
    written = read(task, topics.SERVICE_RECOVERY, alert.value, NOW, alert.headers)
    (case,) = cases(written)
    return (case.key or b"").decode()


def cases(written: Sequence[Output]) -> list[Output]:
    return [output for output in written if output.topic == topics.CASES]


@pytest.mark.parametrize("restart", [False, True])
def test_an_action_is_forwarded_once_and_done_as_of_when_it_came(restart: bool) -> None:
    all_tasks = tasks()
    case_id = opened(all_tasks[RIGHT])
    value = action(action="acknowledge", case_id=case_id)
    (sent,) = read(all_tasks[WRONG], topics.ACTIONS, value, NOW + MINUTE, [("trace", b"x")])
    assert (sent.topic, sent.partition, sent.key, sent.value) == (topics.ACTIONS, RIGHT, KEY, value)
    assert dict(sent.headers) == {"trace": b"x", ORIGIN: b"%d %d 0" % (NOW + MINUTE, WRONG)}
    if restart:
        for task in all_tasks:
            task.restore()
    done = read(all_tasks[RIGHT], topics.ACTIONS, value, NOW + HOUR, sent.headers)
    (event,) = [output for output in done if output.topic == topics.SERVICE_RECOVERY]
    assert header(event, "ce_type") == "npsflow.case.acknowledged.v1"
    assert json.loads(event.value or b"")["history"][-1]["at"] == header(event, "ce_time")
    assert header(event, "ce_time").startswith("2026-03-02T09:01:00")
    assert not [o for o in read(all_tasks[RIGHT], topics.ACTIONS, value, NOW + HOUR) if o.topic == topics.ACTIONS]
    counted = [task.fold.counters for task in all_tasks]
    assert (counted[WRONG]["recover", "forwarded"], counted[WRONG]["recover", "action"]) == (1, 0)
    assert (counted[RIGHT]["recover", "forwarded"], counted[RIGHT]["recover", "action"]) == (0, 2)


def test_a_customer_is_forgotten_whichever_partition_says_so() -> None:
    all_tasks = tasks()
    opened(all_tasks[RIGHT])
    (sent,) = read(all_tasks[WRONG], topics.ACTIONS, action(action="forget"), NOW + MINUTE)
    (case,) = cases(read(all_tasks[RIGHT], topics.ACTIONS, sent.value, NOW + MINUTE, sent.headers))
    assert case.value is None


@pytest.mark.parametrize("forwarded_from", [WRONG, (WRONG + 1) % PARTITIONS])
def test_what_was_forwarded_is_not_forwarded_again(forwarded_from: int) -> None:
    """The count of partitions may have been another: it ends here, and not in a circle."""
    task = tasks()[WRONG]
    headers = [(ORIGIN, b"%d %d 7" % (NOW, forwarded_from))]
    written = read(task, topics.ACTIONS, action(action="acknowledge", case_id="c-1"), NOW, headers)
    assert [header(output, "ce_type") for output in written] == ["npsflow.case.action_refused.v1"]


def test_what_goes_to_every_partition_and_what_is_no_action_stays() -> None:
    task = tasks()[WRONG]
    assert not read(task, topics.ACTIONS, action(action="fixed", root_cause="late"), NOW)
    (letter,) = read(task, topics.ACTIONS, b"{", NOW)
    assert letter.topic == topics.DEAD_LETTERS
