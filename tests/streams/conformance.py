"""What every stage promises the engine, whatever it means: see test_conformance.py, which runs this for each.

A new stage needs an entry in RECORDS: what it reads in a small world where much happens.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import Any

import pytest

from npsflow.agents.demo import sample
from npsflow.schemas import topics
from npsflow.schemas.codec import dumps, loads
from npsflow.schemas.deltas import TICK, decode_tick
from npsflow.schemas.errors import ChangelogRefused
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.changelog import FORMAT, POSITION
from npsflow.streams.engine.counters import decode_counters, encode_counters
from npsflow.streams.engine.installation import Installation
from npsflow.streams.stage import Checkpoint, Output, Stage
from npsflow.streams.topology import make_stage
from tests.strategies import END, NOW
from tests.streams.engine.changelogs import ChangelogTask
from tests.streams.folding import Record, Task, deltas, panes, run

INSTALLATION = Installation()
_SETTINGS = Settings()
_MOST_IDLE = 100


def make(name: str) -> Stage:
    return make_stage(name, _SETTINGS, INSTALLATION)


# What the stages read.


@cache
def _responses() -> tuple[Record, ...]:
    """The sample; every response arrives soon after it was given, so that teams can still act on it."""
    lines = islice(sample.sample(7, 200, END), 200)
    return tuple(Record(line.key, line.value, n, NOW) for n, line in enumerate(lines))


@cache
def _classified() -> tuple[Output, ...]:
    return tuple(run(make("classify"), _responses(), ["go", "go", "commit"] * 100)[0].committed)


def _facts() -> tuple[Record, ...]:
    """What recover reads: alerts and follow-ups, and an action on each case that comes of them."""
    facts = [o for o in _classified() if o.topic in (topics.SERVICE_RECOVERY, topics.FOLLOW_UP)]
    records = [Record(o.key, o.value, n, NOW + n, o.headers, topic=o.topic) for n, o in enumerate(facts)]
    cases = [o for o in run(make("recover"), records)[0].committed if o.topic == topics.CASES]
    for n, case in enumerate(cases):
        fields = loads(case.value or b"")
        action = {"action_id": f"do-{n}", "action": "contact", "by": "anna", "case_id": fields["case_id"]}
        records.append(Record(fields["key"].encode(), dumps(action), n, NOW + 1000 + n, topic=topics.ACTIONS))
    return tuple(records)


RECORDS: dict[str, Callable[[], tuple[Record, ...]]] = {
    "classify": _responses,
    "rollup": lambda: tuple(panes(_classified())),
    "recover": cache(_facts),
}
"""By stage, the records of one partition."""


def visible(outputs: Iterable[Output]) -> dict[str, Any]:
    """What readers can tell of outputs, however commits have cut them.

    Of a compacted topic the table, of counts their sums and the greatest time, of any other topic what each key got,
    in its order.
    """
    seen: dict[str, Any] = defaultdict(dict)
    outputs = list(outputs)
    for topic, _, key, value, headers in outputs:
        if topic == topics.PANES:
            if key == TICK:
                seen["time"] = max(decode_tick(value or b""), seen["time"] or 0)
        elif topics.BY_NAME[topic].cleanup != "delete":
            seen[topic].pop(key, None)
            if value is not None:
                seen[topic][key] = value
        else:
            seen[topic].setdefault(key, []).append((value, headers))
    return {**seen, topics.PANES: deltas(outputs)}


# What is promised.

Promise = Callable[[Stage, Sequence[Record]], None]


def expect_no_trace_of_cuts(stage: Stage, records: Sequence[Record], plan: Sequence[str]) -> None:
    """Commits, restarts and crashes anywhere change nothing that readers can tell."""
    straight, log = run(stage, records)
    cut, cut_log = run(stage, records, plan)
    assert visible(cut.committed) == visible(straight.committed)
    assert cut.counters == straight.counters
    assert len(cut_log) == len(log)


def expect_equal_replay(stage: Stage, records: Sequence[Record], plan: Sequence[str]) -> None:
    """The same records, cut in the same way, give the same outputs and changelogs, byte for byte."""
    once, again = (run(stage, records, plan)[0] for _ in range(2))
    assert once.committed == again.committed
    assert (once.state, once.log, once.counters) == (again.state, again.log, again.counters)


def expect_pure_reading(stage: Stage, records: Sequence[Record]) -> None:
    """What is read and not applied leaves no trace; nor does a record that was given up and comes again."""
    straight, again = Task(stage), Task(stage)
    for record in records:
        straight.take(record)
        again.fold.read(record)
        with suppress(KeyError):  # of a stage that does not skip what is our own
            again.fold.crashed(record, KeyError("a mistake of ours"))
        again.take(record)
    assert again.commit(NOW) == straight.commit(NOW)
    assert (again.state, again.log, again.counters) == (straight.state, straight.log, straight.counters)


def expect_dead_letter_of_crash(stage: Stage, records: Sequence[Record]) -> None:
    """A record that crashes the fold is a dead letter as it came, or stops the task; it is never lost."""
    task, error = Task(stage), KeyError("a mistake of ours")
    skips = topics.DEAD_LETTERS in stage.outputs
    for record in records[:20]:
        task.take(record)
    task.commit(NOW)
    record = records[20]
    if not skips:
        with pytest.raises(KeyError, match="a mistake of ours"):
            task.fold.crashed(record, error)
        return
    task.fold.apply(task.fold.crashed(record, error))
    (letter,) = [output for output in task.commit(NOW) if output.topic == topics.DEAD_LETTERS]
    assert (letter.key, letter.value) == (record.key, record.value)
    assert dict(letter.headers)["npsflow_dlq_reason"] == b"internal_error"
    assert "a mistake of ours" not in str(letter.headers)


def expect_empty_second_checkpoint(stage: Stage, records: Sequence[Record]) -> None:
    """What a checkpoint has given it does not give again."""
    task = Task(stage)
    for number, record in enumerate(records):
        task.take(record)
        if number % 50 == 0:
            task.commit(NOW + number)
            assert task.fold.checkpoint(NOW + number) == Checkpoint()
            assert task.pending == []


def expect_rest(stage: Stage, records: Sequence[Record]) -> None:
    """At the end of its input a fold comes to rest at every time, and is at rest after a restart too."""
    task, _ = run(stage, records)
    for now in (NOW, NOW + 3_600_000, NOW + 90 * 86_400_000):
        for _ in range(_MOST_IDLE):
            if not task.fold.idle(now):
                break
            task.commit(now)
        else:
            pytest.fail(f"it finds something to do {_MOST_IDLE} times at the same moment")
        assert task.pending == []
    counters = task.counters
    task.restore()
    assert encode_counters(task.fold.counters) == counters


def expect_counters_to_survive(stage: Stage, records: Sequence[Record]) -> None:
    """Whatever is counted is declared, and comes back from a changelog as it went in."""
    task, _ = run(stage, records)
    counters = task.fold.counters
    assert sum(counters.values()) > 0
    assert decode_counters(stage.counters, encode_counters(counters)) == counters
    labels = {spec.stored: len(spec.labels) for spec in stage.counters}
    assert {key for key in counters if key[0] and labels.get(key[0]) != len(key) - 1} == set()
    declared = {spec.metric: len(spec.labels) for spec in stage.gauges}
    assert {key for key in task.fold.gauges() if declared.get(key[0]) != len(key) - 1} == set()


def expect_declared_outputs(stage: Stage, records: Sequence[Record]) -> None:
    """Nothing is written to a topic that the stage does not name, nor to a partition that it does not have."""
    written = Counter((output.topic, output.partition) for output in run(stage, records)[0].committed)
    assert {topic for topic, _ in written} <= stage.outputs.keys()
    assert all(partition < (stage.outputs[topic] or 1) for topic, partition in written)


async def expect_restore_from_changelogs(stage: Stage, records: Sequence[Record]) -> None:
    """The engine's changelogs give the fold back: its counters, its gauges, and what it makes of the rest."""
    half = len(records) // 2
    one = ChangelogTask(stage, INSTALLATION)
    one.take(records[:half])
    one.commit(NOW)
    other = ChangelogTask(stage, INSTALLATION, one.topics)
    await other.restore()
    assert other.position.offsets == one.position.offsets
    assert other.fold.counters == one.fold.counters
    assert other.fold.gauges() == one.fold.gauges()
    assert other.fold.stream_time == one.fold.stream_time
    for task in (one, other):
        task.take(records[half:])
    assert visible(other.commit(NOW + 5000)) == visible(one.commit(NOW + 5000))


