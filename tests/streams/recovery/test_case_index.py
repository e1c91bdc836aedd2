"""CaseIndex as they stand: found by any of their names, listed by what is due, and what a report makes of them."""

import json
from typing import Any

import pytest

from npsflow.agents.commands import case_report
from npsflow.agents.runtime.terminal import table
from npsflow.schemas.cases import Case, CaseEvent, Entry
from npsflow.schemas.errors import AmbiguousName, NoSuchCase
from npsflow.schemas.times import HOUR, rfc3339
from npsflow.streams.recovery.case import contacted_late, next_deadline
from npsflow.streams.recovery.case_index import CaseFilter, CaseIndex, ListedCase
from npsflow.streams.recovery.report import Figures, Share, as_json, report
from npsflow.streams.recovery.state import CaseRecord, pack_case
from tests.streams.contexts import context

from .recovering import NOW, World


def case_record(number: int, history: tuple[tuple[float, CaseEvent], ...] = (), **fields: Any) -> CaseRecord:
    """A case opened NOW, to be contacted within a day; `history` in hours from then; times in hours too."""
    about = {name: fields.pop(name) for name in ("department", "tier") if name in fields}
    times = {name: rfc3339(NOW + int(hours * HOUR)) for name, hours in fields.items() if name.endswith("_at")}
    given: dict[str, Any] = {
        "case_id": f"c-{number}", "kind": "recovery", "revision": 1, "status": "opened", "key": f"C-{number}",
        "opened_at": rfc3339(NOW), "due_at": rfc3339(NOW + 24 * HOUR), "finish_by": rfc3339(NOW + 168 * HOUR),
        "alert_ids": (f"a-{number}",), "owner": "lead",
    }  # fmt: skip
    entries = tuple(Entry(rfc3339(NOW + int(hours * HOUR)), what, "anna") for hours, what in history)
    return CaseRecord(Case(**given | fields | times | {"history": entries}), context(**about))


def index_of(*records: CaseRecord) -> CaseIndex:
    cases = CaseIndex()
    for record in records:
        cases.update(0, record.case.case_id.encode(), pack_case(record))
    return cases


def test_a_case_is_found_by_its_own_id_and_by_those_of_its_alerts() -> None:
    cases = index_of(case_record(1), case_record(2, alert_ids=("a-2", "a-3")))
    for name in ("c-2", "a-2", "a-3"):
        found = cases.find(name)
        assert found is not None
        assert (found.case_id, found.key) == ("c-2", "C-2")
    cases.update(0, b"q-9", pack_case(case_record(9, case_id="q-9", kind="ask", alert_ids=(), follow_up_id="f-9")))
    ask = cases.find("f-9")
    assert ask is not None
    assert ask.case_id == "q-9"
    cases.update(0, b"q-9", None)
    assert cases.find("f-9") is None
    cases.update(0, b"c-2", pack_case(case_record(2, alert_ids=("a-3",))))
    assert (cases.find("a-2"), cases.find("c-9"), len(cases)) == (None, None, 2)
    cases.update(0, b"c-2", None)
    assert (cases.find("a-3"), cases.find("c-2"), len(cases)) == (None, None, 1)


def test_a_case_is_named_by_the_beginning_of_an_id() -> None:
    cases = index_of(
        case_record(1, case_id="c-7eb3ef70", alert_ids=("a-11111111", "a-11112222")),
        case_record(2, case_id="c-7eb3ef99", alert_ids=("a-33333333",)),
    )
    for name in ("c-7eb3ef70", "c-7eb3ef7", "a-1111", "a-11112222"):
        assert cases.named(name).case_id == "c-7eb3ef70"
    for name in ("c-7eb3ef71", "c-", "a-3", "", "x"):  # unknown, or so short that it may be a slip
        with pytest.raises(NoSuchCase, match=f"there is no case {name}: see"):
            cases.named(name)
    with pytest.raises(AmbiguousName) as refused:
        cases.named("c-7eb")
    assert str(refused.value) == "c-7eb names 2 of them, say which: c-7eb3ef7, c-7eb3ef9"


def test_of_many_candidates_some_are_listed() -> None:
    cases = index_of(*(case_record(n, case_id=f"c-{n:08}", alert_ids=()) for n in range(9)))
    with pytest.raises(AmbiguousName) as refused:
        cases.named("c-0000")
    assert str(refused.value).count("c-0000000") == 5
    assert "names 9 of them" in str(refused.value)
    assert str(refused.value).endswith(", …")


