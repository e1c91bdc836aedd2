"""A history that is too large even without comments still fits into a record."""

from typing import Any

from npsflow.schemas import codec
from npsflow.schemas.cases import Case
from npsflow.schemas.response import MAX_COMMENT
from npsflow.schemas.times import rfc3339
from npsflow.streams.recovery.case import add_entry, find_entry

from .recovering import NOW

MAX_BYTES = 768 << 10


def test_the_oldest_entries_are_dropped_where_comments_are_not_enough() -> None:
    case = Case(
        case_id="c-1", kind="recovery", revision=1, status="opened", key="C-1", opened_at="", due_at="", finish_by=""
    )
    for number in range(100):
        action: dict[str, Any] = {"action_id": f"do-{number}", "comment": "c", "root_cause": "x" * MAX_COMMENT}
        case = add_entry(case, rfc3339(NOW), "noted", by="anna", **action)
    assert MAX_BYTES - 2 * MAX_COMMENT < len(codec.encode(case.history)) <= MAX_BYTES
    assert (case.revision, case.history[-1].action_id) == (101, "do-99")
    assert find_entry(case, "do-0") is None