async def expect_refused_changelogs(stage: Stage, records: Sequence[Record]) -> None:
    """State that cannot be trusted is refused, in words that say what to do."""
    written = ChangelogTask(stage, INSTALLATION)
    written.take(records)
    written.commit(NOW)
    state, log, store = written.changelog.state, written.changelog.log, written.topics
    position = loads(store.latest(state, POSITION) or b"")

    async def refused(damage: dict[str, Any]) -> str:
        store.append(state, POSITION, dumps(position | damage))
        with pytest.raises(ChangelogRefused) as caught:
            await ChangelogTask(stage, INSTALLATION, store).restore()
        assert "npsflow rebuild" in str(caught.value)
        return str(caught.value)

    assert f"format {FORMAT + 1}" in await refused({"format": FORMAT + 1})
    assert "input partitions" in await refused({"partitions": dict.fromkeys(stage.inputs, 2)})
    assert "it was made with" in await refused({"settings": {**stage.fixed, "another": 1}})
    assert "has not ended" in await refused({"rebuilding": True})
    await ChangelogTask(stage, INSTALLATION, store, rebuilding=True).restore()
    if log is not None:
        assert "records were deleted" in await refused({"log": [0, 1000]})
        store.delete_before(log, 1)
        assert "records were deleted" in await refused({})


def expect_refused_positions(stage: Stage) -> None:
    """A position that its input or its group contradicts is refused."""
    task = ChangelogTask(stage, INSTALLATION)
    begin, end = dict.fromkeys(stage.inputs, 10), dict.fromkeys(stage.inputs, 20)
    task.changelog.check(None, dict.fromkeys(stage.inputs), begin, end)
    with pytest.raises(ChangelogRefused, match="it is empty, but group"):
        task.changelog.check(None, dict.fromkeys(stage.inputs, 15), begin, end)
    for offset, fits in ((9, False), (10, True), (20, True), (21, False)):
        task.position.offsets = dict.fromkeys(stage.inputs, offset)
        if fits:
            task.changelog.check(task.position, begin, begin, end)
        else:
            with pytest.raises(ChangelogRefused, match="npsflow rebuild"):
                task.changelog.check(task.position, begin, begin, end)