def test_the_shortest_ids_that_name_one_case() -> None:
    ids = ["c-12345678aa", "c-12345678bb", "c-99999999cc"]
    cases = index_of(*(case_record(n, case_id=case_id) for n, case_id in enumerate(ids)))
    assert cases.short_length(ids[2:]) == 8
    assert cases.short_length(ids[:1]) == 11
    assert cases.short_length([]) == 0
    assert index_of(case_record(1)).short_length(["c-1"]) == 3


def test_the_worst_stands_first_where_that_is_asked_for() -> None:
    cases = index_of(
        case_record(1, severity="medium", due_at=-48),
        case_record(2, severity="critical", due_at=9),
        case_record(3, severity="critical", due_at=3),
        case_record(4, kind="ask", due_at=1),
        case_record(5, severity="critical", status="closed"),
        case_record(6, severity="high"),
        case_record(7, kind="bundle", severity="high", due_at=2),
    )

    def selected(**fields: Any) -> list[str]:
        return [case.case_id for case in cases.select(CaseFilter(**fields), NOW, worst_first=True)]

    assert selected() == ["c-3", "c-2", "c-7", "c-6", "c-1", "c-4", "c-5"]
    assert selected(open=True, kind="unhappy") == ["c-3", "c-2", "c-7", "c-6", "c-1"]
    assert selected(severities=("high", "medium")) == ["c-7", "c-6", "c-1"]
    assert selected(status="closed") == ["c-5"]


def test_cases_since_a_time() -> None:
    cases = index_of(case_record(1, opened_at=-5), case_record(2, opened_at=0), case_record(3, opened_at=2))
    found = cases.select(CaseFilter(since=rfc3339(NOW)), NOW)
    assert sorted(case.case_id for case in found) == ["c-2", "c-3"]


def test_a_list_agrees_with_what_recover_decides_about_deadlines() -> None:
    for fields in (
        {},
        {"contacted_at": 2},
        {"contacted_at": 30},
        {"due_at": 240},
        {"status": "closed"},
        {"kind": "ask"},
    ):
        record = case_record(1, **fields)
        listed = ListedCase.unpack(3, pack_case(record))
        assert (listed.deadline, listed.contacted_late) == (next_deadline(record.case), contacted_late(record.case))
        assert (listed.partition, listed.record()) == (3, record)


def test_an_alert_that_has_moved_to_another_case_is_found_there() -> None:
    cases = index_of(case_record(1), case_record(2, alert_ids=("a-1",)))
    cases.update(0, b"c-1", pack_case(case_record(1, status="closed", alert_ids=())))
    found = cases.find("a-1")
    assert found is not None
    assert found.case_id == "c-2"


def test_what_is_due_first_stands_first_and_what_is_over_last() -> None:
    cases = index_of(
        case_record(1, status="loop_closed", contacted_at=1),
        case_record(2, status="contacted", contacted_at=1),
        case_record(3, owner="ben", department="Support"),
        case_record(4, due_at=2, kind="ask"),
    )

    def selected(hours: float, **fields: Any) -> list[str]:
        return [case.case_id for case in cases.select(CaseFilter(**fields), NOW + int(hours * HOUR))]

    assert selected(0) == ["c-4", "c-3", "c-2", "c-1"]
    assert selected(0, open=True) == ["c-4", "c-3", "c-2"]
    assert selected(0, overdue=True) == []
    assert selected(24, overdue=True) == ["c-4", "c-3"]
    assert selected(200, overdue=True) == ["c-4", "c-3", "c-2"]
    assert selected(0, owner="ben") == selected(0, department="SUPPORT ") == ["c-3"]
    assert selected(0, kind="ask") == ["c-4"]


def test_opening_hours_may_leave_more_time_for_the_first_contact_than_for_all() -> None:
    case = case_record(1, due_at=240)  # and the whole within 168 hours
    assert [case.case_id for case in index_of(case).select(CaseFilter(overdue=True), NOW + 168 * HOUR)] == ["c-1"]
    assert index_of(case).select(CaseFilter(overdue=True), NOW + 168 * HOUR - 1) == []
    # A contact would still be in time.
    assert report([case], NOW + 239 * HOUR).overall == Figures(1, 1, 1, Share(0, 1), Share(0, 1), Share(0, 0))
    assert report([case], NOW + 240 * HOUR).overall == Figures(1, 1, 1, Share(0, 1), Share(0, 1), Share(0, 1))


