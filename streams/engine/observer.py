"""What happens in the engine, for whoever watches it: metrics, logs, and tests that hold it up or break it.

A batch and a commit are a few events each, a record is none. `observe` notes what has happened; `hold` is awaited
before a step, so that a test can delay it.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from npsflow.streams.stage import CounterKey, GaugeKey, Record


class TaskId(NamedTuple):
    """A task: a partition of the input of a stage."""

    stage: str
    partition: int

    @property
    def extra(self) -> dict[str, Any]:
        """The same as fields of a log line."""
        return {"stage": self.stage, "partition": self.partition}


# What has happened.


class Assigned(NamedTuple):
    """A rebalance has ended: the stage has these partitions on this worker."""

    stage: str
    partitions: frozenset[int]


class Folded(NamedTuple):
    """A batch was folded up to `position` of an input topic (without prefix)."""

    task: TaskId
    topic: str
    position: int


class Crashed(NamedTuple):
    """`read` of the fold raised: the record is a dead letter now."""

    task: TaskId
    record: Record
    error: Exception


class Committed(NamedTuple):
    """A commit has ended well, after `seconds`; `counters` are what it added, `stream_time` in ms.

    `urgent_age`: ms from the arrival of the oldest urgent record to now, None where there was none.
    """

    task: TaskId
    seconds: float
    stream_time: int
    counters: Mapping[CounterKey, int]
    gauges: Mapping[GaugeKey, float]
    urgent_age: int | None


class CommitFailed(NamedTuple):
    """A commit has ended otherwise, after `seconds`: nobody knows whether it happened."""

    task: TaskId
    seconds: float


class Dropped(NamedTuple):
    """Something about a task is uncertain: it is forgotten, and will be restored. `offsets`: where it stood."""

    task: TaskId
    offsets: Mapping[str, int]
    error: BaseException


class Restored(NamedTuple):
    """A task is ready to read on from `offsets`, after `seconds`; `kept`: it had to read no changelog."""

    task: TaskId
    seconds: float
    offsets: Mapping[str, int]
    kept: bool


class RestoreFailed(NamedTuple):
    """It ended with an error after `seconds`, and will be tried again."""

    task: TaskId
    seconds: float
    error: Exception


class Lost(NamedTuple):
    """The records from offset `begin` to before `end` were deleted unread, and the task goes on without them."""

    task: TaskId
    topic: str
    begin: int
    end: int


class Paused(NamedTuple):
    """A task reads no further until a person accepts."""

    task: TaskId
    offsets: Mapping[str, int]


class Accepted(NamedTuple):
    """A person has accepted what paused the task: it goes on."""

    task: TaskId


class Lagging(NamedTuple):
    """So many records of its input a task has not read. Comes once a second."""

    task: TaskId
    records: int


class Released(NamedTuple):
    """The task is on this worker no more."""

    task: TaskId


Event = (
    Assigned | Folded | Crashed | Committed | CommitFailed | Dropped | Restored | RestoreFailed | Lost | Paused
    | Accepted | Lagging | Released
)  # fmt: skip

# What is about to happen.


class Restoring(NamedTuple):
    """A changelog is about to be read (`records` 0), or so many more of its records are at hand."""

    task: TaskId
    topic: str
    records: int


class Fetched(NamedTuple):
    """So many records from `offset` on are about to be given to the agent."""

    task: TaskId
    topic: str
    offset: int
    records: int


class Committing(NamedTuple):
    """A commit has come to this point.

    begun      the transaction is open, nothing is sent
    sending    a batch is about to be sent to `topic` (with prefix); `sent` are those on their way
    delivered  all of them are acknowledged, the offsets are not sent
    ending     the offsets are acknowledged, the commit is not asked for
    ended      the commit is acknowledged, the task does not know it yet
    """

    task: TaskId
    point: Literal["begun", "sending", "delivered", "ending", "ended"]
    topic: str = ""
    sent: Sequence["asyncio.Future[Any]"] = ()


Step = Restoring | Fetched | Committing


class Observer:
    """Whoever watches overrides one of these, or both."""

    def observe(self, event: Event) -> None:
        """Note what has happened. The event loop waits for it: it has to return at once."""

    async def hold(self, step: Step) -> None:
        """Return when the step may be taken; other tasks go on meanwhile."""


class Observers(Observer):
    """Several as one."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        every = list(observers)
        self._observe = [o.observe for o in every if type(o).observe is not Observer.observe]
        self._hold = [o.hold for o in every if type(o).hold is not Observer.hold]

    def observe(self, event: Event) -> None:
        """Tell all of them, in order."""
        for observe in self._observe:
            observe(event)

    async def hold(self, step: Step) -> None:
        """Return when all of them have."""
        for hold in self._hold:
            await hold(step)
