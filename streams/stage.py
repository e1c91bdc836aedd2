"""The seam between the engine and meaning: a stage folds records into state, one task (partition) at a time.

The engine and the stages both import this module, and nothing of each other.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

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


class Output(NamedTuple):
    """A record to be written; `topic` without prefix."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


make_output: Callable[[tuple[str, int, bytes | None, bytes | None, Headers]], Output] = partial(tuple.__new__, Output)
"""An output of its fields, in a quarter of the time that `Output` takes."""

Emit = Callable[[Output], None]
"""Puts a record into the next transaction of the task."""


class CounterSpec(NamedTuple):
    """A counter that a stage keeps in its changelog, and the Prometheus counter `npsflow_{metric}_total` it feeds.

    `stored` begins its names in the changelog, the values of `labels` follow, all joined by colons. The one spec of a
    stage whose `stored` is empty owns the names that begin with no other: a plain word. `metric` is empty for what is
    only kept. Where several specs share `stored`, each feeds its metric with first labels that begin with `only`.
    `known`: labels that it has at 0 from the start, as no rule sees a series that begins above 0 grow; with `along`
    each followed by every label that is counted under the `stored` of that name, from then on.
    """

    stored: str
    metric: str
    help: str
    labels: tuple[str, ...] = ()
    only: str = ""
    known: tuple[tuple[str, ...], ...] = ()
    along: str | None = None


def each(words: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """`known` of a counter with one label."""
    return tuple((word,) for word in words)


class GaugeSpec(NamedTuple):
    """A Prometheus gauge `npsflow_{metric}` that a stage sets after each commit."""

    metric: str
    help: str
    labels: tuple[str, ...] = ()


CounterKey = tuple[str, ...]
"""`stored` of a CounterSpec and the values of its labels."""

GaugeKey = tuple[str, ...]
"""`metric` of a GaugeSpec and the values of its labels."""

NORMAL, URGENT, PAUSE = 0, 1, 2
"""What `apply` asks of the engine, as bits: nothing, an early commit, to read no further until a person accepts."""


OnCrash = Callable[[Record, Exception], None]
"""Is told of a record that crashed `read`, and the error."""


@dataclass(slots=True)
class Progress:
    """How far a fold has come with a batch, and what it asks of the engine.

    `count` records are folded: fewer than there are only where one asks to read no further (`paused`). `urgent` is the
    timestamp (ms) of the first that asks for an early commit.
    """

    count: int = 0
    urgent: int | None = None
    paused: bool = False

    def note(self, record: Record, asks: int) -> None:
        """Note that one more is folded, and what it asks for."""
        self.count += 1
        self.paused = bool(asks & PAUSE)
        if asks & URGENT and self.urgent is None:
            self.urgent = record.timestamp


@dataclass(slots=True)
class Checkpoint:
    """What one commit adds to the changelogs, besides position and stream time.

    `state` holds the touched keys (None deletes one); `log` the packed records to append to the log changelog, if the
    stage has one, each with the stream time (ms) after which it is needed no more.
    """

    state: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    log: list[tuple[bytes, int]] = field(default_factory=list)


class Fold(ABC):
    """The state of one task and how records change it.

    A stage overrides the methods that are not abstract only where it has what they are about.
    """

    counters: dict[CounterKey, int]
    """What was counted since the state began."""

    @property
    @abstractmethod
    def stream_time(self) -> int:
        """Greatest time seen in the data, ms."""

    def prepare(self, records: Sequence[Record], now: int) -> None:  # noqa: B027 most stages have nothing to prepare
        """Look at the records that `read` is called for next: some things are cheaper to compute for many at once.

        `now` is the broker's time, ms. Apart from it this is a hint: nothing that `read` gives may depend on the rest.
        """

    def process(self, records: Sequence[Record], now: int, on_crash: OnCrash) -> Progress:
        """Fold a batch at broker's time `now` (ms), up to a record that asks for a pause.

        A stage that overrides this makes of it what one record after the other would make.
        """
        self.prepare(records, now)
        progress = Progress()
        for record in records:
            self.fold_one(record, progress, on_crash)
            if progress.paused:
                break
        return progress

    def fold_one(self, record: Record, progress: Progress, on_crash: OnCrash) -> None:
        """Read one record and make its change."""
        try:
            change = self.read(record)
        except Exception as error:
            on_crash(record, error)
            change = self.crashed(record, error)
        progress.note(record, self.apply(change))

    @abstractmethod
    def read(self, record: Record) -> Any:
        """Give what this record changes. Pure: nothing is touched, an exception leaves no trace."""

    @abstractmethod
    def crashed(self, record: Record, error: Exception) -> Any:
        """Give the change to make instead when `read` raised: our own mistake, not the record's."""

    @abstractmethod
    def apply(self, change: Any) -> int:
        """Make the change, emit its outputs, and give what it asks of the engine: NORMAL, or URGENT and PAUSE."""

    @abstractmethod
    def checkpoint(self, now: int) -> Checkpoint:
        """Give what to add to the changelogs; may emit. Called once a commit, before its transaction begins.

        `now` is the broker's time, ms.
        """

    @abstractmethod
    def restore(self, key: bytes, value: bytes) -> None:
        """Take back one key of the state changelog."""

    @abstractmethod
    def restored(self, stream_time: int, counters: Mapping[CounterKey, int]) -> int:
        """End the restoring; gives PAUSE where the task was paused, else NORMAL."""

    def restore_log(self, value: bytes) -> int:
        """Take back one record of the log changelog; gives until which stream time (ms) it is needed."""
        raise NotImplementedError(f"{type(self).__name__} keeps no log")

    def idle(self, now: int) -> bool:
        """Tell the fold that its input is read to the end at broker's time `now`, ms.

        May emit; gives whether anything changed.
        """
        return False

    def accept(self) -> None:
        """Go on after a pause: a person has accepted what caused it."""
        raise NotImplementedError(f"{type(self).__name__} never asks for a pause")

    def gauges(self) -> dict[GaugeKey, float]:
        """Give the values of the stage's gauges."""
        return {}


class Stage(Protocol):
    """One step of the topology. `inputs` are co-partitioned topics, `outputs` all it emits to; names without prefix."""

    @property
    def name(self) -> str:
        """Part of group, changelog and transactional ids."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Topics that it reads."""

    @property
    def outputs(self) -> Mapping[str, int | None]:
        """Topics that it writes, and how many partitions each must have; None: as many as the input."""

    @property
    def logs(self) -> bool:
        """Whether it keeps a log changelog besides the keyed one."""

    @property
    def fixed(self) -> dict[str, Any]:
        """Settings that its state was made with: with others the state has to be made anew."""

    @property
    def counters(self) -> Sequence[CounterSpec]:
        """What its folds count."""

    @property
    def gauges(self) -> Sequence[GaugeSpec]:
        """What its folds show."""

    def open(self, partition: int, partitions: int, emit: Emit) -> Fold:
        """An empty fold for one task."""
