"""What the engine asks of a stage: fold records into state, one task (partition) at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from npsflow.schemas.headers import Headers


class Record(Protocol):
    """A record as it was consumed; `timestamp` in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


Emit = Callable[[str, int, bytes | None, bytes | None, Headers], None]
"""(topic without prefix, partition, key, value, headers): into the open transaction of the task."""


@dataclass(slots=True)
class Checkpoint:
    """What one commit adds to the changelogs, besides position and stream time.

    `state` holds the touched keys (None deletes one); `log` the packed records to append to the log changelog, if the
    stage has one, each with the stream time (ms) after which it is needed no more.
    """

    state: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    log: list[tuple[bytes, int]] = field(default_factory=list)


class Fold(Protocol):
    """The state of one task and how records change it. `Change` is private to the stage."""

    urgent: bool
    paused: bool

    @property
    def stream_time(self) -> int:
        """Greatest time seen in the data, ms."""

    @property
    def counters(self) -> dict[str, int]:
        """What was counted since the state began, by name."""

    def read(self, record: Record) -> Any:
        """What this record changes. Pure: nothing is touched, an exception leaves no trace."""

    def crashed(self, record: Record, error: Exception) -> Any:
        """What to do instead when `read` raised: our own mistake, not the record's."""

    def apply(self, change: Any) -> None:
        """Make the change, emitting outputs. Sets `urgent` where they cannot wait, `paused` to read no further."""

    def checkpoint(self, now: int) -> Checkpoint:
        """Called once for each commit, before its transaction begins; may emit. `now` is the broker's time, ms."""

    def idle(self, now: int) -> bool:
        """The task is at the end of its input at broker's time `now`, ms; may emit, and says whether it did."""

    def accept(self) -> None:
        """A person has decided that a paused task goes on."""

    def gauges(self) -> dict[tuple[str, ...], float]:
        """What is worth watching now: (name of a metric, its labels but the partition) to value."""

    def restore(self, key: bytes, value: bytes) -> None:
        """Take back one key of the state changelog."""

    def restore_log(self, value: bytes) -> int:
        """Take back one record of the log changelog; returns until which stream time it is needed."""

    def restored(self, stream_time: int, counters: dict[str, int]) -> None:
        """All is back."""


class Stage(Protocol):
    """One step of the topology. `inputs` are co-partitioned topics, `outputs` all it emits to; names without prefix."""

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> Mapping[str, int | None]:
        """To how many partitions each has to have; None: as many as the input."""

    @property
    def logs(self) -> bool:
        """Whether it keeps a log changelog besides the keyed one."""

    @property
    def fixed(self) -> dict[str, Any]:
        """Settings that its state was made with and makes no sense without: with others it has to be made anew."""

    def open(self, partition: int, partitions: int, emit: Emit) -> Fold:
        """An empty fold for one task."""
