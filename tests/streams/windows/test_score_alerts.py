"""Alerts about scores, through classify and roll up: once each, the same after restarts and in any order."""

import json
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npsflow.schemas import topics
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import DAY, HOUR, MINUTE, from_rfc3339, rfc3339
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings, parse
from npsflow.streams.stage import Output
from npsflow.streams.windows.stage import Rollup
from tests.streams.folding import Record, Task, panes, run
from tests.support.responses import response

START = 1_767_571_200_000  # 2026-01-05, midnight
TASKS = 3
RULES = """
idle_ticks = false
[segments]
dimensions = ["channel", "department"]
[watching]
false_alarms_per_month = 2
[[watch]]
name = "everywhere"
metric = "nps"
kind = "target"
target = 30
segment = { channel = "*" }
[[watch]]
name = "all of it"
metric = "nps"
kind = "drop"
"""
SETTINGS = parse(RULES)


def answers(seed: int, days: int, drop: int) -> list[Record]:
    """Two channels, of which one drops after so many days; a tenth is corrected, some of it days later."""
    random, found = Random(seed), list[tuple[int, str, dict[str, Any]]]()
    for n in range(days * 12):
        at = START + n * 2 * HOUR + random.randrange(HOUR)
        channel = random.choice(["Chat", "phone"])
        happy = 0.1 if channel == "Chat" and at > START + drop * DAY else 0.7
        score = 10 if random.random() < happy else random.choice([0, 8])
        fields = {"channel": channel, "submitted_at": rfc3339(at)}
        found.append((at, f"r{n}", response(f"r{n}", score, **fields)))
        if random.random() < 0.1:
            later = at + random.choice([MINUTE, 3 * HOUR, 2 * DAY])
            found.append((later, f"r{n}", response(f"r{n}", 10 - score, **fields, updated_at=rfc3339(later))))
    found.sort(key=lambda one: one[0])
    return [
        Record(f"s/{name}".encode(), json.dumps(value).encode(), n, at) for n, (at, name, value) in enumerate(found)
    ]


def classified(records: Sequence[Record], of: Settings = SETTINGS, every: int = 20) -> list[list[Record]]:
    """What each task of classify writes to the one partition of panes, which it commits after so many records."""
    stage, found = Classify(of.classify_settings("npsflow/t.", 1)), []
    for task in range(TASKS):
        one, written = Task(stage, task, TASKS), list[Output]()
        mine = [r for r in records if partition_of(r.key or b"", TASKS) == task]
        for number, record in enumerate(mine, 1):
            one.take(record)
            if number % every == 0:
                written += one.commit(record.timestamp)
        end = mine[-1].timestamp + HOUR
        written += one.commit(end)
        one.fold.idle(end + HOUR)
        found.append(panes(written + one.commit(end + HOUR)))
    return found


def shuffled(tasks: Sequence[Sequence[Record]], random: Random) -> list[Record]:
    """The records of all tasks, each in its own order."""
    left = [list(task) for task in tasks]
    found = []
    while any(left):
        task = random.choice([task for task in left if task])
        size = random.choice([1, 1, 5, 1000])
        found += task[:size]
        del task[:size]
    return found


def events(outputs: Iterable[Output]) -> list[dict[str, Any]]:
    return [json.loads(output.value or b"") for output in outputs if output.topic == topics.SCORE_ALERTS]


def ids(outputs: Iterable[Output]) -> dict[bytes | None, list[tuple[str, str]]]:
    """Of each key type and id in their order."""
    found: dict[bytes | None, list[tuple[str, str]]] = {}
    for output in outputs:
        if output.topic == topics.SCORE_ALERTS:
            value = json.loads(output.value or b"")
            found.setdefault(output.key, []).append((value["type"], value["id"]))
    return found


ANSWERS = answers(5, 90, 60)
TASKS_OF = classified(ANSWERS)
STAGE = Rollup(SETTINGS.window_settings("npsflow/t."))
PLAIN = run(STAGE, shuffled(TASKS_OF, Random(0)))[0].committed
"""What comes out without restarts."""


