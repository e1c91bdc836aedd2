"""Tasks of the engine, without a broker: batches are made, and a commit is acknowledged at once."""

from collections.abc import Callable, Mapping

from aiokafka import TopicPartition

from npsflow.schemas import topics
from npsflow.streams.engine.changelog import Changelog, Position
from npsflow.streams.engine.clock import BrokerClock
from npsflow.streams.engine.context import Context, EngineSettings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.observer import Event, Observer
from npsflow.streams.engine.task import Task
from npsflow.streams.engine.transaction import Batches, Transaction, Written
from npsflow.streams.stage import Stage
from tests.strategies import NOW

INSTALLATION = Installation(brokers="127.0.0.1:1", prefix="t.")


class Clock(BrokerClock):
    """The broker's clock, turned by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        super().__init__(lambda: self.seconds, lambda: 0.0)
        self.learn(NOW)


class Events(Observer):
    """Keeps all that was observed."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def observe(self, event: Event) -> None:
        self.all.append(event)


class Acknowledged(Transaction):
    """Never started: whatever is committed counts as written from the offset where the last commit ended."""

    def __init__(self, context: Context, partition: int) -> None:
        super().__init__(context, partition, {})
        self.ends: dict[TopicPartition, int] = {}
        self.error: Exception | None = None
        """Raised by the next commits."""
        self.before: Callable[[], None] = lambda: None
        """Called when a commit begins."""
        self.append_time: Callable[[], int] = lambda: NOW

    async def commit(self, batches: Batches, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Written]:
        self.before()
        if self.error is not None:
            raise self.error
        written = {}
        for tp, batch in batches:
            self.ends[tp] = self.ends.get(tp, 0) + batch.record_count()
            written[tp] = Written(self.ends[tp], self.append_time())
        return written


def context(stage: Stage, *, rebuilding: bool = False, observer: Observer | None = None) -> Context:
    return Context(stage, INSTALLATION, EngineSettings(rebuilding=rebuilding), observer or Observer())


def new_task(of: Context, clock: BrokerClock, partitions: Mapping[str, int] | None = None) -> Task:
    """One whose position is not known yet. Its transaction has to be stopped."""
    changelog = Changelog(of, 0, partitions or {topics.RESPONSES: 1})
    return Task(of, changelog, Acknowledged(of, 0), clock)


def started(of: Context, clock: BrokerClock) -> Task:
    """One that begins with empty state."""
    task = new_task(of, clock)
    task.start(Position({}))
    return task
