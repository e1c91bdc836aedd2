"""The states of a task: what leads from one to another, and what is refused."""

import json
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka.errors import KafkaConnectionError

from npsflow.schemas import topics
from npsflow.schemas.errors import TransactionFailed
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.changelog import Position
from npsflow.streams.engine.observer import CommitFailed, Committed, Folded, TaskId
from npsflow.streams.engine.task import IllegalTransition, Task, TaskState
from npsflow.streams.stage import PAUSE
from tests.strategies import own_key
from tests.streams.engine.tasks import Acknowledged, Clock, Events, context, new_task
from tests.streams.folding import Record
from tests.support.responses import response

Move = Callable[[Task], object]


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
async def task(events: Events) -> AsyncIterator[Task]:
    """A new one."""
    task = new_task(context(Classify(Settings().classify_settings("npsflow/t.", 1)), observer=events), Clock())
    yield task
    await task.transaction.stop()


def fold(task: Task) -> None:
    value = json.dumps(response(score=2)).encode()
    position = task.position.offsets.get(topics.RESPONSES, 0)
    task.process(topics.RESPONSES, [Record(own_key(value), value, position)], position + 1)


def renew(task: Task) -> None:
    task.renew(task.transaction)


def start_paused(task: Task) -> None:
    task.start(Position({topics.RESPONSES: 0}, asks=PAUSE))


def start(task: Task) -> None:
    task.start(Position({topics.RESPONSES: 0}))


WAYS: dict[TaskState, list[Move]] = {
    TaskState.NEW: [],
    TaskState.RUNNING: [start],
    TaskState.PAUSED: [start_paused],
    TaskState.KEPT: [start, Task.keep],
    TaskState.CLOSED: [Task.close],
}
"""How each state is reached."""

LEGAL: dict[Move, dict[TaskState, TaskState]] = {
    start: {TaskState.NEW: TaskState.RUNNING},
    Task.keep: {TaskState.RUNNING: TaskState.KEPT, TaskState.PAUSED: TaskState.KEPT},
    renew: {TaskState.KEPT: TaskState.RUNNING},
    Task.accept: {TaskState.PAUSED: TaskState.RUNNING},
    fold: {TaskState.RUNNING: TaskState.RUNNING},
    Task.close: dict.fromkeys(TaskState, TaskState.CLOSED),
}


@pytest.mark.parametrize("state", TaskState)
@pytest.mark.parametrize("move", LEGAL)
def test_every_transition_is_legal_or_refused(task: Task, move: Move, state: TaskState) -> None:
    for way in WAYS[state]:
        way(task)
    assert task.state is state
    if (after := LEGAL[move].get(state)) is not None:
        move(task)
        assert task.state is after
    else:
        with pytest.raises(IllegalTransition):
            move(task)
        assert task.state is state


@pytest.mark.parametrize("state", [TaskState.NEW, TaskState.KEPT, TaskState.CLOSED])
async def test_only_an_active_task_commits(task: Task, state: TaskState) -> None:
    for way in WAYS[state]:
        way(task)
    with pytest.raises(IllegalTransition):
        await task.commit()


def test_a_paused_task_is_paused_after_a_rebalance_as_before(task: Task) -> None:
    start_paused(task)
    task.keep()
    renew(task)
    assert task.paused


def test_a_dirty_task_is_not_kept(task: Task) -> None:
    start(task)
    fold(task)
    with pytest.raises(IllegalTransition, match="dirty"):
        task.keep()


async def test_a_committing_task_is_not_kept(task: Task) -> None:
    start(task)
    fold(task)
    assert isinstance(task.transaction, Acknowledged)
    refused = []

    def try_to_keep() -> None:
        assert (task.dirty, task.committing) == (False, True)
        with pytest.raises(IllegalTransition, match="committing"):
            task.keep()
        refused.append(task.state)

    task.transaction.before = try_to_keep
    await task.commit()
    assert refused == [TaskState.RUNNING]
    assert (task.dirty, task.committing) == (False, False)
    task.keep()


async def test_a_commit_that_fails_closes_the_task(task: Task, events: Events) -> None:
    start(task)
    fold(task)
    assert isinstance(task.transaction, Acknowledged)
    task.transaction.error = KafkaConnectionError("gone")
    with pytest.raises(TransactionFailed, match="gone"):
        await task.commit()
    assert task.closed
    assert [type(event) for event in events.all] == [Folded, CommitFailed]


async def test_observers_hear_of_batches_and_commits(task: Task, events: Events) -> None:
    start(task)
    fold(task)
    await task.commit()
    folded, committed = events.all
    assert folded == Folded(TaskId("classify", 0), topics.RESPONSES, 1)
    assert isinstance(committed, Committed)
    assert committed.counters["", "counted"] == 1
    assert committed.urgent_age == 0


def test_what_was_fetched_before_a_rebalance_is_of_another_epoch(task: Task) -> None:
    start(task)
    task.mark_sent(topics.RESPONSES, 7)
    assert (task.next_offset(topics.RESPONSES), task.in_flight(topics.RESPONSES)) == (7, True)
    epoch = task.epoch
    task.keep()
    renew(task)
    assert task.epoch > epoch
    assert (task.next_offset(topics.RESPONSES), task.in_flight(topics.RESPONSES)) == (0, False)
