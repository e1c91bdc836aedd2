"""History: what stands on `nps-history` is what was answered in each hour and day, published no more than is needed."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import given

from npsflow.schemas import topics
from npsflow.schemas.times import DAY, HOUR, MINUTE, from_rfc3339, rfc3339_seconds
from npsflow.streams.config.sections import Windows
from npsflow.streams.config.settings import Settings
from npsflow.streams.stage import Output
from npsflow.streams.windows.stage import Rollup
from tests.strategies import NOW, plans
from tests.streams.folding import Task, run
from tests.streams.windows.test_spellings import FIRST, spelled
from tests.streams.windows.test_stage import STAGE, Step, histories, record

LENGTHS = {"1h": HOUR, "1d": DAY}
KEPT = {"1h": 14 * DAY, "1d": 60 * DAY}


def written(outputs: Iterable[Output]) -> list[Output]:
    return [output for output in outputs if output.topic == topics.HISTORY]


def standing(outputs: Iterable[Output]) -> dict[tuple[str, str, str, int], dict[str, int]]:
    """Histograms that stand, by metric, channel, resolution and start."""
    table: dict[bytes | None, bytes] = {}
    for output in written(outputs):
        table.pop(output.key, None)
        if output.value is not None:
            table[output.key] = output.value
    values = map(json.loads, table.values())
    return {
        (v["metric"], v["segment"].get("channel", ""), v["resolution"], from_rfc3339(v["start"])): v["histogram"]
        for v in values
    }


def recomputed(steps: Sequence[Step]) -> dict[tuple[str, str, str, int], dict[str, int]]:
    """The same from the steps alone: each step counts if its pane was kept then; hours leave, days stay."""
    time, found = 0, defaultdict[tuple[str, str, str, int], Counter[str]](Counter)
    for step in steps:
        if isinstance(step, int):
            time = max(time, step)
            continue
        metric, channel, at, score, count = step
        for name, length in LENGTHS.items():
            start = at // length * length
            if start >= (time // length + 1) * length - KEPT[name]:
                found[metric, channel, name, start][str(score)] += count
    border = (time // HOUR + 1) * HOUR - KEPT["1h"]
    return {
        cell: {score: n for score, n in histogram.items() if n}
        for cell, histogram in found.items()
        if histogram.total() >= (5 if cell[0] == "enps" else 1) and (cell[2] == "1d" or cell[3] >= border)
    }


def closed(found: dict[tuple[str, str, str, int], dict[str, int]], time: int) -> dict[tuple[str, str, str, int], Any]:
    return {cell: counts for cell, counts in found.items() if cell[3] + LENGTHS[cell[2]] <= time}


def latest(steps: Iterable[Step]) -> int:
    return max([step for step in steps if isinstance(step, int)], default=0)


@given(histories(), plans)
def test_closed_hours_and_days_are_those_recomputed_and_open_ones_once_time_has_gone_on(
    steps: list[Step], plan: list[str]
) -> None:
    task, _ = run(STAGE, [record(step) for step in steps], plan)
    time = latest(steps)
    assert closed(standing(task.committed), time) == closed(recomputed(steps), time)
    while task.fold.idle(NOW + 200 * DAY):
        task.commit(NOW + 200 * DAY)
    assert standing(task.committed) == recomputed(steps)


@given(histories(), plans)
def test_what_readers_end_up_with_does_not_depend_on_commits_and_restarts(steps: list[Step], plan: list[str]) -> None:
    records = [record(step) for step in steps]
    (task, _), (plain, _) = run(STAGE, records, plan), run(STAGE, records)
    assert standing(task.committed) == standing(plain.committed)
    assert set(task.state.items()) == set(plain.state.items())


def rolled(*steps: Step, settings: Settings | None = None) -> Task:
    task = Task(Rollup((settings or Settings()).window_settings("npsflow/t.")))
    for step in steps:
        task.take(record(step))
        task.commit(NOW)
    return task


def commit(task: Task, *steps: Step) -> list[Output]:
    for step in steps:
        task.take(record(step))
    return written(task.commit(NOW))


def test_what_is_written() -> None:
    task = rolled(("nps", "a", NOW, 9, 2), ("nps", "a", NOW, 0, 1))
    hour, day = commit(task, NOW)
    assert (hour.topic, hour.partition, hour.headers) == (topics.HISTORY, 0, [])
    assert hour.key == b'["nps","0-10",{"channel":"a"},"1h","2026-03-01T15:00:00Z"]'
    assert day.key == b'["nps","0-10",{"channel":"a"},"1d","2026-03-01T00:00:00Z"]'
    assert json.loads(hour.value or b"") == {
        "metric": "nps", "scale": "0-10", "segment": {"channel": "a"}, "resolution": "1h", "n": 3,
        "start": "2026-03-01T15:00:00Z", "end": "2026-03-01T16:00:00Z", "histogram": {"0": 1, "9": 2},
        "promoters": 2, "passives": 0, "detractors": 1,
    }  # fmt: skip
    other = written(rolled(("csat", "", NOW, 5, 1), NOW).committed)[0]
    assert not {"promoters", "passives", "detractors"} & json.loads(other.value or b"").keys()


def test_an_open_hour_is_written_once_a_minute_and_a_closed_one_when_it_changes() -> None:
    task = rolled(NOW)
    assert commit(task, ("nps", "", NOW, 9, 1)) == []
    assert commit(task, NOW + 1000, ("nps", "", NOW, 9, 1)) == []
    assert len(commit(task, NOW + MINUTE)) == 2
    assert commit(task, NOW + MINUTE + 1000, NOW + 2 * MINUTE) == []
    assert commit(task, ("nps", "", NOW, 9, 1)) == []
    assert len(commit(task, NOW + 3 * MINUTE, NOW + 4 * MINUTE, NOW + 5 * MINUTE)) == 2
    commit(task, ("nps", "", NOW, 9, 1))
    assert len(commit(task, NOW + HOUR)) == 2  # the hour ends
    (hour,) = [output for output in commit(task, ("nps", "", NOW, 9, -1)) if b'"1h"' in (output.key or b"")]
    assert json.loads(hour.value or b"")["n"] == 3


def test_the_end_of_the_input_lets_the_rest_out() -> None:
    task = rolled(NOW, ("nps", "", NOW, 9, 1))
    task.fold.checkpoint(NOW)
    assert task.fold.idle(NOW + 2 * MINUTE)
    assert len(written(task.commit(NOW + 2 * MINUTE))) == 2
    assert not task.fold.idle(NOW + 9 * MINUTE)
    commit(task, ("nps", "", NOW, 9, 1))
    assert not task.fold.idle(NOW + 3 * MINUTE)
    task.restore()
    assert task.fold.idle(NOW + 9 * MINUTE)


def test_hours_leave_with_their_panes_and_days_stay() -> None:
    task = rolled(("nps", "", NOW, 9, 1), NOW, NOW + DAY)
    (gone,) = commit(task, NOW + 15 * DAY)
    assert (gone.key, gone.value) == (b'["nps","0-10",{},"1h","2026-03-01T15:00:00Z"]', None)
    assert commit(task, NOW + 99 * DAY) == []
    assert commit(task, ("nps", "", NOW, 9, 5)) == []


def test_an_hour_that_nobody_answered_any_more_is_taken_back() -> None:
    task = rolled(("nps", "", NOW, 9, 1), NOW, NOW + DAY)
    assert [output.value for output in commit(task, ("nps", "", NOW, 9, -1))] == [None, None]
    assert commit(task, ("nps", "", NOW, 9, 1), ("nps", "", NOW, 9, -1)) == []


def test_few_employees_are_never_published() -> None:
    task = rolled(("enps", "", NOW, 9, 4), NOW, NOW + DAY)
    assert written(task.committed) == []
    task.restore()
    assert len(commit(task, ("enps", "", NOW, 9, 1))) == 2
    assert [output.value for output in commit(task, ("enps", "", NOW, 9, -1))] == [None, None]
    task.restore()
    assert commit(task, ("enps", "", NOW, 9, -1)) == []


def test_hours_and_days_are_there_whatever_the_windows_are() -> None:
    task = rolled(("nps", "", NOW, 9, 1), NOW, NOW + DAY, settings=Settings(windows=Windows(lengths=["1h"])))
    assert {json.loads(output.value or b"")["resolution"] for output in written(task.committed)} == {"1h", "1d"}


def test_another_spelling_is_written_for_all_that_is_kept() -> None:
    task = rolled(("nps", "e-mail", NOW - 3 * DAY, 9, 1), ("nps", "e-mail", NOW, 9, 1), NOW)
    task.take(spelled(FIRST))
    found = [json.loads(output.value or b"") for output in commit(task, NOW + MINUTE)]
    assert [value["segment"] for value in found] == [{"channel": "E-Mail"}] * 4
    assert {value["start"] for value in found} >= {rfc3339_seconds((NOW - 3 * DAY) // HOUR * HOUR)}


def test_days_are_kept_as_long_as_they_can_be_corrected() -> None:
    task = rolled(("nps", "", NOW, 9, 1), NOW, NOW + 99 * DAY, settings=Settings(horizon_days=100))
    (day,) = commit(task, ("nps", "", NOW, 9, 1))
    assert json.loads(day.value or b"")["n"] == 2
