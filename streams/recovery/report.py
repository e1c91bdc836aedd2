"""How well cases are handled: shares contacted in time and won back, and how long cases stay in a status. Pure.

- Won back: cases of one customer (kind `recovery`) after whose first contact that customer gave a better answer about
  the same thing, of all such cases. Improved: those with such an answer though nobody had contacted the customer.
  A case of which all answers were taken back does not count: nobody was unhappy.
- Contacted in time: cases whose first contact came by `due_at`, of all that were contacted or should have been by now.
  A case that was closed without a contact, because its alerts were retracted, does not count.
- Time in a status: the median over all stays that have ended.
Asks do not count.
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
from npsflow.streams.recovery.case import contacted_late, is_open, next_deadline
from npsflow.streams.recovery.state import CaseRecord
from npsflow.streams.scoring.segments import normal, spelling

TARGET = 0.9
"""Share of unhappy customers who should be contacted in time."""


class Share(Struct, frozen=True):
    """`part` cases of `whole`."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        """From 0 to 1; None where `whole` is 0."""
        return self.part / self.whole if self.whole else None


class Figures(Struct, frozen=True):
    """Of a group of cases: how many, how many of them open, and how many overdue; the shares as above."""

    cases: int
    open: int
    overdue: int
    won_back: Share
    improved: Share
    contacted_in_time: Share


class Report(Struct, frozen=True):
    """`by` owner, department and tier, each to figures by its values; `median_ms` by status that a case has left.

    A value is counted whatever its case, and shown as the case has it that was opened first.
    """

    overall: Figures
    by: dict[str, dict[str, Figures]]
    median_ms: dict[Status, int]
    target: float = TARGET


_GROUPS: dict[str, Callable[[Case, Context], str | None]] = {
    "owner": lambda case, context: case.owner or None,
    "department": lambda _, context: spelling(context.department or "") or None,
    "tier": lambda _, context: spelling(context.tier or "") or None,
}

_FOLDED = ("department", "tier")


def report(records: Iterable[CaseRecord], now: int) -> Report:
    """Make the report of these cases at `now`, ms; a case without a department or tier is in no group of it."""
    records = [record for record in records if record.case.kind != "ask"]
    groups: dict[str, dict[str, list[Case]]] = {name: defaultdict(list) for name in _GROUPS}
    shown: dict[tuple[str, str], str] = {}
    for case, context in sorted(records, key=lambda record: (record.case.opened_at, record.case.case_id)):
        for name, value_of in _GROUPS.items():
            if (value := value_of(case, context)) is not None:
                counted = normal(value) if name in _FOLDED else value
                groups[name][shown.setdefault((name, counted), value)].append(case)
    return Report(
        _figures([case for case, _ in records], now),
        {
            name: {value: _figures(by_value[value], now) for value in sorted(by_value, key=str.casefold)}
            for name, by_value in groups.items()
        },
        _medians(case for case, _ in records),
    )


def as_json(report: Report) -> bytes:
    """One JSON object; each share with its part, its whole and their quotient (0 to 1, null where whole is 0)."""
    fields = {"overall": _fields(report.overall), "contacted_in_time_target": report.target}
    for name, by_value in report.by.items():
        fields[name] = {value: _fields(figures) for value, figures in by_value.items()}
    fields["median_seconds_in_status"] = {status: ms // 1000 for status, ms in report.median_ms.items()}
    return codec.dumps(fields)


def _fields(figures: Figures) -> dict[str, object]:
    counts: dict[str, object] = {"cases": figures.cases, "open": figures.open, "overdue": figures.overdue}
    for name in ("contacted_in_time", "won_back", "improved"):
        share = getattr(figures, name)
        counts[name] = {"part": share.part, "whole": share.whole, "share": share.value}
    return counts


def _figures(cases: list[Case], now: int) -> Figures:
    deadlines = [deadline for case in cases if (deadline := next_deadline(case)) is not None]
    recoveries = [case for case in cases if case.kind == "recovery" and (case.alert_ids or case.more_alerts)]
    late = [is_late for case in cases if (is_late := _is_late(case, now)) is not None]
    return Figures(
        cases=len(cases),
        open=len(deadlines),
        overdue=sum(deadline <= now for deadline in deadlines),
        won_back=Share(sum(case.won_back_at is not None for case in recoveries), len(recoveries)),
        improved=Share(sum(case.improved_at is not None for case in recoveries), len(recoveries)),
        contacted_in_time=Share(late.count(False), len(late)),
    )


def _is_late(case: Case, now: int) -> bool | None:
    """Whether the first contact was not in time; None where that is not settled yet, or never will be."""
    if case.contacted_at is not None:
        return contacted_late(case)
    return True if is_open(case) and from_rfc3339(case.due_at) <= now else None


def _medians(cases: Iterable[Case]) -> dict[Status, int]:
    stays: dict[Status, list[int]] = {status: [] for status in get_args(Status)}
    for case in cases:
        for status, duration in _stays(case):
            stays[status].append(duration)
    return {status: int(median(durations)) for status, durations in stays.items() if durations}


def _stays(case: Case) -> Iterable[tuple[Status, int]]:
    """Each status that the case has left, and how long it was in it, ms.

    A team may report an action after what happened later: then the stay between has no length.
    """
    before: tuple[Status, int] | None = None
    for entry in case.history:
        if (status := _STATUSES.get(entry.what)) is not None:
            at = from_rfc3339(entry.at)
            if before is not None:
                yield before[0], max(0, at - before[1])
            before = status, at


_STATUSES: dict[str, Status] = {status: status for status in get_args(Status)}
