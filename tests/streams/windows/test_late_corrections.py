"""What classify counts, moves and takes back, late or not: roll up ends with what stands, wherever commits cut."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas import topics
from npsflow.schemas.times import HOUR, MINUTE, rfc3339, rfc3339_seconds
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import parse
from npsflow.streams.stage import Output
from npsflow.streams.windows.stage import Rollup
from tests.streams.folding import Record, Task, panes, run, windows
from tests.support.fuzzing import fuzzed
from tests.support.responses import deletion, response

START = 1_767_571_200_000  # midnight
SETTINGS = parse("""
idle_ticks = false
[segments]
dimensions = []
[[watch]]
name = "all of it"
metric = "nps"
kind = "target"
target = 30
""")
CLASSIFY, ROLLUP = SETTINGS.classify_settings("npsflow/t.", 1), Rollup(SETTINGS.window_settings("npsflow/t."))


class Version(NamedTuple):
    """Of the response `name`: produced at `at`, submitted at `submitted` (minutes since START); None is a deletion."""

    name: str
    at: int
    submitted: int
    score: int | None
    test: bool = False


def record(version: Version, offset: int) -> Record:
    name, at, submitted, score, test = version
    times = {"submitted_at": rfc3339(START + submitted * MINUTE), "updated_at": rfc3339(START + at * MINUTE)}
    fields = deletion(name) if score is None else response(name, score, **times, test=test)
    return Record(f"s/{name}".encode(), json.dumps(fields).encode(), offset, START + at * MINUTE)


def classified(versions: Sequence[Version], plan: Sequence[str]) -> list[Record]:
    """The records on `nps-panes`; `plan` says after which versions there is a commit, and after which a restart."""
    task, written = Task(Classify(CLASSIFY)), list[Output]()
    for offset, version in enumerate(versions):
        task.take(record(version, offset))
        step = plan[offset] if offset < len(plan) else "go"
        if step != "go":
            written += task.commit(START + version.at * MINUTE)
        if step == "restart":
            task.restore()
    return panes(written + task.commit(START + 10_000 * HOUR))


def rolled_up(versions: Sequence[Version], plan: Sequence[str], of_rollup: Sequence[str] = ()) -> Task:
    return run(ROLLUP, classified(versions, plan), of_rollup)[0]


def hours(task: Task) -> dict[str, dict[str, int]]:
    """The histogram of each hour on `nps-history`."""
    found = [json.loads(value) for value in windows(task.committed, topics.HISTORY).values()]
    return {one["start"]: one["histogram"] for one in found if one["resolution"] == "1h"}


def standing(versions: Sequence[Version]) -> dict[str, dict[str, int]]:
    """The same, from the last version of each response."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in {version.name: version for version in versions}.values():
        if one.score is not None and not one.test:
            found[rfc3339_seconds(START + one.submitted // 60 * HOUR)][str(one.score)] += 1
    return {start: dict(counts) for start, counts in found.items()}


def evidence(task: Task) -> dict[bytes, bytes]:
    """What the rule knows: of the one segment that there is."""
    return {key: value for key, value in task.state.items() if key.startswith(b"watched:")}


MOVED = [Version("r", 630, 630, 0), Version("b", 1230, 1230, 8), Version("r", 1240, 1210, 0)]
GONE, CORRECTED = Version("r", 1260, 0, None), Version("r", 1260, 1210, 10)
LAST = Version("end", 1800, 1800, 8)


def test_a_response_that_moved_and_is_gone_in_one_commit_stays_nowhere() -> None:
    for last in (GONE, CORRECTED):
        for plan in (["go", "commit"], ["commit"] * 4, ["restart"] * 4, []):
            versions = [*MOVED, last, LAST]
            assert hours(rolled_up(versions, plan)) == standing(versions)


def test_the_count_that_leaves_is_late_where_the_one_that_came_was() -> None:
    """Of the open hour only the answer of another customer is evidence, and that is not cancelled."""
    other = Version("c", 1225, 1211, 0)
    alone = evidence(rolled_up([*MOVED[:2], other, LAST], ["commit"] * 9))
    for last in (GONE, CORRECTED, CORRECTED._replace(test=True)):
        for plan in (["commit"] * 9, ["restart"] * 9, []):
            assert evidence(rolled_up([*MOVED[:2], other, MOVED[2], last, LAST], plan)) == alone


def test_what_comes_again_is_late_as_it_was() -> None:
    """An answer that was evidence in a closed hour is no evidence again, also after a deletion."""
    again = Version("r", 1280, 1210, 0)
    for last in (GONE, CORRECTED._replace(test=True)):
        found = [evidence(rolled_up([*MOVED[:2], *more, LAST], ["commit"] * 9)) for more in ([last, again], [last])]
        assert found[0] == found[1]


@st.composite
def histories(draw: st.DrawFn) -> list[Version]:
    """Versions of few responses, each newer than all before, of now or of up to nine hours before."""
    found, at = list[Version](), 600
    for _ in range(draw(st.integers(1, 14))):
        at += draw(st.sampled_from([20, 20, 20, 90, 200]))
        submitted = at - draw(st.sampled_from([0, 0, 1, 30, 100, 150, 540]))
        score = draw(st.sampled_from([0, 0, 8, 10, None]))
        found.append(Version(draw(st.sampled_from("aabc")), at, submitted, score, draw(st.integers(0, 5)) == 0))
    return [*found, Version("end", at + 600, at + 600, 8)]


plans = st.lists(st.sampled_from(["go", "go", "commit", "restart"]), max_size=15)


def plainly(task: Task) -> Any:
    return windows(task.committed), windows(task.committed, topics.HISTORY), evidence(task)


@fuzzed(60)
@given(histories(), plans, plans)
def test_wherever_commits_cut_the_same_stands_and_is_evidence(
    versions: list[Version], plan: list[str], of_rollup: list[str]
) -> None:
    each, cut = rolled_up(versions, ["commit"] * 20), rolled_up(versions, plan, of_rollup)
    assert plainly(cut) == plainly(each)
    assert hours(cut) == standing(versions)
