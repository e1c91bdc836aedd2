"""Producers that use another partitioner: counted once, one alert, whatever meets where and when."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npsflow.agents.demo import oracle
from npsflow.schemas import topics
from npsflow.schemas.headers import ORIGIN
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import MINUTE, rfc3339
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.counters import encode_counters
from npsflow.streams.windows.stage import Rollup
from tests.strategies import NOW, own_key
from tests.streams.folding import Record, Task, for_oracle, panes, run, windows
from tests.support.responses import response

PARTITIONS = 4
SETTINGS = Settings(idle_ticks=False)
STAGE = Classify(SETTINGS.classify_settings("npsflow/t.", 1))


class Produced(NamedTuple):
    """A version of a response, and the partition that its producer has chosen."""

    value: bytes
    partition: int


class Topic:
    """The input topic and its tasks, which read at their own pace and forward to each other."""

    def __init__(self, *, prepare: bool) -> None:
        self._prepare = prepare
        self.logs: list[list[Record]] = [[] for _ in range(PARTITIONS)]
        self.tasks = [Task(STAGE, partition, PARTITIONS) for partition in range(PARTITIONS)]
        self.now = NOW

    def append(self, partition: int, key: bytes | None, value: bytes | None, headers: Any = ()) -> None:
        log, self.now = self.logs[partition], self.now + 1000
        log.append(Record(key, value, len(log), self.now, list(headers), partition))

    def read(self, partition: int, count: int) -> None:
        """Read up to so many of the records that are there, as one batch."""
        task = self.tasks[partition]
        batch = self.logs[partition][task.next : task.next + count]
        if self._prepare:
            task.fold.prepare(batch, self.now)
        for record in batch:
            task.take(record)

    def commit(self, partition: int) -> None:
        for output in self.tasks[partition].commit(self.now):
            if output.topic == topics.RESPONSES:
                self.append(output.partition, output.key, output.value, output.headers)

    def finish(self) -> None:
        """Read and commit until nothing is left, what is forwarded meanwhile included."""
        while any(task.position < len(log) for task, log in zip(self.tasks, self.logs, strict=True)):
            for partition in range(PARTITIONS):
                self.read(partition, 1000)
                self.commit(partition)

    def everything(self) -> list[Any]:
        return [output for task in self.tasks for output in task.committed]


def version(name: str, number: int, score: int, **more: Any) -> bytes:
    updated = rfc3339(NOW - 100 * MINUTE + number * 1000)
    fields = response(name, score=score, submitted_at=rfc3339(NOW - 120 * MINUTE), updated_at=updated, **more)
    return json.dumps(fields).encode()


@st.composite
def histories(draw: st.DrawFn) -> list[Produced]:
    """Corrections and deletions of few responses, by producers that choose partitions in any way."""
    made = []
    for number in range(draw(st.integers(1, 16))):
        name, score = draw(st.sampled_from("12345")), draw(st.sampled_from([2, 5, 8, 9]))
        deleted = {"deleted": True} if draw(st.integers(0, 4)) == 0 else {}
        value = version(name, number, score, **deleted)
        right = partition_of(own_key(value) or b"", PARTITIONS)
        made.append(Produced(value, draw(st.just(right) | st.integers(0, PARTITIONS - 1))))
    return made


steps = st.lists(
    st.tuples(
        st.sampled_from(["read", "read", "commit", "restart", "crash"]),
        st.integers(0, PARTITIONS - 1),
        st.integers(1, 5),
    ),
    max_size=30,
)
"""What happens beside producing: to which task, and how many records it reads."""


def follow(produced: Sequence[Produced], plan: Sequence[tuple[str, int, int]], *, prepare: bool) -> Topic:
    topic, plan = Topic(prepare=prepare), list(plan)
    for item in produced:
        topic.append(item.partition, own_key(item.value), item.value)
        for _ in range(2):
            if plan:
                kind, partition, count = plan.pop(0)
                if kind == "read":
                    topic.read(partition, count)
                else:
                    if kind != "crash":
                        topic.commit(partition)
                    if kind != "commit":
                        topic.tasks[partition].restore()
    topic.finish()
    return topic


def events(topic: Topic, name: str) -> list[tuple[str, dict[str, Any]]]:
    found = [output for output in topic.everything() if output.topic == name]
    return [(dict(output.headers)["ce_type"].decode(), json.loads(output.value)) for output in found]


def live(found: Sequence[tuple[str, dict[str, Any]]], id_: str) -> dict[str, str | None]:
    """By id the category of what was said last, None where that was retracted."""
    newest = {value[id_]: (kind, value) for kind, value in sorted(found, key=lambda event: event[1]["revision"])}
    return {name: None if "retracted" in kind else value["category"] for name, (kind, value) in newest.items()}


@settings(max_examples=200)
@given(histories(), steps, st.booleans())
def test_it_ends_as_if_every_producer_used_the_right_partitioner(
    produced: list[Produced], plan: list[tuple[str, int, int]], prepare: bool
) -> None:
    topic = follow(produced, plan, prepare=prepare)
    right = follow(
        [Produced(p.value, partition_of(own_key(p.value) or b"", PARTITIONS)) for p in produced], [], prepare=False
    )
    assert rolled_up(topic) == rolled_up(right)
    for name, id_ in ((topics.SERVICE_RECOVERY, "alert_id"), (topics.FOLLOW_UP, "follow_up_id")):
        found = events(topic, name)
        said = Counter((value[id_], value["revision"]) for _, value in found)
        assert set(said.values()) <= {1}
        standing = {key: category for key, category in live(found, id_).items() if category is not None}
        assert standing == {k: c for k, c in live(events(right, name), id_).items() if c is not None}
    raised = Counter(value["alert_id"] for kind, value in events(topic, topics.SERVICE_RECOVERY) if "raised" in kind)
    assert set(raised.values()) <= {1}


def rolled_up(topic: Topic) -> dict[bytes | None, bytes]:
    rolled, _ = run(Rollup(SETTINGS.window_settings("npsflow/t.")), panes(topic.everything()))
    return windows(rolled.committed)


@settings(max_examples=100)
@given(histories(), steps, st.booleans())
def test_each_misplaced_record_is_forwarded_once_and_counted(
    produced: list[Produced], plan: list[tuple[str, int, int]], prepare: bool
) -> None:
    topic = follow(produced, plan, prepare=prepare)
    whole = [record for log in topic.logs for record in log]
    copies = [record for record in whole if record.headers]
    wrong = [p for p in produced if p.partition != partition_of(own_key(p.value) or b"", PARTITIONS)]
    assert len(copies) == len({dict(record.headers)[ORIGIN] for record in copies}) == len(wrong)
    assert all(record.partition == partition_of(record.key or b"", PARTITIONS) for record in copies)
    assert oracle.compare_forwarded(oracle.expect(for_oracle(whole), partitions=PARTITIONS)) == []
    counted: Counter[str] = Counter()
    for task in topic.tasks:
        counted.update(encode_counters(task.fold.counters))
    assert counted["forwarded"] == counted["misplaced:s"] + counted["misplaced:unknown"] == len(wrong)


@pytest.mark.parametrize("prepare", [True, False])
@pytest.mark.parametrize("choose", [lambda n: n % PARTITIONS, lambda n: 0, lambda n: n // 20 % PARTITIONS])
def test_a_switch_of_partitioner_in_the_middle_equals_the_oracle(choose: Callable[[int], int], prepare: bool) -> None:
    """All that was there is read before the client is switched: then even the order of events is the same."""
    topic = Topic(prepare=prepare)
    for turn, score in enumerate((2, 9, 3)):
        for number in range(40):
            value = version(str(number), turn, score)
            key = own_key(value) or b""
            topic.append(choose(number) if turn == 1 else partition_of(key, PARTITIONS), key, value)
        topic.finish()
    expected = oracle.expect(for_oracle([r for log in topic.logs for r in log]), partitions=PARTITIONS)
    assert oracle.compare_alerts(expected, oracle_events(topic, topics.SERVICE_RECOVERY)) == []
    assert oracle.compare_follow_ups(expected, oracle_events(topic, topics.FOLLOW_UP)) == []
    assert oracle.compare_windows(expected, map(json.loads, rolled_up(topic).values())) == []


@st.composite
def spelled_answers(draw: st.DrawFn) -> list[Produced]:
    """Each another response, of few departments in several spellings, submitted and produced in any order."""
    made = []
    for number in range(draw(st.integers(2, 12))):
        submitted = rfc3339(NOW - draw(st.integers(1, 120)) * MINUTE)
        fields = response(str(number), department=draw(st.sampled_from(["Sales", "SALES", " sales", "Shop", "shop"])))
        value = json.dumps(fields | {"submitted_at": submitted}).encode()
        right = partition_of(own_key(value) or b"", PARTITIONS)
        made.append(Produced(value, draw(st.just(right) | st.integers(0, PARTITIONS - 1))))
    return made


@settings(max_examples=200)
@given(spelled_answers(), steps)
def test_names_are_spelled_as_in_the_first_record_whoever_read_what_first(
    produced: list[Produced], plan: list[tuple[str, int, int]]
) -> None:
    """Also where a task read a record that was forwarded to it after younger ones of its own."""
    topic = follow(produced, plan, prepare=True)
    topic.now += MINUTE
    for partition in range(PARTITIONS):
        topic.commit(partition)  # time goes on once a second
    expected = oracle.expect(for_oracle([r for log in topic.logs for r in log]), partitions=PARTITIONS)
    assert oracle.compare_windows(expected, map(json.loads, rolled_up(topic).values())) == []


def oracle_events(topic: Topic, name: str) -> list[oracle.Event]:
    found = [output for output in topic.everything() if output.topic == name]
    return [oracle.Event(dict(o.headers)["ce_type"].decode(), o.key, json.loads(o.value)) for o in found]


def test_a_huge_key_is_no_ones_and_costs_nothing() -> None:
    task = Task(STAGE, 0, PARTITIONS)
    record = Record(b"x" * 1_000_000, version("1", 0, 2))
    task.fold.prepare([record, Record(None, b"")], NOW)
    task.take(record)
    assert encode_counters(task.fold.counters) == {"forwarded": 1}
