"""What `produce` says before it sends: lines that are refused, and what the others cause."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from npsflow.agents.operations.produce import Check, ProduceFailed, try_out
from npsflow.schemas.times import DAY, HOUR, rfc3339
from npsflow.streams.scoring.scores import Scales
from tests.agents.platforms.exports import METRICS


@pytest.fixture
def now() -> int:
    return int(time.time() * 1000)


def response(number: int, score: int, age: int, now: int, **more: Any) -> dict[str, Any]:
    return {
        "source": "s", "response_id": f"r{number}", "survey_id": "q", "metric": "nps", "score": score,
        "submitted_at": rfc3339(now - age), "customer": {"id": "C-77"}, **more,
    }  # fmt: skip


def tried(
    folder: Path, lines: list[Any], follow_ups: bool = True, tombstones_delete: bool = False
) -> tuple[int, list[str]]:
    path = folder / "responses.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    reported: list[str] = []
    fd = os.open(path, os.O_RDONLY)
    try:
        check = Check(Scales(), tombstones_delete, METRICS, follow_ups, reported.append)
        return asyncio.run(try_out(fd, check)), [" ".join(line.split()) for line in reported]
    finally:
        os.close(fd)


def test_what_the_lines_would_cause_is_said(tmp_path: Path, now: int) -> None:
    lines = [
        response(1, 0, HOUR, now), response(2, 4, 3 * DAY, now, customer={}), response(3, 6, 6 * DAY, now),
        response(4, 1, 8 * DAY, now), response(5, 9, HOUR, now), response(6, 2, HOUR, now, test=True),
        response(7, 2, HOUR, now), response(7, 8, HOUR, now), response(8, 2, HOUR, now),
        {"source": "s", "response_id": "r8", "deleted": True}, response(9, 2, HOUR, now, metric="enps"),
    ]  # fmt: skip
    count, reported = tried(tmp_path, lines)
    assert (count, reported) == (
        11,
        [
            "1 alerts at most would be stale, not actionable: older than seven days (critical 1)",
            "3 alerts at most would be fresh and reach subscribers now (critical 1, high 1, medium 1); "
            "1 without a contact, not actionable",
            "2 of these would be overdue already: over a day old; nobody is warned of that",
            "2 follow-ups at most would be sent to subscribers",
        ],
    )
    assert not any("follow-ups" in line for line in tried(tmp_path, lines, follow_ups=False)[1])


def test_a_line_without_a_value_is_a_deletion_where_the_settings_say_so(tmp_path: Path, now: int) -> None:
    lines = [response(1, 0, HOUR, now), response(2, 0, HOUR, now), {"key": "s/r1", "value_base64": None}]
    count, reported = tried(tmp_path, lines, tombstones_delete=True)
    assert (count, reported[1][:30]) == (3, "1 alerts at most would be fres")
    with pytest.raises(ProduceFailed, match="1 of 3 lines are refused"):
        tried(tmp_path, lines)
    with pytest.raises(ProduceFailed, match="1 of 1 lines are refused"):
        tried(tmp_path, [{"key": "no-response", "value_base64": None}], tombstones_delete=True)


def test_a_refused_line_is_named_and_nothing_is_said_of_the_others(tmp_path: Path, now: int) -> None:
    with pytest.raises(ProduceFailed, match="1 of 2 lines are refused, so nothing was sent"):
        tried(tmp_path, [response(1, 0, HOUR, now), "{"])