def test_what_is_written_of_a_target_that_is_missed() -> None:
    output = next(o for o in PLAIN if o.topic == topics.SCORE_ALERTS and b"everywhere" in (o.key or b""))
    (value,) = events([output])
    assert output.key == b'["everywhere","nps","0-10",{"channel":"chat"}]'
    assert {name: value[name] for name in ("type", "rule", "kind", "metric", "scale", "segment", "target")} == {
        "type": "npsflow.score_alert.fired.v1", "rule": "everywhere", "kind": "target", "metric": "nps",
        "scale": "0-10", "segment": {"channel": "Chat"}, "target": 30.0,
    }  # fmt: skip
    headers = {name: text.decode() for name, text in output.headers}
    assert (headers["ce_subject"], headers["ce_id"]) == (value["alert_id"], f"{value['alert_id']}.1")
    assert headers["ce_time"] == value["time"] == value["at"].replace("Z", ".000Z")
    assert START + 58 * DAY < from_rfc3339(value["since"]) < from_rfc3339(value["at"]) < START + 75 * DAY
    assert value["low"] <= value["score"] <= value["high"] < 30
    assert value["evidence"] >= 720 * 2 * 2 / 2
    assert not {"reference", "lasted_s"} & value.keys()
    since = [
        r for r in ANSWERS if from_rfc3339(value["since"]) <= r.timestamp // HOUR * HOUR < from_rfc3339(value["at"])
    ]
    assert value["n"] <= len(since)


def test_a_drop_says_what_it_is_measured_against() -> None:
    (drop,) = [value for value in events(PLAIN) if value["rule"] == "all of it" and value["type"].endswith("fired.v1")]
    assert drop["segment"] == {}
    assert drop["score"] < drop["reference"]
    assert "target" not in drop


def test_no_event_is_written_twice() -> None:
    names = [value["id"] for value in events(PLAIN)]
    assert len(names) == len(set(names)) > 1


@settings(max_examples=5)
@given(st.integers(0, 1_000_000), st.sampled_from([1, 7, 20, 500]))
def test_ids_are_the_same_in_any_order_of_partitions_and_however_commits_cut(seed: int, every: int) -> None:
    random = Random(seed)
    tasks = TASKS_OF if every == 20 else classified(ANSWERS, every=every)
    plan = random.choices(["go", "commit", "restart", "crash"], [90, 5, 3, 2], k=400)
    assert ids(run(STAGE, shuffled(tasks, random), plan)[0].committed) == ids(PLAIN)


def test_one_task_may_be_read_to_its_end_before_the_others() -> None:
    for order in ((0, 1, 2), (2, 1, 0)):
        records = [record for task in order for record in TASKS_OF[task]]
        assert ids(run(STAGE, records)[0].committed) == ids(PLAIN)


def test_while_a_task_stands_still_nothing_is_judged() -> None:
    records = [record for task in TASKS_OF[:2] for record in task]
    assert events(run(STAGE, records)[0].committed) == []


def test_a_correction_that_comes_late_changes_windows_and_no_evidence() -> None:
    """The bad answers of a closed hour are all taken back: the alert comes as it did."""
    late = [json.loads(r.value or b"") for r in ANSWERS]
    corrected = [
        Record(
            f"s/{value['response_id']}".encode(),
            json.dumps(value | {"score": 10, "updated_at": rfc3339(at)}).encode(),
            9,
            at,
        )
        for value in late
        if (at := ANSWERS[-1].timestamp + DAY)
    ]
    task, _ = run(STAGE, shuffled(classified([*ANSWERS, *corrected]), Random(1)))
    assert ids(task.committed) == ids(PLAIN)


def test_without_rules_classify_writes_what_it_always_wrote() -> None:
    plain = classified(ANSWERS, Settings(idle_ticks=False))
    assert {name for task in plain for record in task for name, _ in record.headers} == {
        "npsflow_spellings",
        "npsflow_task_at",
    }
    assert "npsflow_late" in {name for task in TASKS_OF for record in task for name, _ in record.headers}


def test_an_alert_of_a_rule_that_is_gone_is_resolved_with_the_first_commit() -> None:
    task, _ = run(STAGE, shuffled(TASKS_OF, Random(0))[:-1])
    standing = {v["alert_id"] for v in events(task.committed)} - {
        v["alert_id"] for v in events(task.committed) if v["type"].endswith("resolved.v1")
    }
    assert standing
    task.stage = Rollup(Settings(idle_ticks=False).window_settings("npsflow/t."))
    task.restore()
    ended = events(task.commit(0))
    assert {value["alert_id"] for value in ended} == standing
    assert {value["type"] for value in ended} == {"npsflow.score_alert.resolved.v1"}
    assert all(value["lasted_s"] > 0 for value in ended)
    task.restore()
    assert events(task.commit(0)) == []


@pytest.mark.parametrize("kept", [b"watched:", b"open-hour:"])
def test_the_changelog_holds_no_more_than_is_watched(kept: bytes) -> None:
    task, _ = run(STAGE, shuffled(TASKS_OF, Random(0)))
    assert 0 < sum(key.startswith(kept) for key in task.state) <= 12
