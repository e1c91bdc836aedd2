"""What paces commits, and what they consist of, as far as that needs no broker."""

import itertools
import json
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka import TopicPartition

from npsflow.schemas import topics
from npsflow.schemas.deltas import TICK, decode_tick
from npsflow.schemas.times import MINUTE
from npsflow.streams.classify.stage import Classify, ClassifyFold
from npsflow.streams.config.sections import DeadLetters
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.clock import BrokerClock
from npsflow.streams.engine.committer import CommitRateLimit
from npsflow.streams.engine.task import Task
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.stage import Emit, Output, Stage
from tests.strategies import NOW, own_key
from tests.streams.engine.tasks import Acknowledged, Clock, context, started
from tests.streams.folding import Record
from tests.support.responses import response

Make = Callable[..., Task]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def make(clock: Clock) -> AsyncIterator[Make]:
    """Makes tasks of classify; `stage` and `rebuilding` where they are not the usual."""
    made: list[Task] = []

    def make(stage: Stage | None = None, *, rebuilding: bool = False) -> Task:
        stage = stage or Classify(Settings().classify_settings("npsflow/t.", 1))
        made.append(started(context(stage, rebuilding=rebuilding), clock))
        return made[-1]

    yield make
    for task in made:
        await task.transaction.stop()


@pytest.fixture
async def task(make: Make) -> Task:
    return make()


def records(*values: bytes, timestamp: int = NOW) -> list[Record]:
    return [Record(own_key(value), value, offset, timestamp) for offset, value in enumerate(values)]


def score(answer: int) -> bytes:
    return json.dumps(response(score=answer)).encode()


# The rate limit


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
    assert not task.dirty


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


async def test_the_position_is_behind_the_record_that_pauses(make: Make) -> None:
    """A thousand records, most of them refused: the one after them is read when a person has accepted."""
    task = make(Classify(Settings(dead_letters=DeadLetters(pause=True)).classify_settings("npsflow/t.", 1)))
    task.process(topics.RESPONSES, records(*[b"{"] * 1001), 1001)
    assert task.paused
    assert task.position.offsets == {topics.RESPONSES: 1000}


async def test_what_a_commit_releases_may_be_deleted_only_when_it_is_there(task: Task) -> None:
    """Else a crash between the two leaves a log that lacks what the last position needs."""
    changelog, transaction = task.changelog, task.transaction
    changelog.logged(0, 1)  # needed until a time that is long past
    assert isinstance(transaction, Acknowledged)
    assert changelog.log
    transaction.ends[changelog.log] = 1
    seen = []
    transaction.before = lambda: seen.append((changelog.log_range, changelog.released))
    task.process(topics.RESPONSES, records(score(9)), 1)
    await task.commit()
    assert seen == [((1, 1), 0)]
    assert (changelog.log_range, changelog.released) == ((1, 2), 1)


async def test_the_end_of_a_rebuild_tells_the_last_time_there_was(make: Make) -> None:
    """Ticks are a second apart, and after a replay nobody waits for the next one."""
    ticks = list[int]()

    class Noting(Classify):
        def open(self, partition: int, partitions: int, emit: Emit) -> ClassifyFold:
            def note(output: Output) -> None:
                is_tick = output.key == TICK and output.partition == 0
                if is_tick and (time := decode_tick(output.value or b"")):  # one that only brings a spelling has none
                    ticks.append(time)
                emit(output)

            return super().open(partition, partitions, note)

    task = make(Noting(Settings(idle_ticks=False).classify_settings("npsflow/t.", 1)), rebuilding=True)
    for minute in (1, 2):
        value = json.dumps(response(str(minute), 9, submitted_at=f"2026-03-01T15:0{minute}:00Z")).encode()
        task.process(topics.RESPONSES, records(value), minute)
        await task.commit()
    assert ticks == [NOW - 6 * MINUTE]
    task.end_rebuild()
    assert ticks[1:] == [NOW - 5 * MINUTE]
    assert task.dirty
    assert not task.changelog.rebuilding


# Outputs


def test_outputs_come_in_order_of_emission_cut_into_batches(task: Task) -> None:
    outputs = Outputs(task.transaction.producer, "t.", NOW)
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


def test_a_record_of_more_than_a_batch_has_one_of_its_own(task: Task) -> None:
    outputs = Outputs(task.transaction.producer, "t.", NOW)
    for size in (1, 1_500_000, 1):
        outputs.emit(Output("a", 0, b"k", b"x" * size, []))
    assert [batch.record_count() for _, batch in outputs.take()] == [1, 1, 1]
