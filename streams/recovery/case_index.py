"""All cases by id, made from the records of `recovery-cases`: for those who list cases or act on them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from npsflow.schemas.cases import Kind, Status
from npsflow.schemas.events import Severity
from npsflow.streams.recovery.case import contacted_late, next_deadline
from npsflow.streams.recovery.state import CaseRecord, unpack_case
from npsflow.streams.scoring.segments import normal

Position = tuple[bool, int, str]
"""Where a case stands in a list: whether it is closed, its deadline in ms, and its id. The smaller comes first."""


class ListedCase(NamedTuple):
    """The fields of a case that lists are made by, and the whole of it, `packed` as JSON.

    `partition`: of `recovery-cases`. `deadline`: of the next step, ms, None if it is closed. `contacted_late`: None
    while there was no contact. `fact_ids`: of its alerts, or of its follow-up.
    """

    case_id: str
    partition: int
    key: str
    kind: Kind
    status: Status
    severity: Severity | None
    owner: str
    department: str | None
    deadline: int | None
    contacted_late: bool | None
    fact_ids: tuple[str, ...]
    packed: bytes

    @classmethod
    def unpack(cls, partition: int, packed: bytes) -> "ListedCase":
        """Read a value of `recovery-cases`. Raises Undecodable for one that recover did not write."""
        case, context = unpack_case(packed)
        return cls(
            case_id=case.case_id,
            partition=partition,
            key=case.key,
            kind=case.kind,
            status=case.status,
            severity=case.severity,
            owner=case.owner,
            department=context.department,
            deadline=next_deadline(case),
            contacted_late=contacted_late(case),
            fact_ids=(case.follow_up_id,) if case.follow_up_id else case.alert_ids,
            packed=packed,
        )

    def record(self) -> CaseRecord:
        """Unpack the whole case and its context."""
        return unpack_case(self.packed)

    def overdue(self, now: int) -> bool:
        """Whether the next step should have been done by `now`, ms."""
        return self.deadline is not None and self.deadline <= now

    @property
    def position(self) -> Position:
        """What is due first comes first, closed cases last."""
        return self.deadline is None, self.deadline or 0, self.case_id


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases to list; the default is all. `department` in any notation."""

    open: bool = False
    overdue: bool = False
    owner: str | None = None
    department: str | None = None
    kind: str | None = None

    def matches(self, case: ListedCase, now: int) -> bool:
        """Whether the case is one of them at `now`, ms."""
        return (
            (not self.open or case.deadline is not None)
            and (not self.overdue or case.overdue(now))
            and self.owner in (None, case.owner)
            and self.kind in (None, case.kind)
            and (self.department is None or normal(case.department or "") == normal(self.department))
        )


class CaseIndex:
    """The cases, updated record by record, by id and by the ids of their alerts and follow-ups."""

    def __init__(self) -> None:
        self._by_id: dict[str, ListedCase] = {}
        self._by_fact: dict[str, str] = {}

    def update(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Take a record of `recovery-cases`; without a value the case is forgotten.

        Raises Undecodable for a value that recover did not write.
        """
        case_id = key.decode()
        before = self._by_id.pop(case_id, None)
        for fact_id in before.fact_ids if before is not None else ():
            if self._by_fact.get(fact_id) == case_id:
                del self._by_fact[fact_id]
        if value is not None:
            case = self._by_id[case_id] = ListedCase.unpack(partition, value)
            self._by_fact.update(dict.fromkeys(case.fact_ids, case_id))

    def find(self, name: str) -> ListedCase | None:
        """Give the case with this id, or with an alert or follow-up of this id."""
        return self._by_id.get(name) or self._by_id.get(self._by_fact.get(name, ""))

    def select(self, case_filter: CaseFilter, now: int) -> list[ListedCase]:
        """Give the cases that match, sorted by position; `now` in ms."""
        return sorted((case for case in self if case_filter.matches(case, now)), key=lambda case: case.position)

    def __iter__(self) -> Iterator[ListedCase]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)
