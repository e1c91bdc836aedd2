"""The history of a case fits into a record: what is dropped first, and what an entry is for without its comment."""

from typing import Any

from npsflow.schemas import codec
from npsflow.schemas.cases import Case, CaseEvent
from npsflow.schemas.response import MAX_COMMENT
from npsflow.streams.recovery.case import add_entry, find_entry

from .recovering import NOW

MAX_BYTES = 768 << 10
CASE = Case(
    case_id="c-1", kind="recovery", revision=1, status="opened", key="C-1", opened_at="", due_at="", finish_by=""
)


def with_history(entries: int, event: CaseEvent = "noted", **fields: Any) -> Case:
    case = CASE
    for number in range(entries):
        case = add_entry(case, NOW, event, by="anna", action_id=f"do-{number}", **fields)
    return case


def size(case: Case) -> int:
    return len(codec.encode(case.history))


def test_the_oldest_comments_are_dropped_first_and_their_actions_stay_known() -> None:
    case = with_history(100, comment="x" * MAX_COMMENT)
    assert (len(case.history), case.revision) == (100, 101)
    assert MAX_BYTES - MAX_COMMENT < size(case) <= MAX_BYTES
    without = [entry.comment is None for entry in case.history]
    assert without == sorted(without, reverse=True)
    assert find_entry(case, "do-0") == case.history[0]


def test_whole_entries_are_dropped_where_comments_are_not_enough() -> None:
    case = with_history(100, root_cause="x" * MAX_COMMENT, comment="c")
    assert MAX_BYTES - 2 * MAX_COMMENT < size(case) <= MAX_BYTES
    assert case.history[-1].action_id == "do-99"
    assert find_entry(case, "do-0") is None


def test_refused_actions_displace_nothing_that_was_done() -> None:
    case = with_history(300)
    assert (len(case.history), case.history[0].action_id) == (200, "do-100")
    done = case.history
    for _ in range(60):
        case = add_entry(case, NOW, "action_refused", by="anna", reason="still_open")
    assert case.history[:200] == done
    assert len(case.history) == 250
