"""The fold of classify: against the oracle, and whatever the commits, restarts and crashes in between."""

import json
from typing import Any

import pytest
from hypothesis import given, settings

from npsflow.agents.demo import oracle
from npsflow.schemas import topics
from npsflow.schemas.headers import ORIGIN
from npsflow.streams.classification import OUTCOMES, Classify
from npsflow.streams.rollup import Rollup
from npsflow.streams.settings import DeadLetters, Segments, Settings

from ..strategies import NOW, Produced, histories, plans
from .folding import Output, Record, Task, deltas, for_oracle, log, panes, run, windows
from .oracle_cases import deletion, response

SETTINGS = Settings(idle_ticks=False)
STAGE = Classify(SETTINGS.meaning("t.", 1))


def told(outputs: list[Output], topic: str) -> list[Output]:
    return [output for output in outputs if output.topic == topic]


def events(outputs: list[Output], topic: str) -> list[oracle.Event]:
    return [
        oracle.Event(dict(o.headers)["ce_type"].decode(), o.key, json.loads(o.value or b"")) for o in told(outputs, topic)
    ]


def dead(outputs: list[Output]) -> list[tuple[str, int, int]]:
    found = [dict(output.headers) for output in told(outputs, topics.DEAD_LETTERS)]
    return [
        (h["npsflow_dlq_reason"].decode(), int(h["npsflow_dlq_partition"]), int(h["npsflow_dlq_offset"])) for h in found
    ]


def outcomes(task: Task) -> dict[str, int]:
    return {name: task.counters[name] for name in OUTCOMES if task.counters.get(name)}


# Against the oracle


@settings(max_examples=150)
@given(histories(), plans)
def test_everything_that_comes_out_is_what_the_oracle_expects(history: list[Produced], plan: list[str]) -> None:
    task, whole = run(STAGE, log(history), plan)
    expected = oracle.expect(for_oracle(whole), partitions=1)
    out = task.committed
    assert oracle.compare_outcomes(expected, outcomes(task)) == []
    assert oracle.compare_forwarded(expected) == []
    assert oracle.compare_dead(expected, dead(out)) == []
    assert oracle.compare_alerts(expected, events(out, topics.SERVICE_RECOVERY)) == []
    assert oracle.compare_follow_ups(expected, events(out, topics.FOLLOW_UP)) == []
    rolled, _ = run(Rollup(SETTINGS.rolling("t.")), panes(out))
    assert oracle.compare_windows(expected, map(json.loads, windows(rolled.committed).values())) == []