def test_a_report_on_hand_made_cases() -> None:
    records = [
        case_record(1, status="loop_closed", contacted_at=2, won_back_at=50, department="Support", tier="gold"),
        case_record(2, status="contacted", contacted_at=30, department=" SUPPORT", improved_at=20),  # late
        case_record(3, department="Sales", owner="ben"),  # due at 24
        case_record(4, status="closed", alert_ids=()),  # taken back, never contacted
        case_record(5, kind="bundle", status="contacted", contacted_at=24),  # at the last moment
        case_record(6, kind="ask", status="closed"),
    ]
    early = report(records, NOW + 23 * HOUR)
    assert early.overall == Figures(5, 3, 0, Share(1, 3), Share(1, 3), Share(2, 3))
    late = report(records, NOW + 24 * HOUR)
    assert late.overall == Figures(5, 3, 1, Share(1, 3), Share(1, 3), Share(2, 4))
    assert late.overall.won_back.value == 1 / 3
    assert late.by["owner"] == {
        "ben": Figures(1, 1, 1, Share(0, 1), Share(0, 1), Share(0, 1)),
        "lead": Figures(4, 2, 0, Share(1, 2), Share(1, 2), Share(2, 3)),
    }
    assert list(late.by["department"]) == ["Sales", "Support"]
    assert report(records[::-1], NOW + 24 * HOUR).by == late.by  # as the case has it that was opened first
    assert late.by["tier"] == {"gold": Figures(1, 0, 0, Share(1, 1), Share(0, 1), Share(1, 1))}
    assert report([], NOW).overall.contacted_in_time.value is None


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], {}),
        ([((0, "opened"), (1, "noted"))], {}),  # it still stands there
        ([((0, "opened"), (1, "noted"), (2, "contacted"), (5, "loop_closed"))], {"opened": 2, "contacted": 3}),
        (
            [((0, "opened"), (1, "resolved"), (4, "reopened"), (5, "resolved"), (7, "loop_closed"))],
            {"opened": 1, "resolved": 2.5, "reopened": 1},
        ),
        ([((0, "opened"), (2, "acknowledged"), (1, "contacted"))], {"opened": 2, "acknowledged": 0}),
        (
            [((0, "opened"), (1, "closed")), ((0, "opened"), (2, "closed")), ((0, "opened"), (9, "closed"))],
            {"opened": 2},
        ),
    ],
)
def test_the_median_time_in_each_status(
    history: list[tuple[tuple[float, CaseEvent], ...]], expected: dict[str, float]
) -> None:
    found = report([case_record(number, entries) for number, entries in enumerate(history)], NOW).median_ms
    assert {status: ms / HOUR for status, ms in found.items()} == expected


def test_what_recover_writes_can_be_reported() -> None:
    world = World()
    for customer in ("C-1", "C-2"):
        world.respond(2, customer, department="Support")
    world.wait(2)
    world.act("contact", case_id=world.cases[0]["case_id"])
    world.wait(30)
    assert world.respond(9, "C-1", department="Support") == ["won_back", "suppressed"]
    cases = CaseIndex()
    for output in world.recover.committed:
        if output.topic == "recovery-cases":
            cases.update(0, output.key or b"", output.value)
    found = report((case.record() for case in cases), world.now)
    assert found.by["department"] == {"Support": Figures(2, 2, 1, Share(1, 2), Share(0, 2), Share(1, 2))}
    assert found.median_ms == {"opened": 2 * HOUR}


def test_a_context_may_have_nothing_to_be_grouped_by() -> None:
    assert report([case_record(1)], NOW).by["tier"] == {}


def test_the_report_as_text_and_as_json() -> None:
    made = report(
        [
            case_record(1, ((0, "opened"), (2.5, "contacted"), (60, "loop_closed")), contacted_at=2, won_back_at=50),
            case_record(2, department="Sup\x1bport"),
        ],
        NOW + 24 * HOUR,
    )
    assert list(case_report.summary(made)) == [
        "2 cases, 2 open, 1 overdue",
        "contacted in time  50%, 1 of 2 (target 90%, missed)",
        "won back           50%, 1 of 2 of a single customer: better after the first contact",
        "improved           0%, 0 of 2: better, and nobody had called",
        "median time opened         2 h 30 min",
        "median time contacted      2 days",
    ]
    assert table(case_report.HEAD, case_report.rows(made), right=case_report.HEAD[2:]) == (
        "                      cases  open  overdue  in time  won back\n"
        "owner       lead          2     2        1      50%       50%\n"
        "department  Sup port      1     1        1       0%        0%"
    )
    read = json.loads(as_json(made))
    assert read["overall"]["contacted_in_time"] == {"part": 1, "whole": 2, "share": 0.5}
    assert read["median_seconds_in_status"] == {"opened": 9000, "contacted": 207_000}
    assert list(read["owner"]) == ["lead"]
    assert "target 90%)" in list(case_report.summary(report([], NOW)))[1]
