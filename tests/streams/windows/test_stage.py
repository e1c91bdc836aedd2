"""Panes and windows against a recomputation from scratch; the cap, publication, restarts."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas import topics
from npsflow.schemas.deltas import PANE, TICK, delta_key, encode_deltas, encode_tick
from npsflow.schemas.times import DAY, HOUR, MINUTE, rfc3339_seconds
from npsflow.streams.config.sections import ScaleSettings, Segments, Windows
from npsflow.streams.config.settings import Settings
from npsflow.streams.windows.stage import Rollup
from tests.strategies import NOW, plans
from tests.streams.folding import Record, Task, run, windows

STAGE = Rollup(Settings().window_settings("npsflow/t."))
WINDOWS = {"1h": (HOUR, PANE), "24h": (DAY, HOUR), "7d": (7 * DAY, HOUR), "30d": (30 * DAY, DAY)}
KEPT = {PANE: 2 * HOUR, HOUR: 14 * DAY, DAY: 60 * DAY}
SCALES = {"nps": "0-10", "enps": "0-10", "csat": "1-5", "ces": "1-7"}

Delta = tuple[str, str, int, int, int]
"""(metric, channel or empty, time in ms, score, count)."""
Step = int | Delta
"""A tick or a delta."""


def record(step: Step) -> Record:
    if isinstance(step, int):
        return Record(TICK, encode_tick(step))
    metric, channel, time, score, count = step
    values = (channel,) if channel else ()
    key = delta_key(metric, SCALES[metric], ["channel"] * len(values))
    return Record(key, encode_deltas({values: [time // PANE, score, count]}))


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Ticks back and forth; deltas old, late and in the future, none of which takes back what was not given."""
    offsets = st.sampled_from([0, 1, 4, 5, 59, 60, 61, 23 * 60, 24 * 60])
    days = st.sampled_from([0, 0, 0, 0, 1, 6, 7, 8, 13, 14, 15, 29, 30, 31, 59, 60, 61])
    times = st.builds(lambda d, m, sign: NOW + sign * (d * DAY + m * MINUTE), days, offsets, st.sampled_from([-1, 1]))
    given: Counter[tuple[str, str, int, int]] = Counter()
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 30))):
        if draw(st.integers(0, 4)) == 0:
            steps.append(draw(times))
        elif given and draw(st.integers(0, 2)) == 0:
            cell = draw(st.sampled_from(sorted(given)))
            count = draw(st.integers(-given[cell], 3))
            given[cell] += count
            steps.append((*cell, count))
        else:
            cell = (
                draw(st.sampled_from(sorted(SCALES))),
                draw(st.sampled_from(["", "a"])),
                draw(times),
                draw(st.integers(1, 5)),
            )
            count = draw(st.integers(1, 5))
            given[cell] += count
            steps.append((*cell, count))
    return steps


