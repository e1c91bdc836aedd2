"""A task: one partition number of a stage's input topics, with its state, its open outputs and its transactions."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition

from npsflow.schemas.errors import TransactionFailed
from npsflow.schemas.times import SECOND
from npsflow.streams.engine.changelog import Changelog, Position
from npsflow.streams.engine.clock import BrokerClock
from npsflow.streams.engine.logs import named
from npsflow.streams.engine.metrics import Metrics
from npsflow.streams.engine.transaction import Batches, Outputs, Transaction, Written
from npsflow.streams.stage import PAUSE, URGENT, CounterKey, Fold, Record

log = logging.getLogger(__name__)

_URGENT_WAIT, _NORMAL_WAIT = 0.1, 1.0
"""Seconds a commit may wait: with an alert in it that has just arrived, and otherwise."""

_MOST_BATCHES = 64  # of up to 1 MiB


@dataclass(frozen=True, slots=True)
class PreparedCommit:
    """What one commit consists of, cut off from the folding that goes on."""

    batches: Batches
    offsets: dict[TopicPartition, int]
    counters: Counter[CounterKey]
    stream_time: int
    log_begin: int
    log_times: list[int]
    oldest_alert: int | None


class Task:
    """Folds batches and commits them. Once `closed` it does neither, and another task takes its place."""

    def __init__(
        self,
        partition: int,
        fold_of: Callable[[Callable[..., None]], Fold],
        changelog: Changelog,
        transaction: Transaction,
        metrics: Metrics,
        clock: BrokerClock,
    ) -> None:
        self.partition, self.changelog, self.transaction = partition, changelog, transaction
        self.position = Position()
        self.handed: dict[str, int] = {}
        """By input topic the offset behind what the agent was given, folded or not."""
        self.closed = False
        self.paused = False
        self.epoch = 0
        self.committing = False
        self.dirty_since: int | None = None
        self._metrics, self._clock = metrics, clock
        self._prefix = changelog.installation.prefix
        self._outputs = Outputs(transaction.producer, self._prefix, clock.now())
        self.fold = fold_of(self._outputs.emit)
        self._oldest_alert: int | None = None
        self._committed_counters: Counter[CounterKey] = Counter()

    def start_at(self, position: Position) -> None:
        self.position = position
        self.paused = bool(position.asks & PAUSE)
        self._committed_counters = Counter(self.fold.counters)

    def renew(self, transaction: Transaction) -> None:
        """Go on after a rebalance that changed nothing, with a producer that fences whoever came between."""
        self.transaction, self.closed = transaction, False
        self._outputs.producer = transaction.producer
        self._read_again()

    def end_rebuild(self) -> None:
        """The next commit, due now, says that the state is whole, and what time it is."""
        self.changelog.rebuilding = False
        self.fold.idle(self._clock.now() + SECOND)  # as if time had passed since it was told last
        self.dirty_since = self._clock.now()

    def accept(self) -> None:
        """Go on after a pause; the offset it goes on from is that of `position`."""
        self.fold.accept()
        self.paused = False
        self._read_again()
        if self.dirty_since is None:
            self.dirty_since = self._clock.now()

    def _read_again(self) -> None:
        """What was handed over before and not folded will be read once more."""
        self.epoch += 1
        self.handed.clear()

    @property
    def full(self) -> bool:
        """Whether so much waits that folding has to wait for the commit."""
        return self.committing and self._outputs.batches > _MOST_BATCHES

    def process(self, topic: str, records: Sequence[Record], position: int) -> None:
        """Fold records of one input topic (without prefix); `position` is the offset after the last."""
        fold = self.fold
        read, apply = fold.read, fold.apply
        for record in records:
            try:
                change = read(record)
            except Exception as error:
                extra = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
                log.exception("a record crashed the fold and is a dead letter now: please report this", extra=extra)
                change = fold.crashed(record, error)
            asks = apply(change)
            if asks & URGENT and self._oldest_alert is None:
                self._oldest_alert = record.timestamp
            if asks & PAUSE:
                self.paused, position = True, record.offset + 1
                break
        self.advance(topic, position)

    def advance(self, topic: str, position: int) -> None:
        """Everything before `position` has been dealt with."""
        self.position.offsets[topic] = position
        if self.dirty_since is None:
            self.dirty_since = self._clock.now()

    def idle(self) -> None:
        """At the end of the input: let the stage say what time it is. The broker's clock must be known first."""
        if not self._clock.known:
            if self.dirty_since is None:
                self.dirty_since = self._clock.now()
        elif self.fold.idle(self._clock.now()) and self.dirty_since is None:
            self.dirty_since = self._clock.now()

    def wait(self) -> float:
        """Seconds until the next commit: an alert adds at most a tenth to the age it already has."""
        now = self._clock.now()
        if self.dirty_since is None:
            return _NORMAL_WAIT
        waited = (now - self.dirty_since) / 1000
        if self._oldest_alert is None:
            return max(0.0, _NORMAL_WAIT - waited)
        return max(0.0, min(_NORMAL_WAIT, max(_URGENT_WAIT, (now - self._oldest_alert) / 10_000)) - waited)

    async def commit(self) -> None:
        """Commit all that was folded up to now; folding may go on meanwhile. Raises TransactionFailed."""
        self.committing = True
        try:
            prepared = self._prepare()
            written = await self.transaction.commit(prepared.batches, prepared.offsets)
        except asyncio.CancelledError:
            self.closed = True
            raise
        except Exception as error:
            self.closed = True
            state = self.changelog.state
            message = f"commit failed ({named(error)})"
            raise TransactionFailed(message, topic=state.topic, partition=state.partition) from error
        finally:
            self.committing = False
        self._committed(prepared, written)

    def _prepare(self) -> PreparedCommit:
        now = self._clock.now()
        fold, changelog = self.fold, self.changelog
        self._outputs.now = now
        checkpoint = fold.checkpoint(now)
        self.position.stream_time = fold.stream_time
        self.position.counters = dict(fold.counters)
        changelog.release(fold.stream_time)
        changelog.write(self._outputs.emit, self.position, checkpoint)
        counters = Counter(fold.counters)
        counters.subtract(self._committed_counters)
        self._committed_counters = Counter(fold.counters)
        prepared = PreparedCommit(
            self._outputs.take(),
            {TopicPartition(self._prefix + t, self.partition): o for t, o in self.position.offsets.items()},
            +counters,
            fold.stream_time,
            changelog.log_range[0],
            [time for _, time in checkpoint.log],
            self._oldest_alert,
        )
        self._oldest_alert = self.dirty_since = None
        return prepared

    def _committed(self, prepared: PreparedCommit, written: dict[TopicPartition, Written]) -> None:
        changelog = self.changelog
        self._clock.learn(written[changelog.state].append_time)
        changelog.end = written[changelog.state].end + 1  # the commit marker
        changelog.released = prepared.log_begin
        stage = changelog.stage.name
        self._metrics.count(stage, prepared.counters)
        self._metrics.show(stage, self.partition, self.fold.gauges())
        self._metrics.commits.labels(stage).inc()
        self._metrics.stream_time.labels(stage, str(self.partition)).set(prepared.stream_time / 1000)
        if prepared.oldest_alert is not None:
            self._metrics.alert_time.observe(max(0.0, (self._clock.now() - prepared.oldest_alert) / 1000))
        if prepared.log_times and changelog.log is not None:
            first = written[changelog.log].end - len(prepared.log_times)
            for offset, log_time in enumerate(prepared.log_times, first):
                changelog.logged(offset, log_time)
