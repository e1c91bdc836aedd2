"""Indexes over the cases of a task: what is due and when, what is overdue, and which cause cases were resolved with."""

from collections import Counter
from heapq import heappop, heappush

from npsflow.schemas.cases import Case, Status
from npsflow.streams.recovery.case import is_overdue
from npsflow.streams.scoring.segments import normal


class Agenda:
    """Derived from the cases alone, and made anew from them after a restart."""

    def __init__(self) -> None:
        self.by_status: Counter[Status] = Counter()
        self.overdue: set[str] = set()
        """Ids of cases."""
        self.causes: dict[str, set[str]] = {}
        """By root cause, folded: ids of the cases that were resolved with it and whose customer does not know yet."""
        self._spellings: dict[str, Counter[str]] = {}  # of root causes, folded, in all cases
        self._due: list[tuple[int, str]] = []  # a heap; what a case has put off since stays in it and is passed over

    def update(self, before: Case | None, after: Case | None) -> None:
        """A case has changed; None stands for no case."""
        if before is not None:
            self._remove(before)
        if after is not None:
            self._add(after)
            if after.plan and (before is None or before.plan[:1] != after.plan[:1]):
                heappush(self._due, (after.plan[0].at, after.case_id))

    def pop_due(self, now: int) -> str | None:
        """Remove the earliest entry due by `now` (ms) and give its case id; the case may have put it off since."""
        return heappop(self._due)[1] if self._due and self._due[0][0] <= now else None

    def resolved_with(self, root_cause: str) -> set[str]:
        """Ids of the cases that were resolved with a root cause and whose customer does not know yet."""
        return self.causes.get(normal(root_cause), set())

    def spelling(self, root_cause: str) -> str:
        """How known cases spell a root cause; as it is given if none has it."""
        spellings = self._spellings.get(normal(root_cause), {root_cause: 1})
        return min(spellings, key=lambda spelling: (-spellings[spelling], spelling))

    def _add(self, case: Case) -> None:
        self.by_status[case.status] += 1
        if is_overdue(case):
            self.overdue.add(case.case_id)
        if case.root_cause:
            cause = normal(case.root_cause)
            self._spellings.setdefault(cause, Counter())[case.root_cause] += 1
            if case.status == "resolved":
                self.causes.setdefault(cause, set()).add(case.case_id)

    def _remove(self, case: Case) -> None:
        self.by_status[case.status] -= 1
        self.overdue.discard(case.case_id)
        if case.root_cause:
            cause = normal(case.root_cause)
            _discard(self._spellings, cause, case.root_cause)
            self.causes.get(cause, set()).discard(case.case_id)
            if not self.causes.get(cause, True):
                del self.causes[cause]


def _discard(spellings: dict[str, Counter[str]], cause: str, spelling: str) -> None:
    counter = spellings[cause]
    counter[spelling] -= 1
    if not counter[spelling]:
        del counter[spelling]
    if not counter:
        del spellings[cause]
