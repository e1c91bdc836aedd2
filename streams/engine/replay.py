"""Replaying the input into empty state without writing again what already stands on the output topics.

Outputs are a function of the input, so one with the same id is the same output. Where the first records of a subject
are gone from the input, a replay makes fewer revisions of it than stand: none of them is written.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from npsflow.schemas.headers import Headers
from npsflow.streams.stage import Emit, Fold, Output, Record, Stage


class OutputId(NamedTuple):
    """What an output is known by on its topic."""

    subject: bytes
    revision: int = 0


class PublishedOutputs:
    """The records that stand on the output topics: by topic, the greatest revision of each subject."""

    def __init__(self, identify: Mapping[str, Callable[[Headers], OutputId | None]]) -> None:
        """`identify`: by topic (without prefix) the id of an output from its headers. Of other topics none is known."""
        self._identify = identify
        self._revisions: dict[str, dict[bytes, int]] = {topic: {} for topic in identify}

    @property
    def counts(self) -> dict[str, int]:
        """How many subjects are known of each topic."""
        return {topic: len(known) for topic, known in self._revisions.items()}

    def add(self, topic: str, records: Iterable[Record]) -> None:
        """Note records that stand on a topic."""
        known, identify = self._revisions[topic], self._identify[topic]
        for record in records:
            if (output := identify(record.headers)) is not None:
                known[output.subject] = max(output.revision, known.get(output.subject, 0))

    def has(self, topic: str, headers: Headers) -> bool:
        """Whether an output with these headers stands there already."""
        identify = self._identify.get(topic)
        if identify is None or (output := identify(headers)) is None:
            return False
        return output.revision <= self._revisions[topic].get(output.subject, -1)


class Replayed:
    """A stage whose outputs are left out where they stand already."""

    def __init__(self, stage: Stage, published: PublishedOutputs) -> None:
        self.name, self.inputs, self.outputs = stage.name, stage.inputs, stage.outputs
        self.logs, self.fixed = stage.logs, stage.fixed
        self.counters, self.gauges = stage.counters, stage.gauges
        self._stage, self._published = stage, published

    def open(self, partition: int, partitions: int, emit: Emit) -> Fold:
        """Give an empty fold of the stage, whose outputs are filtered."""

        def emit_new(output: Output) -> None:
            if not self._published.has(output.topic, output.headers):
                emit(output)

        return self._stage.open(partition, partitions, emit_new)
