"""A worker of this build goes on from the changelogs that commit 186fcdf wrote, and says what that build said.

fixtures/186fcdf.jsonl.gz was written by the code of that commit: classify folded 270 lines of the sample (corrections,
deletions, copies, dead letters) and unhappy customers, rollup and recover what came out of it, and teams acted on
cases. Its first lines are the changelogs as they stood then, compacted. After them come the inputs that 186fcdf read
when it had restored itself from these changelogs, and in between what it wrote: corrections and deletions of old
responses, new ones, actions; at the end time passes until all windows are empty and all deadlines are over.
"""

import base64
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from xxhash import xxh3_64_hexdigest

from npsflow.schemas import topics
from npsflow.schemas.times import DAY, from_rfc3339, rfc3339
from npsflow.streams.config.settings import parse
from npsflow.streams.engine.counters import encode_counters
from npsflow.streams.engine.installation import Installation
from npsflow.streams.stage import Output
from npsflow.streams.topology import STAGES, make_stage
from npsflow.streams.windows.panes import window_spec
from tests.streams.engine.changelogs import ChangelogTask
from tests.streams.folding import Record

Line = dict[str, Any]


def lines() -> dict[str, list[Line]]:
    """By stage, in their order."""
    found = defaultdict[str, list[Line]](list)
    with gzip.open(Path(__file__).parent.parent / "fixtures" / "186fcdf.jsonl.gz", "rt") as file:
        for line in map(json.loads, file):
            found[line["stage"]].append(line)
    return found


LINES = lines()


