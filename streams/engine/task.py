"""A task: one partition number of a stage's input topics, with its state, its open outputs and its transactions.

Its states, which only its own methods change:

| state    | folds | commits | left by                                                                  |
|----------|-------|---------|--------------------------------------------------------------------------|
| NEW      | no    | no      | `start`: its position is known; it goes on as RUNNING, or as PAUSED      |
| RUNNING  | yes   | yes     | a record that asks for a pause: PAUSED; `keep`: KEPT                     |
| PAUSED   | no    | yes     | `accept`: RUNNING; `keep`: KEPT                                          |
| KEPT     | no    | no      | `renew`, after a rebalance: what it was before `keep`                    |
| CLOSED   | no    | no      | nothing; `close`, or a commit that fails, leads to it from anywhere      |

Apart from that a task is dirty from the first change after a commit was cut off until the next is, and it is committing
from that cut until the broker has answered. Only what is neither may be kept.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from time import monotonic

from aiokafka import TopicPartition

from npsflow.schemas.errors import TransactionFailed
from npsflow.schemas.times import SECOND
from npsflow.streams.engine.changelog import Changelog, Position
from npsflow.streams.engine.clock import BrokerClock
from npsflow.streams.engine.context import Context
from npsflow.streams.engine.logs import named
from npsflow.streams.engine.observer import CommitFailed, Committed, Crashed, Folded
from npsflow.streams.engine.transaction import Batches, Outputs, Transaction, Written
from npsflow.streams.stage import PAUSE, CounterKey, Record

_MOST_BATCHES = 64  # of up to 1 MiB


class TaskState(Enum):
    """See the table above."""

    NEW = "new"
    RUNNING = "running"
    PAUSED = "paused"
    KEPT = "kept"
    CLOSED = "closed"


class IllegalTransition(RuntimeError):
    """A method was called that the state of the task does not allow: a mistake of ours."""


@dataclass(frozen=True, slots=True)
class PreparedCommit:
    """What one commit consists of, cut off from the folding that goes on."""

    batches: Batches
    offsets: dict[TopicPartition, int]
    counters: Counter[CounterKey]
    stream_time: int
    log_begin: int
    log_times: list[int]
    oldest_urgent: int | None


class Task:
    """Folds batches and commits them; `position`, `fold` and `changelog` are its own. Others read, it alone writes."""

    def __init__(self, context: Context, changelog: Changelog, transaction: Transaction, clock: BrokerClock) -> None:
        self.partition, self.changelog, self.transaction = changelog.partition, changelog, transaction
        self.position = Position()
        self.epoch = 0
        """Counts how often reading has begun anew: what was fetched in an earlier epoch is read again."""
        self.state = TaskState.NEW
        self.committing = False
        self._dirty_since: int | None = None
        self._resumes_as = TaskState.RUNNING
        self._sent: dict[str, int] = {}  # by input topic the offset behind what was given to the agent, folded or not
        self._id, self._observe, self._settings = changelog.task, context.observer.observe, context.settings
        self._clock, self._prefix = clock, context.installation.prefix
        self._outputs = Outputs(transaction.producer, self._prefix, clock.now())
        partitions = next(iter(changelog.partitions.values()))
        self.fold = context.stage.open(self.partition, partitions, self._outputs.emit)
        self._oldest_urgent: int | None = None
        self._committed_at, self._commit_took = 0, 0.0  # when the last commit was cut off (ms), and its seconds
        self._committed_counters: Counter[CounterKey] = Counter()

    # State.

    @property
    def active(self) -> bool:
        """Whether it is this worker's and can be trusted: RUNNING or PAUSED."""
        return self.state is TaskState.RUNNING or self.state is TaskState.PAUSED

    @property
    def paused(self) -> bool:
        """Whether it reads no further until a person accepts."""
        return self.state is TaskState.PAUSED

    @property
    def closed(self) -> bool:
        """Whether another task takes its place."""
        return self.state is TaskState.CLOSED

    @property
    def dirty(self) -> bool:
        """Whether something was folded that no commit has taken yet."""
        return self._dirty_since is not None

    @property
    def full(self) -> bool:
        """Whether so much waits that folding has to wait for the commit."""
        return self.committing and self._outputs.batches > _MOST_BATCHES

    def start(self, position: Position) -> None:
        """Begin at `position`, which the fold has been restored to."""
        self._expect(TaskState.NEW)
        self.position = position
        self._committed_counters = Counter(self.fold.counters)
        self.state = TaskState.PAUSED if position.asks & PAUSE else TaskState.RUNNING

    def keep(self) -> None:
        """Rest over a rebalance, with nothing open."""
        self._expect(TaskState.RUNNING, TaskState.PAUSED)
        if self.dirty or self.committing:
            raise IllegalTransition(f"task {self._id} is {'committing' if self.committing else 'dirty'}")
        self._resumes_as, self.state = self.state, TaskState.KEPT

    def renew(self, transaction: Transaction) -> None:
        """Go on after a rebalance that changed nothing, with a producer that fences whoever came between."""
        self._expect(TaskState.KEPT)
        self.transaction, self.state = transaction, self._resumes_as
        self._outputs.producer = transaction.producer
        self._read_again()

    def accept(self) -> None:
        """Go on after a pause; the offset it goes on from is that of `position`."""
        self._expect(TaskState.PAUSED)
        self.fold.accept()
        self.state = TaskState.RUNNING
        self._read_again()
        self.touch()

    def close(self) -> None:
        """Fold and commit no more. What was not committed is lost, to be restored and replayed."""
        self.state = TaskState.CLOSED

    def touch(self) -> None:
        """Note that there is something to commit."""
        if self._dirty_since is None:
            self._dirty_since = self._clock.now()

    def _expect(self, *states: TaskState) -> None:
        if self.state not in states:
            raise IllegalTransition(f"task {self._id} is {self.state.value}")

    def _read_again(self) -> None:
        """Whatever was given to the agent and not folded is read once more."""
        self.epoch += 1
        self._sent.clear()

    # Folding. Topics are without prefix.

    def next_offset(self, topic: str) -> int:
        """Where the next batch for the agent has to begin."""
        return max(self.position.offsets.get(topic, 0), self._sent.get(topic, 0))

    def mark_sent(self, topic: str, position: int) -> None:
        """Note that the agent is given everything before `position`."""
        self._sent[topic] = position

    def in_flight(self, topic: str) -> bool:
        """Whether a batch is on its way through the agent."""
        return self._sent.get(topic, 0) > self.position.offsets.get(topic, 0)

    def process(self, topic: str, records: Sequence[Record], position: int) -> None:
        """Fold records of one input topic; `position` is the offset after the last."""
        self._expect(TaskState.RUNNING)
        progress = self.fold.process(records, self._clock.now(), self._note_crash)
        if self._oldest_urgent is None:
            self._oldest_urgent = progress.urgent
        if progress.paused:
            self.state, position = TaskState.PAUSED, records[progress.count - 1].offset + 1
        self.advance(topic, position)
        self._observe(Folded(self._id, topic, position))

    def _note_crash(self, record: Record, error: Exception) -> None:
        self._observe(Crashed(self._id, record, error))

    def advance(self, topic: str, position: int) -> None:
        """Note that everything before `position` has been dealt with."""
        self.position.offsets[topic] = position
        self.touch()

    def idle(self) -> None:
        """Tell the stage, at the end of its input, what time it is.

        That takes the broker's clock: where it is not known yet, a commit without records will tell it.
        """
        if not self._clock.known or self.fold.idle(self._clock.now()):
            self.touch()

    def end_rebuild(self) -> None:
        """Let the next commit, due now, say that the state is whole, and what time it is."""
        self.changelog.end_rebuild()
        self.fold.idle(self._clock.now() + SECOND)  # as if time had passed since the last tick
        self.touch()

    # Committing.

    def wait(self, spacing: float) -> float:
        """Seconds until the next commit.

        An urgent record waits until the last commit is `spacing` seconds ago, twice as long as it took, and a tenth of
        the record's own age: whoever catches up has no hurry. None waits for longer than what is not urgent.
        """
        normal = self._settings.normal_wait
        if self._dirty_since is None:
            return normal
        now = self._clock.now()
        due = self._dirty_since + 1000 * normal
        if self._oldest_urgent is not None:
            apart = max(1000 * spacing, 2000 * self._commit_took, (now - self._oldest_urgent) / 10)
            due = min(due, max(self._dirty_since + 1000 * self._settings.urgent_wait, self._committed_at + apart))
        return max(0.0, due - now) / 1000

    async def commit(self) -> None:
        """Commit all that was folded up to now; folding may go on meanwhile. Raises TransactionFailed."""
        self._expect(TaskState.RUNNING, TaskState.PAUSED)
        self.committing, began = True, monotonic()
        try:
            prepared = self._prepare()
            written = await self.transaction.commit(prepared.batches, prepared.offsets)
        except BaseException as error:
            self.close()
            self._observe(CommitFailed(self._id, monotonic() - began))
            if not isinstance(error, Exception):
                raise
            state = self.changelog.state
            message = f"commit failed ({named(error)})"
            raise TransactionFailed(message, topic=state.topic, partition=state.partition) from error
        finally:
            self.committing = False
        self._finish(prepared, written, began)

    def _prepare(self) -> PreparedCommit:
        now = self._clock.now()
        fold, changelog = self.fold, self.changelog
        self._outputs.now = self._committed_at = now
        checkpoint = fold.checkpoint(now)
        self.position.stream_time = fold.stream_time
        self.position.counters = dict(fold.counters)
        changelog.release(fold.stream_time)
        changelog.write(self._outputs.emit, self.position, checkpoint)
        counters = Counter(fold.counters)
        counters.subtract(self._committed_counters)
        self._committed_counters = Counter(fold.counters)
        prepared = PreparedCommit(
            batches=self._outputs.take(),
            offsets={TopicPartition(self._prefix + t, self.partition): o for t, o in self.position.offsets.items()},
            counters=+counters,
            stream_time=fold.stream_time,
            log_begin=changelog.log_range[0],
            log_times=[time for _, time in checkpoint.log],
            oldest_urgent=self._oldest_urgent,
        )
        self._oldest_urgent = self._dirty_since = None
        return prepared

    def _finish(self, prepared: PreparedCommit, written: Mapping[TopicPartition, Written], began: float) -> None:
        changelog, self._commit_took = self.changelog, monotonic() - began
        self._clock.learn(written[changelog.state].append_time)
        changelog.committed(written, prepared.log_begin, prepared.log_times)
        age = None if prepared.oldest_urgent is None else max(0, self._clock.now() - prepared.oldest_urgent)
        self._observe(
            Committed(
                self._id,
                seconds=self._commit_took,
                stream_time=prepared.stream_time,
                counters=prepared.counters,
                gauges=self.fold.gauges(),
                urgent_age=age,
            )
        )