def recomputed(steps: Iterable[Step]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Start, end and histogram of what has to stand, by metric, channel and window."""
    time, taken = 0, []
    for step in steps:
        if isinstance(step, int):
            time = max(time, step)
        else:
            oldest = {pane: (time // pane + 1) * pane - kept for pane, kept in KEPT.items()}
            taken.append((step, {pane for pane in KEPT if step[2] // pane * pane >= oldest[pane]}))
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for name, (length, pane) in WINDOWS.items():
        end = (time // pane + 1) * pane
        sums: dict[tuple[str, str], Counter[str]] = {}
        for (metric, channel, at, score, count), kept in taken:
            if pane in kept and end - length <= at // pane * pane < end:
                sums.setdefault((metric, channel), Counter())[str(score)] += count
        for (metric, channel), histogram in sums.items():
            if histogram.total() >= (5 if metric == "enps" else 1):
                value = {"histogram": {score: n for score, n in histogram.items() if n}, "n": histogram.total()}
                value |= {"start": rfc3339_seconds(end - length), "end": rfc3339_seconds(end)}
                found[metric, channel, name] = value
    return found


def published(task: Task) -> dict[tuple[str, str, str], dict[str, Any]]:
    found = {}
    for value in map(json.loads, windows(task.committed).values()):
        window = {name: value[name] for name in ("histogram", "n", "start", "end")}
        found[value["metric"], value["segment"].get("channel", ""), value["window"]] = window
    return found


@given(histories())
def test_windows_are_those_recomputed_from_scratch(steps: list[Step]) -> None:
    task, _ = run(STAGE, [record(step) for step in steps])
    assert published(task) == recomputed(steps)


@given(histories(), plans)
def test_commits_restarts_and_crashes_change_no_window(steps: list[Step], plan: list[str]) -> None:
    records = [record(step) for step in steps]
    task, _ = run(STAGE, records, plan)
    plain, _ = run(STAGE, records)
    assert windows(task.committed) == windows(plain.committed)
    assert task.counters == plain.counters
    assert set(task.state.items()) == set(plain.state.items())


@given(histories(), plans)
def test_nothing_is_published_that_already_stands(steps: list[Step], plan: list[str]) -> None:
    standing: dict[bytes | None, bytes | None] = {}
    grow = [step for step in steps if isinstance(step, int) or step[4] > 0]  # nothing cancels out within a commit
    task, _ = run(STAGE, [record(step) for step in grow], plan)
    for output in task.committed:
        assert standing.get(output.key) != output.value
        standing[output.key] = output.value


# One by one


def rolled(*steps: Step, settings: Settings | None = None) -> Task:
    task = Task(Rollup((settings or Settings()).window_settings("npsflow/t.")))
    for step in steps:
        task.take(record(step))
        task.commit(NOW)
    return task


def test_a_window_that_moves_by_more_than_its_length_is_a_tombstone() -> None:
    task = rolled(("nps", "", NOW, 9, 3), NOW)
    assert {key[2] for key in published(task)} == set(WINDOWS)
    for later, left in ((2 * HOUR, {"24h", "7d", "30d"}), (8 * DAY, {"30d"}), (99 * DAY, set[str]())):
        task.take(record(NOW + later))
        out = [output for output in task.commit(NOW) if output.topic == topics.WINDOWS]
        assert {key[2] for key in published(task)} == left
    (output,) = out
    headers = {name: value.decode() for name, value in output.headers}
    assert output.value is None
    assert headers["ce_type"] == "npsflow.window.updated.v1"
    assert {dict(o.headers)["ce_subject"] for o in task.committed if o.key == output.key} == {
        headers["ce_subject"].encode()
    }
    standing = [o for o in task.committed if o.value is not None and o.topic == topics.WINDOWS]
    assert headers["ce_id"] not in {dict(o.headers)["ce_id"].decode() for o in standing}


def test_expired_panes_are_forgotten_by_the_changelog_too() -> None:
    task = rolled(("nps", "", NOW, 9, 3), NOW)
    assert len(task.state) == 4  # its name, and a pane of each size
    for later, left in ((HOUR, 4), (3 * HOUR, 3), (15 * DAY, 2), (61 * DAY, 1)):
        task.take(record(NOW + later))
        task.commit(NOW)
        assert len(task.state) == left
    task.take(record(("nps", "", NOW, 9, -3)))
    assert task.commit(NOW) == []


def test_the_oldest_pane_that_is_kept() -> None:
    for minutes, states in ((0, 4), (5, 3)):  # panes of five minutes end at 15:10 and are kept for two hours
        assert len(rolled(NOW, ("nps", "", NOW - 117 * MINUTE - minutes * MINUTE, 9, 1)).state) == states


def test_employees_are_published_from_five_on_and_no_more_below() -> None:
    task = rolled(NOW, ("enps", "", NOW, 9, 4))
    assert task.committed == []
    assert set(task.fold.gauges().values()) == {0}
    task.take(record(("enps", "", NOW, 3, 1)))
    task.commit(NOW)
    assert {key[2]: value["n"] for key, value in published(task).items()} == dict.fromkeys(WINDOWS, 5)
    task.restore()
    task.take(record(("enps", "", NOW, 3, -1)))
    assert [output.value for output in task.commit(NOW)] == [None] * 4
    task.restore()
    task.take(record(("enps", "", NOW, 3, -4 + 3)))
    assert task.commit(NOW) == []


def test_values_over_the_cap_are_counted_under_other_for_good() -> None:
    settings = Settings(segments=Segments(max_values=2), windows=Windows(lengths=["24h"]))

    def counts(task: Task) -> dict[str, int]:
        return {channel: value["n"] for (_, channel, _), value in published(task).items()}

    task = rolled(NOW, *(("nps", channel, NOW, 9, 1) for channel in "abcda"), ("nps", "", NOW, 9, 5), settings=settings)
    assert counts(task) == {"a": 2, "b": 1, "other": 2, "": 5}
    for channel, count in (("a", -2), ("c", -1), ("e", 3)):  # an empty value keeps its place, and so does `other`
        task.restore()
        task.take(record(("nps", channel, NOW, 9, count)))
        task.commit(NOW)
    assert counts(task) == {"b": 1, "other": 4, "": 5}


def test_other_metrics_and_dimensions_have_caps_of_their_own() -> None:
    settings = Settings(segments=Segments(max_values=1), windows=Windows(lengths=["24h"]))
    task = rolled(NOW, ("nps", "a", NOW, 9, 1), ("csat", "b", NOW, 5, 1), settings=settings)
    assert {key[1] for key in published(task)} == {"a", "b"}


def test_what_is_written_for_a_window() -> None:
    settings = Settings(windows=Windows(lengths=["24h"], sufficient=3))
    task = rolled(NOW, ("nps", "a", NOW, 9, 2), ("nps", "a", NOW, 0, 1), settings=settings)
    first, output = task.committed
    assert (output.topic, output.partition, output.key) == ("nps-windows", 0, b'["nps","0-10",{"channel":"a"},"24h"]')
    value = json.loads(output.value or b"")
    low, high, margin = (value.pop(name) for name in ("low", "high", "margin"))
    assert {f"ce_{name}": value.pop(name).encode() for name in ("type", "id", "time")} == {
        name: given for name, given in output.headers if name in ("ce_type", "ce_id", "ce_time")
    }
    assert dict(output.headers)["ce_time"] == b"2026-03-01T15:00:00.000Z"  # of the newest pane, an hour long
    assert value == {
        "metric": "nps", "scale": "0-10", "segment": {"channel": "a"}, "window": "24h", "n": 3, "sufficient": True,
        "start": "2026-02-28T16:00:00Z", "end": "2026-03-01T16:00:00Z", "histogram": {"0": 1, "9": 2},
        "promoters": 2, "passives": 0, "detractors": 1, "score": 33.3333, "unit": "points",
    }  # fmt: skip
    assert -100 <= low < 33.3333 < high <= 100
    assert margin == pytest.approx((high - low) / 2, abs=1e-4)
    assert not json.loads(first.value or b"")["sufficient"]
    for metric, unit in (("csat", "percent"), ("ces", "mean")):
        other = json.loads(rolled(NOW, (metric, "", NOW, 4, 1), settings=settings).committed[0].value or b"")
        assert other["unit"] == unit
        assert not {"promoters", "passives", "detractors"} & other.keys()


def test_responses_of_overall_windows_are_gauges() -> None:
    task = rolled(NOW, ("csat", "", NOW, 5, 3), ("csat", "a", NOW, 1, 1), settings=Settings(windows=Windows(["1h"])))
    expected = {
        ("window_responses", "csat", "1-5", "1h", word): n
        for word, n in zip(("dissatisfied", "neutral", "satisfied"), (0, 0, 3), strict=True)
    }
    assert task.fold.gauges() == expected
    task.restore()
    assert task.fold.gauges() == expected


def test_what_npsflow_cannot_read_of_its_own_is_never_skipped() -> None:
    for value in (b"", None):
        with pytest.raises(msgspec.DecodeError):
            Task(STAGE).take(Record(TICK, value))
    with pytest.raises(ValueError, match="format 9"):
        Task(STAGE).take(Record(TICK, b"\x92\x09\x00"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Settings(windows=Windows(lengths=["1h"])), Settings(windows=Windows(lengths=["1h", "24h"]))),
        (Settings(segments=Segments(max_values=1)), Settings(segments=Segments(max_values=9))),
    ],
)
def test_settings_that_change_never_stop_the_windows(before: Settings, after: Settings) -> None:
    task = rolled(NOW, ("csat", "first", NOW, 5, 1), ("csat", "a", NOW, 5, 3), settings=before)
    task.stage = Rollup(after.window_settings("npsflow/t."))
    task.restore()
    for score, count in ((5, -2), (1, 3)):
        task.take(record(("csat", "a", NOW, score, count)))
    task.commit(NOW)
    for value in map(json.loads, windows(task.committed).values()):
        assert all(n > 0 for n in value["histogram"].values())
        assert 0 <= value["low"] <= value["score"] <= value["high"] <= 100


def test_windows_of_a_scale_that_is_not_set_any_more_are_taken_back() -> None:
    of_ten = ScaleSettings("csat", 1, 10, worst=[1, 2], middle=[5])
    task = Task(Rollup(Settings(scales=[of_ten]).window_settings("npsflow/t.")))
    task.take(Record(delta_key("csat", "1-10", ()), encode_deltas({(): [NOW // PANE, 9, 3]})))
    task.take(record(NOW))
    task.commit(NOW)
    assert len(published(task)) == 4
    task.stage = STAGE
    task.restore()
    task.take(record(NOW + 6 * MINUTE))
    task.commit(NOW)
    assert published(task) == {}
    assert task.fold.gauges() == {}


def test_what_was_published_beside_counts_never_given_gets_its_tombstone_after_a_restart() -> None:
    task = rolled(NOW, ("csat", "", NOW, 5, 1), settings=Settings(windows=Windows(lengths=["1h"])))
    task.stage = Rollup(Settings(windows=Windows(lengths=["1h", "24h"])).window_settings("npsflow/t."))
    task.restore()
    for step in (("csat", "", NOW, 5, -1), ("csat", "", NOW, 1, 1)):
        task.take(record(step))
    task.commit(NOW)
    assert {key[2] for key in published(task)} == {"1h", "24h"}
    task.restore()
    task.take(record(("csat", "", NOW, 1, -1)))
    task.commit(NOW)
    assert published(task) == {}
