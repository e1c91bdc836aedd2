"""Which events `npsflow alerts` shows, and how it marks what was taken back."""

import json
from datetime import UTC
from typing import Any

import pytest

from npsflow.agents.commands.alerts import Shown

Captured = pytest.CaptureFixture[str]


def shown(**choice: Any) -> Shown:
    usual: dict[str, Any] = {"severities": (), "department": None, "limit": None, "zone": UTC, "as_json": False}
    return Shown(**usual | choice)


def event(number: int, kind: str = "raised", **fields: Any) -> dict[str, Any]:
    if kind != "retracted":
        fields = {"severity": "high", "score": 3, "due_at": "2026-03-03T09:00:00Z"} | fields
    always = {"alert_id": f"a-{number:032}", "type": f"npsflow.alert.{kind}.v1", "metric": "nps", "key": f"C-{number}"}
    return always | {"id": "x", "time": "2026-03-02T09:00:00Z"} | fields


def lines(capsys: Captured, of: Shown, *events: dict[str, Any]) -> list[str]:
    for one in events:
        of.add(one)
    of.end()
    return [line.split()[2].lstrip("a-").lstrip("0") + line.split()[3] for line in capsys.readouterr().out.splitlines()]


def test_what_was_taken_back_is_marked_and_has_no_deadline(capsys: Captured) -> None:
    of = shown()
    for one in (event(1), event(2), event(1, "retracted", cause="deleted")):
        of.add(one)
    assert capsys.readouterr().out == ""  # what comes later decides
    of.end()
    first, second, third = capsys.readouterr().out.splitlines()
    assert ("taken back later" in first, "due " in first) == (True, False)
    assert second.endswith("due 2026-03-03 09:00 UTC")
    assert third.endswith("because of: deleted")
    assert first.split()[2] == f"a-{1:032}"
    of.add(event(3))
    assert "raised" in capsys.readouterr().out  # at once


def test_what_was_reinstated_is_not_marked(capsys: Captured) -> None:
    of = shown()
    for one in (event(1), event(1, "retracted", cause="category"), event(1, "reinstated")):
        of.add(one)
    of.end()
    assert "taken back" not in capsys.readouterr().out


def test_filters_keep_what_becomes_of_an_alert(capsys: Captured) -> None:
    events = (
        event(1, severity="critical", department="Support"),
        event(2, severity="medium", department=" SUPPORT"),
        event(3, severity="critical"),
        event(1, "enriched", severity="high", department="Sales"),
        event(2, "retracted", cause="deleted"),
        event(1, "retracted", cause="deleted"),
    )
    critical = ["1raised", "3raised", "1enriched", "1retracted"]
    assert lines(capsys, shown(severities=("critical",)), *events) == critical
    of_support = ["1raised", "2raised", "1enriched", "2retracted", "1retracted"]
    assert lines(capsys, shown(department="support"), *events) == of_support
    assert lines(capsys, shown(limit=2), *events) == ["2retracted", "1retracted"]


def test_nothing_is_said_of_what_was_asked_for(capsys: Captured) -> None:
    for choice, text in (({}, "no alerts yet"), ({"severities": ("high",)}, "no such alerts")):
        of = shown(**choice)
        of.end()
        assert (of.any, of.nothing) == (False, text)
    assert capsys.readouterr().out == ""


def test_json_is_the_event_and_comes_at_once(capsys: Captured) -> None:
    of = shown(as_json=True)
    of.add(event(1))
    assert json.loads(capsys.readouterr().out) == event(1)
    of.end()
    newest = shown(as_json=True, limit=1)
    for number in (1, 2):
        newest.add(event(number))
    newest.end()
    assert json.loads(capsys.readouterr().out) == event(2)
