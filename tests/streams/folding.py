"""Runs the fold of a stage as the engine does, without a broker: commits, restarts, crashes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from npsflow.agents.demo import oracle
from npsflow.schemas import topics
from npsflow.schemas.deltas import TICK, decode_deltas
from npsflow.schemas.headers import Headers
from npsflow.streams.engine.counters import decode_counters, encode_counters
from npsflow.streams.stage import PAUSE, Fold, Output, Stage
from tests.strategies import NOW, Produced


@dataclass
class Record:
    """As consumed."""

    key: bytes | None
    value: bytes | None
    offset: int = 0
    timestamp: int = NOW
    headers: Headers = field(default_factory=list)
    partition: int = 0
    topic: str = topics.RESPONSES


def log(produced: Iterable[Produced], start: int = NOW) -> list[Record]:
    """The records of one partition, a second apart."""
    return [Record(key, value, n, start + 1000 * n) for n, (key, value) in enumerate(produced)]


class Task:
    """A task and what it has committed: outputs, changelogs, position."""

    def __init__(self, stage: Stage, partition: int = 0, partitions: int = 1) -> None:
        self.stage, self.partition, self.partitions = stage, partition, partitions
        self.committed: list[Output] = []
        self.state: dict[bytes, bytes] = {}
        self.log: list[bytes] = []
        self.position = self.stream_time = 0
        self.counters: dict[str, int] = {}
        self.restore()

    def restore(self) -> None:
        """Start anew from what was committed; what was not is lost."""
        self.pending: list[Output] = []
        pending = self.pending
        self.fold: Fold = self.stage.open(self.partition, self.partitions, pending.append)
        for key, value in reversed(self.state.items()):  # compaction keeps no order
            self.fold.restore(key, value)
        for packed in self.log:
            self.fold.restore_log(packed)
        counters = decode_counters(self.stage.counters, self.counters)
        self.paused = bool(self.fold.restored(self.stream_time, counters) & PAUSE)
        self.next = self.position

    def take(self, record: Any) -> Any:
        """Fold one record; what it changed."""
        try:
            change = self.fold.read(record)
        except Exception as error:
            change = self.fold.crashed(record, error)
        self.asked = self.fold.apply(change)
        self.paused = self.paused or bool(self.asked & PAUSE)
        self.next += 1
        return change

    def commit(self, now: int) -> list[Output]:
        """What became visible by it."""
        checkpoint = self.fold.checkpoint(now)
        for key, value in checkpoint.state:
            self.state.pop(key, None)
            if value is not None:
                self.state[key] = value
        self.log += [packed for packed, _ in checkpoint.log]
        self.stream_time, self.counters = self.fold.stream_time, encode_counters(self.fold.counters)
        self.position = self.next
        written = self.pending[:]
        self.committed += written
        self.pending.clear()
        return written


def run(stage: Stage, records: Sequence[Record], plan: Sequence[str] = ()) -> tuple[Task, list[Record]]:
    """Fold all records, those too that are forwarded meanwhile; the task and the whole log.

    `plan` says what to do after each record: `go` on, `commit`, `restart` after a commit, or `crash` without one.
    """
    task, log = Task(stage), list(records)
    steps, now = iter(plan), NOW
    while True:
        step = "commit" if task.next == len(log) else "go"
        if task.next < len(log):
            task.take(log[task.next])
            step = next(steps, "go")
        now += 1000
        if step in ("commit", "restart"):
            before = len(log)
            for output in task.commit(now):
                if output.topic == topics.RESPONSES:
                    last = log[-1]
                    copy = Record(output.key, output.value, last.offset + 1, last.timestamp + 1000, output.headers)
                    log.append(copy)
            if task.next == before == len(log):
                return task, log
        if step in ("restart", "crash"):
            task.restore()


def panes(outputs: Iterable[Output]) -> list[Record]:
    """What roll up reads of it."""
    found = [output for output in outputs if output.topic == topics.PANES]
    return [Record(o.key, o.value, n, headers=o.headers, topic=topics.PANES) for n, o in enumerate(found)]


def deltas(outputs: Iterable[Output]) -> dict[tuple[Any, ...], int]:
    """The sum of all deltas by key, values, pane and score, however they were split; no zeros."""
    total: Counter[tuple[Any, ...]] = Counter()
    for record in panes(outputs):
        if record.key != TICK:
            for values, flat in decode_deltas(record.value or b""):
                for at in range(0, len(flat), 3):
                    total[record.key, values, flat[at], flat[at + 1]] += flat[at + 2]
    return {cell: count for cell, count in total.items() if count}


def windows(outputs: Iterable[Output], topic: str = topics.WINDOWS) -> dict[bytes | None, bytes]:
    """The windows that stand after these outputs of roll up, by their keys; or what stands on another topic."""
    standing: dict[bytes | None, bytes] = {}
    for output in (output for output in outputs if output.topic == topic):
        standing.pop(output.key, None)
        if output.value is not None:
            standing[output.key] = output.value
    return standing


def for_oracle(log: Iterable[Record]) -> list[oracle.Record]:
    return [oracle.Record(r.partition, r.offset, r.timestamp, r.key, r.value, r.headers) for r in log]
