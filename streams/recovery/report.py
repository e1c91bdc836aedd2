"""How well cases were handled: shares won back and contacted in time, and how long cases stood where. Pure.

- Recovery rate: cases of one customer (`recovery`) after which that customer gave a better answer to the same metric,
  of all such cases that were opened.
- Contacted in time: cases whose first contact came by `due_at`, of all for which that can be said: those contacted, and
  those that should have been by now. A case that was closed without a contact, for its alerts were taken back, is none.
- Time in a status: of all times that a case stood in it and has left it since.
Asks are no cases to recover and do not count.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from statistics import median
from typing import get_args

from msgspec import Struct

from npsflow.schemas import codec
from npsflow.schemas.cases import Case, Status
from npsflow.schemas.events import Context
from npsflow.schemas.times import from_rfc3339
from npsflow.streams.recovery.case import ended
from npsflow.streams.recovery.case_index import contacted_late, deadline
from npsflow.streams.recovery.state import CaseRecord
from npsflow.streams.scoring.segments import normal

TARGET = 0.9
"""Share of unhappy customers who should be contacted in time."""


class Share(Struct, frozen=True):
    """So many of so many."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        """None where there is nothing to have a share of."""
        return self.part / self.whole if self.whole else None


class Figures(Struct, frozen=True):
    """Of some cases. `overdue`: something should have been done by now, and is not."""

    cases: int
    open: int
    overdue: int
    won_back: Share
    contacted_in_time: Share


class Report(Struct, frozen=True):
    """`by`: owner, department and tier, as in windows; cases without one are in none. `median_ms`: by status."""

    overall: Figures
    by: dict[str, dict[str, Figures]]
    median_ms: dict[Status, int]
    target: float = TARGET


_BY: dict[str, Callable[[Case, Context], str | None]] = {
    "owner": lambda case, context: case.owner or None,
    "department": lambda case, context: normal(context.department or "") or None,
    "tier": lambda case, context: normal(context.tier or "") or None,
}


def report(files: Iterable[CaseRecord], now: int) -> Report:
    """Of all these cases, as seen at `now`, in ms."""
    files = [file for file in files if file.case.kind != "ask"]
    groups: dict[str, dict[str, list[Case]]] = {name: defaultdict(list) for name in _BY}
    for case, context in files:
        for name, value_of in _BY.items():
            if (value := value_of(case, context)) is not None:
                groups[name][value].append(case)
    return Report(
        figures([case for case, _ in files], now),
        {name: {value: figures(of, now) for value, of in sorted(found.items())} for name, found in groups.items()},
        _medians(case for case, _ in files),
    )


def as_json(report: Report) -> bytes:
    """One object; shares as numbers between 0 and 1 beside what they are made of."""
    fields = {"overall": _fields(report.overall), "contacted_in_time_target": report.target}
    fields |= {name: {value: _fields(of) for value, of in found.items()} for name, found in report.by.items()}
    fields["median_seconds_in_status"] = {status: ms // 1000 for status, ms in report.median_ms.items()}
    return codec.dumps(fields)


def _fields(figures: Figures) -> dict[str, object]:
    counts: dict[str, object] = {"cases": figures.cases, "open": figures.open, "overdue": figures.overdue}
    for name, share in (("contacted_in_time", figures.contacted_in_time), ("won_back", figures.won_back)):
        counts[name] = {"part": share.part, "whole": share.whole, "share": share.value}
    return counts


def figures(cases: list[Case], now: int) -> Figures:
    """Of cases none of which is an ask."""
    deadlines = [deadline(case) for case in cases]
    own = [case for case in cases if case.kind == "recovery"]
    late = [verdict for case in cases if (verdict := _late(case, now)) is not None]
    return Figures(
        len(cases),
        sum(due is not None for due in deadlines),
        sum(due is not None and due <= now for due in deadlines),
        Share(sum(case.won_back_at is not None for case in own), len(own)),
        Share(late.count(False), len(late)),
    )


def _late(case: Case, now: int) -> bool | None:
    """Whether the first contact was not in time; None where nobody can say yet, or ever."""
    if case.contacted_at is not None:
        return contacted_late(case)
    return True if not ended(case) and from_rfc3339(case.due_at) <= now else None


def _medians(cases: Iterable[Case]) -> dict[Status, int]:
    stays: dict[Status, list[int]] = {status: [] for status in get_args(Status)}
    for case in cases:
        for status, stay in _stays(case):
            stays[status].append(stay)
    return {status: int(median(found)) for status, found in stays.items() if found}


def _stays(case: Case) -> Iterable[tuple[Status, int]]:
    """Each status that the case has left, and how long it stood there, in ms.

    What a team did it may tell later, and after something that happened since: such a stay has no length.
    """
    before: tuple[Status, int] | None = None
    for entry in case.history:
        if (status := _STATUSES.get(entry.what)) is not None:
            at = from_rfc3339(entry.at)
            if before is not None:
                yield before[0], max(0, at - before[1])
            before = status, at


_STATUSES: dict[str, Status] = {status: status for status in get_args(Status)}
