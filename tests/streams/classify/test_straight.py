"""What the straight fold makes of records is what the classifier makes of them, byte by byte: their contract."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.agents.demo.sample import sample
from npsflow.schemas import topics
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config import settings
from npsflow.streams.stage import Fold, Output, Progress
from npsflow.streams.stage import Record as Consumed
from tests.strategies import NOW
from tests.streams.classify.test_fuzzing import records
from tests.streams.folding import Record, Task
from tests.support.fuzzing import fuzzed

SETTINGS = {
    "default": "",
    "private fields": "[alerts]\nprivate_fields = true\n",
    "one dimension, no follow-ups": '[follow_ups]\nenabled = false\n[segments]\ndimensions = ["survey_id"]\n',
    "no dimension": "[segments]\ndimensions = []\n",
    "attributes, pairs and aliases": (
        '[segments]\ndimensions = ["channel", "tier", "attributes.region"]\npairs = [["channel", "tier"]]\n'
        '[aliases.channel]\nchat = "web"\n'
    ),
    "alerts of one metric": '[alerts]\nmetrics = ["nps"]\n',
    "7 is hard": "ces_seven_is_hard = true\n",
    "promoters by rules": (
        '[[follow_ups.promoters]]\naction = "review"\nwhen = { tier = "plus" }\n'
        '[[follow_ups.promoters]]\naction = "testimonial"\nwhen = { channel = "email" }\n'
    ),
    "tombstones": "[topics]\ntombstones_delete = true\n",
    "a pause": "[dead_letters]\npause = true\n",
    "watched scores": '[[watch]]\nname = "all of it"\nmetric = "nps"\nkind = "drop"\n',
    "a short horizon": "horizon_days = 31\n",
}


def stage(toml: str) -> Classify:
    return Classify(settings.parse("idle_ticks = false\n" + toml).classify_settings("npsflow/t.", 2))


class Counting(Task):
    """Folds batches, or what they hold one by one; `reads`: how many records the classifier got."""

    def __init__(self, of: Classify, partitions: int, *, straight: bool) -> None:
        self._straight, self.reads, self.crashes = straight, 0, list[Exception]()
        super().__init__(of, 0, partitions)

    def restore(self) -> None:
        super().restore()
        read = self.fold.read

        def counting(record: Consumed) -> Any:
            self.reads += 1
            return read(record)

        self.fold.read = counting  # type: ignore[method-assign]

    def take_all(self, batch: Sequence[Record], now: int) -> Progress:
        if self._straight:
            return self.fold.process(batch, now, self._crashed)
        return Fold.process(self.fold, batch, now, self._crashed)

    def _crashed(self, record: Consumed, error: Exception) -> None:
        self.crashes.append(error)


def made(of: Classify, log: Sequence[Record], size: int, every: int, *, straight: bool, partitions: int = 1) -> Any:
    """All that can be told of a task that folds batches of `size`, commits after `every` of them, and starts anew."""
    task, found = Counting(of, partitions, straight=straight), list[Any]()
    for number, at in enumerate(range(0, len(log), size)):
        progress = task.take_all(log[at : at + size], NOW)
        found.append((progress, dict(task.fold.counters), task.fold.stream_time, list(task.crashes)))
        if number % every == 0:
            found.append([_plain(output) for output in task.commit(NOW + at)])
            if number % (3 * every) == 0:
                task.restore()
    found.append([_plain(output) for output in task.commit(NOW)])
    return (found, task.state, task.log, task.fold.gauges()), task.reads


def _plain(output: Output) -> Output:
    return output._replace(headers=list(output.headers))


@pytest.mark.parametrize("toml", SETTINGS.values(), ids=SETTINGS)
def test_of_the_month(toml: str) -> None:
    lines = islice(sample(3, 4_000, datetime.fromtimestamp(NOW / 1000, UTC), partitions=1), 4_000)
    log = [Record(line.key, line.value, n, NOW + n // 7) for n, line in enumerate(lines)]
    straight, reads = made(stage(toml), log, 250, 3, straight=True)
    assert straight == made(stage(toml), log, 250, 3, straight=False)[0]
    assert reads == len(log) if "pause" in toml else reads < len(log) // 3


def test_where_others_belong_elsewhere() -> None:
    lines = islice(sample(4, 1_000, datetime.fromtimestamp(NOW / 1000, UTC), partitions=4), 1_000)
    log = [Record(line.key, line.value, n, NOW) for n, line in enumerate(lines)]
    straight, reads = made(stage(""), log, 100, 2, straight=True, partitions=4)
    assert straight == made(stage(""), log, 100, 2, straight=False, partitions=4)[0]
    assert len(log) // 2 < reads < len(log)
    assert any(output.topic == topics.RESPONSES for part in straight[0] if isinstance(part, list) for output in part)


STAGES = [stage(toml) for toml in SETTINGS.values()]


@fuzzed(150)
@given(records(), st.sampled_from(STAGES), st.integers(1, 8), st.integers(1, 3))
def test_of_odd_records(log: list[Record], of: Classify, size: int, every: int) -> None:
    assert made(of, log, size, every, straight=True)[0] == made(of, log, size, every, straight=False)[0]
