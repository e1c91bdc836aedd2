"""Replaying the input into empty state without writing again what already stands on the output topics.

Outputs are a function of the input, so an event with the same `ce_id`, a dead letter of the same record, or a forwarded
copy of the same record is the same output. Windows and panes are made anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from npsflow.schemas import topics
from npsflow.schemas.headers import ORIGIN, Headers
from npsflow.streams.stage import Emit, Fold, Record, Stage

_SINGLE = {topics.SERVICE_RECOVERY, topics.FOLLOW_UP, topics.DEAD_LETTERS, topics.RESPONSES}


def identity(topic: str, headers: Headers) -> bytes | None:
    """What an output record is known by on its topic (without prefix); None where it is not known by anything."""
    named = dict(headers)
    if topic == topics.RESPONSES:
        return named.get(ORIGIN)
    if topic == topics.DEAD_LETTERS:
        parts = [named.get(f"npsflow_dlq_{part}") for part in ("partition", "offset", "reason")]
        return None if None in parts else b" ".join(part for part in parts if part is not None)
    return named.get("ce_id")


@dataclass(slots=True)
class Standing:
    """Identities of the records that stand on the output topics."""

    known: dict[str, set[bytes]] = field(default_factory=dict)

    TOPICS = tuple(sorted(_SINGLE))

    def add(self, topic: str, records: Iterable[Record]) -> None:
        known = self.known.setdefault(topic, set())
        for record in records:
            if (name := identity(topic, record.headers)) is not None:
                known.add(name)

    def has(self, topic: str, headers: Headers) -> bool:
        return topic in self.known and identity(topic, headers) in self.known[topic]


class Replayed:
    """A stage whose outputs are left out where they stand already."""

    def __init__(self, stage: Stage, standing: Standing) -> None:
        self.name, self.inputs, self.outputs, self.logs = stage.name, stage.inputs, stage.outputs, stage.logs
        self._stage, self._standing = stage, standing

    def open(self, partition: int, partitions: int, emit: Emit) -> Fold:
        def emit_new(topic: str, to: int, key: bytes | None, value: bytes | None, headers: Headers) -> None:
            if not self._standing.has(topic, headers):
                emit(topic, to, key, value, headers)

        return self._stage.open(partition, partitions, emit_new)
