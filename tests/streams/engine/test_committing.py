"""What paces commits, and what they consist of, as far as that needs no broker."""

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
async def task(make: Make, clock: Clock) -> Task:
    task = make()
    assert isinstance(task.transaction, Acknowledged)
    task.transaction.append_time = clock.now
    return task


def records(*values: bytes, timestamp: int = NOW) -> list[Record]:
    return [Record(own_key(value), value, offset, timestamp) for offset, value in enumerate(values)]


def score(answer: int, name: int = 0) -> bytes:
    return json.dumps(response(str(name), answer)).encode()


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


SPACING = 0.2


def test_nothing_to_commit_waits_calmly(task: Task) -> None:
    assert task.wait(SPACING) == 1.0
    assert not task.dirty


async def test_without_an_alert_a_commit_is_due_a_second_after_the_first_record(task: Task, clock: Clock) -> None:
    task.process(topics.RESPONSES, records(score(9)), 1)
    assert task.wait(SPACING) == pytest.approx(1.0)
    clock.seconds += 0.4
    task.process(topics.RESPONSES, records(score(8)), 2)
    assert task.wait(SPACING) == pytest.approx(0.6)
    clock.seconds += 5
    assert task.wait(SPACING) == 0


def test_the_first_alert_for_a_while_is_due_at_once(task: Task, clock: Clock) -> None:
    """But for those that come with it."""
    task.process(topics.RESPONSES, records(score(9), score(2)), 2)
    assert task.wait(SPACING) == pytest.approx(0.02)
    clock.seconds += 0.015
    assert task.wait(SPACING) == pytest.approx(0.005)


async def test_the_next_alert_waits_until_the_last_commit_is_long_enough_ago(task: Task, clock: Clock) -> None:
    task.process(topics.RESPONSES, records(score(2)), 1)
    await task.commit()
    clock.seconds += 0.05
    task.process(topics.RESPONSES, records(score(2, name=2)), 2)
    assert task.wait(SPACING) == pytest.approx(0.15)
    assert task.wait(0.5) == pytest.approx(0.45)
    assert task.wait(7.0) == pytest.approx(1.0)  # no longer than what is not urgent
    clock.seconds += 0.2
    assert task.wait(SPACING) == 0


@pytest.mark.parametrize(("age", "wait"), [(0.0, 0.2), (1.0, 0.2), (5.0, 0.5), (60.0, 1.0)])
async def test_an_alert_that_is_old_already_waits_a_tenth_of_its_age(
    task: Task, clock: Clock, age: float, wait: float
) -> None:
    task.process(topics.RESPONSES, records(score(9)), 1)
    await task.commit()
    task.process(topics.RESPONSES, records(score(2, name=2), timestamp=NOW - int(age * 1000)), 2)
    assert task.wait(SPACING) == pytest.approx(wait)


async def test_a_task_rests_as_long_as_its_commits_take(
    task: Task, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Kafka is slow, fewer and larger ones are what helps."""
    assert isinstance(task.transaction, Acknowledged)
    monkeypatch.setattr("npsflow.streams.engine.task.monotonic", lambda: clock.seconds)

    def take() -> None:
        clock.seconds += 0.3

    task.transaction.before = take
    task.process(topics.RESPONSES, records(score(2)), 1)
    await task.commit()
    task.process(topics.RESPONSES, records(score(2, name=2), timestamp=NOW + 300), 2)
    assert task.wait(SPACING) == pytest.approx(0.3)


async def commits_of_alerts(task: Task, clock: Clock, every: float, spacing: float) -> tuple[float, float]:
    """For an alert each `every` seconds: commits a second, and the longest that one waited."""
    offset, commits, waits, waiting = 0, 0, list[float](), list[float]()
    for step in range(1_000):
        clock.seconds = step * 0.01
        if step % round(every * 100) == 0:
            offset += 1
            task.process(topics.RESPONSES, records(score(2, name=offset), timestamp=NOW + step * 10), offset)
            waiting.append(clock.seconds)
        if task.dirty and not task.wait(spacing):
            await task.commit()
            commits += 1
            waits += [clock.seconds - at for at in waiting]
            waiting.clear()
    return commits / 10, max(waits)


@pytest.mark.parametrize(
    ("every", "spacing", "most_commits", "longest"),
    [(0.5, 0.15, 2, 0.03), (0.03, 0.15, 6.7, 0.16), (0.03, 0.4, 2.6, 0.41)],
)
async def test_the_commits_that_alerts_cost(
    task: Task, clock: Clock, every: float, spacing: float, most_commits: float, longest: float
) -> None:
    """Single ones are out at once; where there are many, the spacing alone says how many commits there are."""
    commits, waited = await commits_of_alerts(task, clock, every, spacing)
    assert commits <= most_commits
    assert waited <= longest


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
