"""The oracle against what the sample says it planted."""

import ast
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from npsflow.agents.demo import oracle, sample
from npsflow.agents.demo.oracle import HOUR, Expected, Record
from tests.agents.demo.oracle.cases import END, NOW, log, partition_of

COUNT = 20_000
FEWER = 3_000
OUTCOMES = {
    "repeat": "repeated",
    "superseded": "superseded",
    "deletion": "deleted",
    "deletion_unknown": "deleted",
    "test": "test",
    "internal": "test",
    "correction_test": "test",
}


@pytest.fixture(scope="module")
def lines() -> list[sample.Line]:
    return list(sample.sample(7, COUNT, END))


@pytest.fixture(scope="module")
def whole(lines: list[sample.Line]) -> Expected:
    return oracle.expect(log(lines))


@pytest.fixture(scope="module")
def begin(lines: list[sample.Line]) -> Expected:
    return oracle.expect(log(lines[:FEWER]))


def test_it_is_made_of_nothing_but_the_standard_library() -> None:
    parts = sorted(Path(oracle.__file__).parent.glob("*.py"))
    assert len(parts) > 1
    for node in (node for part in parts for node in ast.walk(ast.parse(part.read_text("utf-8")))):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1 or (node.module or "").partition(".")[0] in sys.stdlib_module_names


def test_outcomes_are_those_that_were_planted(lines: list[sample.Line], whole: Expected) -> None:
    planted = Counter[str]()
    for line in lines:
        dead = line.kind.startswith("bad:") or line.kind == "late"
        planted["dead" if dead else OUTCOMES.get(line.kind, "counted")] += 1
        planted["forwarded"] += line.kind == "wrong_key"
    assert whole.outcomes == planted


def test_dead_letters_have_the_planted_reason(lines: list[sample.Line], whole: Expected) -> None:
    planted: dict[str, set[tuple[int, int]]] = {}
    for line, record in zip(lines, log(lines), strict=True):
        if line.kind == "late" or line.kind.startswith("bad:"):
            reason = "too_late" if line.kind == "late" else line.kind.removeprefix("bad:")
            planted.setdefault(reason, set()).add((record.partition, record.offset))
    assert whole.dead == planted


@pytest.mark.parametrize("change", [{"skew": HOUR}, {"partitions": 1}, {"partitions": 7}, {"after": 200 * oracle.DAY}])
def test_what_comes_out_depends_on_no_order_between_partitions(
    lines: list[sample.Line], begin: Expected, change: dict[str, int]
) -> None:
    other = oracle.expect(log(lines[:FEWER], **change), partitions=change.get("partitions", 4))
    assert other.outcomes == begin.outcomes
    assert len(+begin.outcomes) == 7
    assert other.windows == begin.windows
    assert {name: case.steps for name, case in other.alerts.items()} == {
        name: case.steps for name, case in begin.alerts.items()
    }
    assert {name: case.live for name, case in other.follow_ups.items()} == {
        name: case.live for name, case in begin.follow_ups.items()
    }


def test_the_planted_drop_shows_in_a_day_beside_a_week(whole: Expected) -> None:
    windows = whole.windows
    department = (("department", sample.DROPPED_DEPARTMENT.casefold()),)
    day, week = (windows["nps", "0-10", department, name] for name in ("24h", "7d"))
    assert day["sufficient"]
    assert day["score"] < week["score"] - 40
    assert day["high"] < week["low"]


def test_departments_differ(whole: Expected) -> None:
    windows = whole.windows
    weak, strong = (
        windows["nps", "0-10", (("department", name.casefold()),), "7d"]
        for name in (sample.WEAK_DEPARTMENT, sample.STRONG_DEPARTMENT)
    )
    assert weak["high"] < strong["low"]


def test_forwarded_copies_are_skipped_and_compared(lines: list[sample.Line]) -> None:
    records = list(log(lines[:2_000]))
    plain = oracle.expect(records)
    copies = [copy_of(record) for line, record in zip(lines, records, strict=False) if line.kind == "wrong_key"]
    assert len(oracle.compare_forwarded(plain)) == len(copies) > 0
    whole = oracle.expect(records + copies)
    assert oracle.compare_forwarded(whole) == []
    assert whole.outcomes == plain.outcomes
    assert whole.windows == plain.windows
    assert oracle.compare_outcomes(whole, whole.outcomes) == []
    assert len(oracle.compare_forwarded(oracle.expect([*records, *copies, copies[0]]))) == 1


def copy_of(record: Record) -> Record:
    """The record as the product forwards it, much later."""
    fields = json.loads(record.value or b"")
    key = f"{fields['source']}/{fields['response_id']}".encode()
    origin = f"{record.timestamp} {record.partition} {record.offset}".encode()
    header = ("npsflow_origin", origin)
    return Record(partition_of(key, 0, 4), 10_000 + record.offset, NOW + HOUR, key, record.value, [header])
