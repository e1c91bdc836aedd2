"""Replaying the input into empty state without writing again what already stands on the output topics.

Outputs are a function of the input, so an event of the same subject and revision, a dead letter of the same record, or
a forwarded copy of the same record is the same output. Of a subject whose first records are gone from the input a
replay knows fewer revisions than stand: whatever it says of them has been said. Windows and panes are made anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from npsflow.schemas import topics
from npsflow.schemas.headers import ORIGIN, Headers
from npsflow.streams.stage import Emit, Fold, Output, Record, Stage

_EVENTS = {topics.SERVICE_RECOVERY, topics.FOLLOW_UP}


def identity(topic: str, headers: Headers) -> bytes | None:
    """What an output record is known by on its topic (without prefix); None where it is not known by anything.

    Of an event that is its `ce_id`: subject, a dot, revision.
    """
    named = dict(headers)
    if topic == topics.RESPONSES:
        return named.get(ORIGIN)
    if topic == topics.DEAD_LETTERS:
        parts = [named.get(f"npsflow_dlq_{part}") for part in ("partition", "offset", "reason")]
        return None if None in parts else b" ".join(part for part in parts if part is not None)
    return named.get("ce_id")


@dataclass(slots=True)
class PublishedOutputs:
    """The records that stand on the output topics: by topic, what each is known by to its greatest revision."""

    known: dict[str, dict[bytes, int]] = field(default_factory=dict)

    TOPICS = (topics.FOLLOW_UP, topics.SERVICE_RECOVERY, topics.RESPONSES, topics.DEAD_LETTERS)

    def add(self, topic: str, records: Iterable[Record]) -> None:
        known = self.known.setdefault(topic, {})
        for record in records:
            if (found := _revision(topic, record.headers)) is not None:
                name, revision = found
                known[name] = max(revision, known.get(name, 0))

    def has(self, topic: str, headers: Headers) -> bool:
        if topic not in self.known or (found := _revision(topic, headers)) is None:
            return False
        name, revision = found
        return revision <= self.known[topic].get(name, -1)


def _revision(topic: str, headers: Headers) -> tuple[bytes, int] | None:
    """What a record is known by, and its revision where it is an event."""
    name = identity(topic, headers)
    if name is None or topic not in _EVENTS:
        return None if name is None else (name, 0)
    subject, _, revision = name.rpartition(b".")
    return (subject, int(revision)) if revision.isdigit() else (name, 0)


class Replayed:
    """A stage whose outputs are left out where they stand already."""

    def __init__(self, stage: Stage, published: PublishedOutputs) -> None:
        self.name, self.inputs, self.outputs = stage.name, stage.inputs, stage.outputs
        self.logs, self.fixed = stage.logs, stage.fixed
        self.counters, self.gauges = stage.counters, stage.gauges
        self._stage, self._published = stage, published

    def open(self, partition: int, partitions: int, emit: Emit) -> Fold:
        def emit_new(output: Output) -> None:
            if not self._published.has(output.topic, output.headers):
                emit(output)

        return self._stage.open(partition, partitions, emit_new)
