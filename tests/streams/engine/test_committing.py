"""What paces commits, and what they consist of, as far as that needs no broker."""

import itertools
import json
from collections.abc import AsyncIterator

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from npsflow.schemas import topics
from npsflow.schemas.deltas import TICK, decode_tick
from npsflow.schemas.times import MINUTE
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.sections import DeadLetters
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.changelog import Changelog
from npsflow.streams.engine.clock import BrokerClock
from npsflow.streams.engine.committer import CommitRateLimit
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.metrics import Metrics
from npsflow.streams.engine.task import Task
from npsflow.streams.engine.transaction import Outputs, Transaction, Written
from npsflow.streams.stage import Emit, Fold, Output
from tests.strategies import NOW, own_key
from tests.streams.folding import Record
from tests.support.responses import response

WHERE = Installation(prefix="t.")


class Clock(BrokerClock):
    """The broker's clock, turned by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        super().__init__(lambda: self.seconds, lambda: 0.0)
        self.learn(NOW)


@pytest.fixture
async def transaction() -> AsyncIterator[Transaction]:
    """Never started: batches are made without a broker."""
    made = Transaction("t.id", "t.group", {"bootstrap_servers": "127.0.0.1:1"})
    yield made
    await made.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def task(transaction: Transaction, clock: Clock) -> Task:
    stage = Classify(Settings().classify_settings("npsflow/t.", 1))
    changelog = Changelog(WHERE, stage, 0, {topics.RESPONSES: 1})
    return Task(
        0, lambda emit: stage.open(0, 1, emit), changelog, transaction, Metrics(CollectorRegistry(), [stage]), clock
    )


def records(*values: bytes, timestamp: int = NOW) -> list[Record]:
    return [Record(own_key(value), value, offset, timestamp) for offset, value in enumerate(values)]


def score(answer: int) -> bytes:
    return json.dumps(response(score=answer)).encode()


# Pacer


def test_slots_are_apart_whoever_asks_and_free_when_nobody_has() -> None:
    commit_rate = CommitRateLimit(40)
    starts = [now + commit_rate.claim(now) for now in (100.0, 100.0, 100.01, 100.02, 200.0)]
    assert starts == pytest.approx([100.0, 100.025, 100.05, 100.075, 200.0])
    assert all(later - earlier >= 0.025 - 1e-9 for earlier, later in itertools.pairwise(starts))


# Broker's clock


def test_the_clock_is_ours_until_the_broker_was_heard() -> None:
    seconds = 50.0
    clock = BrokerClock(lambda: seconds, lambda: 1000.0)
    assert (clock.now(), clock.known) == (1_000_000, False)
    clock.learn(-1)
    assert (clock.now(), clock.known) == (1_000_000, False)
    clock.learn(NOW)
    seconds = 51.5
    assert (clock.now(), clock.known) == (NOW + 1500, True)


# When a task commits


def test_nothing_to_commit_waits_calmly(task: Task) -> None:
    assert task.wait() == 1.0
    assert task.dirty_since is None


def test_without_an_alert_a_commit_is_due_a_second_after_the_first_record(task: Task, clock: Clock) -> None:
    task.process(topics.RESPONSES, records(score(9)), 1)
    assert task.wait() == pytest.approx(1.0)
    clock.seconds += 0.4
    task.process(topics.RESPONSES, records(score(8)), 2)
    assert task.wait() == pytest.approx(0.6)
    clock.seconds += 5
    assert task.wait() == 0


def test_an_alert_is_due_in_a_tenth_of_a_second(task: Task, clock: Clock) -> None:
    task.process(topics.RESPONSES, records(score(9), score(2)), 2)
    assert task.wait() == pytest.approx(0.1)
    clock.seconds += 0.09
    assert task.wait() == pytest.approx(0.01)


@pytest.mark.parametrize(("age", "wait"), [(0.0, 0.1), (1.0, 0.1), (5.0, 0.5), (60.0, 1.0)])
def test_an_alert_that_is_old_already_waits_a_tenth_of_its_age(task: Task, age: float, wait: float) -> None:
    task.process(topics.RESPONSES, records(score(2), timestamp=NOW - int(age * 1000)), 1)
    assert task.wait() == pytest.approx(wait)


def test_the_position_is_behind_the_last_record_or_the_one_that_pauses(task: Task) -> None:
    task.process(topics.RESPONSES, records(score(9), score(8)), 7)
    assert task.position.offsets == {topics.RESPONSES: 7}


def test_the_position_is_behind_the_record_that_pauses(transaction: Transaction, clock: Clock) -> None:
    """A thousand records, most of them refused: the one after them is read when a person has accepted."""
    stage = Classify(Settings(dead_letters=DeadLetters(pause=True)).classify_settings("npsflow/t.", 1))
    changelog = Changelog(WHERE, stage, 0, {topics.RESPONSES: 1})
    task = Task(
        0, lambda emit: stage.open(0, 1, emit), changelog, transaction, Metrics(CollectorRegistry(), [stage]), clock
    )
    task.process(topics.RESPONSES, records(*[b"{"] * 1001), 1001)
    assert task.paused
    assert task.position.offsets == {topics.RESPONSES: 1000}


def test_what_a_commit_releases_may_be_deleted_only_when_it_is_there(task: Task) -> None:
    """Else a crash between the two leaves a log that lacks what the last position needs."""
    changelog = task.changelog
    changelog.logged(0, 1)  # needed until a time that is long past
    task.process(topics.RESPONSES, records(score(9)), 1)
    prepared = task._prepare()
    assert (changelog.log_range, changelog.released) == ((1, 1), 0)
    assert changelog.log
    task._committed(prepared, {tp: Written(2, NOW) for tp in (changelog.state, changelog.log)})
    assert (changelog.log_range, changelog.released) == ((1, 2), 1)


def test_the_end_of_a_rebuild_tells_the_last_time_there_was(transaction: Transaction, clock: Clock) -> None:
    """Ticks are a second apart, and after a replay nobody waits for the next one."""
    stage, told = Classify(Settings(idle_ticks=False).classify_settings("npsflow/t.", 1)), list[int]()

    def opened(emit: Emit) -> Fold:
        def noting(output: Output) -> None:
            if output.key == TICK and output.partition == 0:
                told.append(decode_tick(output.value or b""))
            emit(output)

        return stage.open(0, 1, noting)

    changelog = Changelog(WHERE, stage, 0, {topics.RESPONSES: 1}, rebuilding=True)
    task = Task(0, opened, changelog, transaction, Metrics(CollectorRegistry(), [stage]), clock)
    for minute in (1, 2):
        value = json.dumps(response(str(minute), 9, submitted_at=f"2026-03-01T15:0{minute}:00Z")).encode()
        task.process(topics.RESPONSES, records(value), minute)
        task._prepare()
    assert told == [NOW - 6 * MINUTE]
    task.end_rebuild()
    assert told[1:] == [NOW - 5 * MINUTE]
    assert task.dirty_since is not None
    assert not changelog.rebuilding


# Outputs


def test_outputs_come_in_order_of_emission_cut_into_batches(transaction: Transaction) -> None:
    outputs = Outputs(transaction.producer, "t.", NOW)
    big = b"x" * 300_000
    for n in range(10):
        outputs.emit(Output("a", n % 2, b"%d" % n, big, [("n", b"%d" % n)]))
    outputs.emit(Output("b", 0, None, None, []))
    assert outputs.batches == 5  # three of these fit into one of a MiB
    taken = outputs.take()
    assert [tp for tp, _ in taken[-1:]] == [TopicPartition("t.b", 0)]
    for partition in range(2):
        sizes = [batch.record_count() for tp, batch in taken if tp == TopicPartition("t.a", partition)]
        assert sizes == [3, 2]
    assert (outputs.batches, outputs.take()) == (0, [])


def test_a_record_of_more_than_a_batch_has_one_of_its_own(transaction: Transaction) -> None:
    outputs = Outputs(transaction.producer, "t.", NOW)
    for size in (1, 1_500_000, 1):
        outputs.emit(Output("a", 0, b"k", b"x" * size, []))
    assert [batch.record_count() for _, batch in outputs.take()] == [1, 1, 1]