def raw(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def headers(line: Line) -> list[tuple[str, bytes]]:
    return [(name, raw(value) or b"") for name, value in line["headers"]]


async def restored(stage: str) -> ChangelogTask:
    """A task of this stage that has read the changelogs."""
    (settings,) = LINES["all"]
    installation = Installation(prefix=settings["prefix"])
    task = ChangelogTask(make_stage(stage, parse(settings["toml"]), installation), installation)
    for line in LINES[stage]:
        if line["kind"] == "state":
            task.topics.append(task.changelog.state, raw(line["key"]), raw(line["value"]))
        elif line["kind"] == "log":
            assert task.changelog.log is not None
            task.topics.append(task.changelog.log, None, raw(line["value"]))
    await task.restore()
    return task


def only(stage: str, kind: str) -> Line:
    (line,) = (line for line in LINES[stage] if line["kind"] == kind)
    return line


@pytest.mark.parametrize("stage", STAGES)
async def test_counters_and_gauges_are_restored(stage: str) -> None:
    """Gauges count what is in the state: responses remembered, answers in windows, cases."""
    task = await restored(stage)
    assert encode_counters(task.fold.counters) == only(stage, "counters")["counters"]
    partition = "0"
    gauges = {tuple(label for label in key[1:] if label != partition): v for key, v in task.fold.gauges().items()}
    expected = {
        tuple(label for label in key if label != partition): v for _, *key, v in only(stage, "gauges")["gauges"]
    }
    assert gauges == expected
    assert sum(expected.values()) > 20


def without_partition(labels: Iterable[str]) -> tuple[str, ...]:
    """That build named none where a stage has one gauge only."""
    return tuple(label for label in labels if label != "0")


def not_stale(value: bytes | None) -> bytes | None:
    """That build called an alert stale by the age of the answer, also where a correction had caused it."""
    if value is None or b'"not_actionable":"stale"' not in value:
        return value
    fields = json.loads(value)
    since = from_rfc3339(fields["due_at"]) - DAY
    if from_rfc3339(fields["raised_at"]) - since > 7 * DAY:
        return value
    if not fields.keys() & {"customer_id", "reference"}:
        return value.replace(b'"stale"', b'"no_contact"')
    return value.replace(b'"actionable":false', b'"actionable":true').replace(b'"not_actionable":"stale",', b"")


def of_today(output: Output) -> Output:
    """The same as this build writes it. Four rules have changed since:

    An event says `type`, `id` and `time` in its value too. An interval holds its score. A window says its unit. Its
    time is that of its newest pane, where it was that of the commit.
    """
    topic, partition, key, value, found = output
    if value is None or topic not in (topics.SERVICE_RECOVERY, topics.FOLLOW_UP, topics.WINDOWS):
        return output
    stated = dict(found)
    if topic == topics.WINDOWS:
        window = json.loads(value)
        if not window["low"] <= window["score"] <= window["high"]:
            window |= {"low": min(window["low"], window["score"]), "high": max(window["high"], window["score"])}
            window["margin"] = round((window["high"] - window["low"]) / 2, 4)
        window["unit"] = {"nps": "points", "enps": "points", "ces": "mean"}.get(window["metric"], "percent")
        value = json.dumps(window, separators=(",", ":")).encode()
        stated["ce_id"] = stated["ce_subject"] + f".{xxh3_64_hexdigest(value)}".encode()
        stated["ce_time"] = rfc3339(from_rfc3339(window["end"]) - window_spec(window["window"]).pane).encode()
    value = (
        b'{"type":"%(ce_type)b","id":"%(ce_id)b","time":"%(ce_time)b",'
        % {name.encode(): text for name, text in stated.items()}
        + value[1:]
    )
    return Output(topic, partition, key, value, list(stated.items()))


def comparable(outputs: Iterable[Output]) -> list[Output]:
    """Without what that build did not write: history, spellings, and the headers of tombstones."""
    since = (topics.HISTORY, topics.SCORE_ALERTS)
    kept = [o for o in outputs if o.topic not in since and (o.topic != topics.PANES or not o.headers)]
    for at, output in enumerate(kept):
        if output.topic == topics.WINDOWS and output.value is None and output.headers:
            assert dict(output.headers)["ce_type"] == b"npsflow.window.updated.v1"
            kept[at] = output._replace(headers=[])
    return kept


class BornOverdue:
    """That build announced deadlines that had passed before the response was known: such cases are left out."""

    def __init__(self) -> None:
        self._ids = set[str]()
        self.steps = Counter[str]()
        """What became of them, by the counter's name: greater there than here."""

    def without(self, outputs: Iterable[Output], sign: int) -> list[Output]:
        """The outputs about other cases; `sign` is 1 for those of that build, -1 for ours."""
        return [output for output in outputs if not self._is_one(output, sign)]

    def _is_one(self, output: Output, sign: int) -> bool:
        if output.topic not in (topics.CASES, topics.SERVICE_RECOVERY) or output.value is None:
            return False
        fields = json.loads(output.value)
        if "due_at" in fields and "opened_at" in fields and fields["due_at"] < fields["opened_at"]:
            self._ids.add(fields["case_id"])
        if fields.get("case_id") not in self._ids:
            return False
        if output.topic == topics.SERVICE_RECOVERY:
            event = dict(output.headers)["ce_type"].decode().split(".")[2]
            self.steps[f"case:{event}"] += sign
        return True


@pytest.mark.parametrize("stage", STAGES)
async def test_it_goes_on_as_that_build_did(stage: str) -> None:
    task, overdue = await restored(stage), BornOverdue()
    expected, written, commits = list[Output](), list[Output](), 0
    for line in LINES[stage]:
        match line["kind"]:
            case "input":
                key, value = raw(line["key"]), raw(line["value"])
                at = line["offset"], line["timestamp"]
                task.take([Record(key, value, *at, headers=headers(line), topic=line["topic"])])
            case "idle":
                task.fold.idle(line["now"])
            case "commit":
                assert overdue.without(written, -1) == overdue.without(expected, 1)
                written, expected, commits = comparable(task.commit(line["now"])), [], commits + 1
            case "output":
                key, value = raw(line["key"]), raw(line["value"])
                if stage == "classify":
                    value = not_stale(value)
                expected.append(of_today(Output(line["topic"], line["partition"], key, value, headers(line))))
    assert overdue.without(written, -1) == overdue.without(expected, 1)
    assert commits >= 4
    end = only(stage, "end")
    assert Counter(encode_counters(task.fold.counters)) + overdue.steps == Counter(end["counters"])
    # That build also called a customer won back whom nobody had contacted.
    assert all(step in ("case:warned", "case:breached", "case:won_back") for step in +overdue.steps)
    assert task.fold.stream_time == end["stream_time"]


@pytest.mark.parametrize("stage", STAGES)
async def test_the_next_restart_finds_the_same(stage: str) -> None:
    """In a changelog that one build began and the next went on with."""
    task = await restored(stage)
    for line in LINES[stage]:
        if line["kind"] == "input":
            record = Record(raw(line["key"]), raw(line["value"]), line["offset"], line["timestamp"])
            record.headers, record.topic = headers(line), line["topic"]
            task.take([record])
    task.commit(max(line.get("now", 0) for line in LINES[stage]))
    (settings,) = LINES["all"]
    installation = Installation(prefix=settings["prefix"])
    again = ChangelogTask(make_stage(stage, parse(settings["toml"]), installation), installation, task.topics)
    await again.restore()
    assert again.fold.counters == task.fold.counters
    assert again.fold.gauges() == task.fold.gauges()
