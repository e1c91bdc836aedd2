"""All cases by id, made from the records of `recovery-cases`: for those who list cases or act on them. Pure."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from npsflow.schemas import codec
from npsflow.schemas.cases import Kind, Status
from npsflow.schemas.errors import AmbiguousName, NoSuchCase
from npsflow.schemas.events import Instant, Severity
from npsflow.schemas.times import from_rfc3339, rfc3339
from npsflow.streams.recovery.case import CLOSED
from npsflow.streams.recovery.state import CaseRecord, unpack_case
from npsflow.streams.scoring.segments import normal

Reveal = Callable[[bytes], bytes]
"""From a case as it is stored to one that people can read."""

Position = tuple[bool, Instant, str]
"""Where a case stands in a list: whether it is closed, its deadline, and its id. The smaller comes first."""

SHORTEST_NAME = 4
"""Characters: fewer of an id are more likely a slip than a choice."""

_SHORT_ID = 8
_URGENCY: dict[Severity | None, int] = {"critical": 0, "high": 1, "medium": 2, None: 3}


class ListedCase(Struct, gc=False, kw_only=True):
    """The fields of a case that lists are made by, and the whole of it as it is `stored`, which `reveal` opens.

    `partition`: of `recovery-cases`. Instants are compared as text, as they are all written alike: to read them would
    take most of the time of a list of very many cases.
    """

    case_id: str
    key: str
    kind: Kind
    status: Status
    opened_at: Instant
    due_at: Instant
    finish_by: Instant
    severity: Severity | None = None
    owner: str = ""
    department: str | None = None
    contacted_at: Instant | None = None
    alert_ids: tuple[str, ...] = ()
    follow_up_id: str | None = None
    partition: int = 0
    stored: bytes = b""
    reveal: Any = bytes

    @classmethod
    def unpack(cls, partition: int, packed: bytes, reveal: Reveal = bytes) -> "ListedCase":
        """Read a value of `recovery-cases`. Raises Undecodable for one that recover did not write."""
        listed = _decode(packed)
        listed.partition, listed.stored, listed.reveal = partition, packed, reveal
        return listed

    @property
    def packed(self) -> bytes:
        """The whole case as JSON, with sealed texts opened."""
        revealed: bytes = self.reveal(self.stored)
        return revealed

    def record(self) -> CaseRecord:
        """Unpack the whole case and its context. Raises Undecodable for one that recover did not write."""
        return unpack_case(self.packed)

    @property
    def fact_ids(self) -> tuple[str, ...]:
        """The ids of its alerts, or of its follow-up."""
        return (self.follow_up_id,) if self.follow_up_id else self.alert_ids

    @property
    def due_by(self) -> Instant | None:
        """When the next step has to be done, as `next_deadline` of `case.py` says; None if the case is closed."""
        if self.status in CLOSED:
            return None
        return min(self.due_at, self.finish_by) if self.contacted_at is None else self.finish_by

    @property
    def deadline(self) -> int | None:
        """The same in ms."""
        return None if (due_by := self.due_by) is None else from_rfc3339(due_by)

    @property
    def contacted_late(self) -> bool | None:
        """Whether the first contact came after it was due; None if there was none, or the case is an ask."""
        return None if self.contacted_at is None or self.kind == "ask" else self.contacted_at > self.due_at

    def overdue(self, now: Instant) -> bool:
        """Whether the next step should have been done by `now`."""
        return (due_by := self.due_by) is not None and due_by <= now


def position(case: ListedCase) -> Position:
    """Where it stands in a list by deadlines."""
    due_by = case.due_by
    return due_by is None, due_by or "", case.case_id


def _urgency(case: ListedCase) -> tuple[bool, int, Instant, str]:
    due_by = case.due_by
    return due_by is None, _URGENCY[case.severity], due_by or "", case.case_id


_decode = codec.decoder(ListedCase)


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases to list; the default is all. `department` in any notation.

    `kind`: also `unhappy`, all but asks. `severities`: any of these, or all if there is none. `since`: opened then or
    later.
    """

    open: bool = False
    overdue: bool = False
    owner: str | None = None
    department: str | None = None
    kind: str | None = None
    status: str | None = None
    severities: Collection[str] = ()
    since: Instant = ""

    def conditions(self, now: Instant) -> Iterator[Callable[[ListedCase], bool]]:
        """What must hold of a case at `now`; only what is asked for, as there may be very many cases."""
        if self.open:
            yield lambda case: case.status not in CLOSED
        if self.overdue:
            yield lambda case: case.overdue(now)
        if self.owner is not None:
            yield lambda case: case.owner == self.owner
        if self.kind == "unhappy":
            yield lambda case: case.kind != "ask"
        elif self.kind is not None:
            yield lambda case: case.kind == self.kind
        if self.status is not None:
            yield lambda case: case.status == self.status
        if self.severities:
            yield lambda case: case.severity in self.severities
        if self.since:
            yield lambda case: case.opened_at >= self.since
        if self.department is not None:
            department = normal(self.department)
            yield lambda case: normal(case.department or "") == department


class CaseIndex:
    """The cases, updated record by record, by id and by the ids of their alerts and follow-ups.

    `reveal`: opens sealed texts of those that are looked at.
    """

    def __init__(self, reveal: Reveal = bytes) -> None:
        self._reveal = reveal
        self._by_id: dict[str, ListedCase] = {}
        self._by_fact: dict[str, str] = {}

    def update(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Take a record of `recovery-cases`; without a value the case is forgotten.

        Raises Undecodable for a value that recover did not write.
        """
        case_id = key.decode(errors="replace")
        before = self._by_id.pop(case_id, None)
        for fact_id in before.fact_ids if before is not None else ():
            if self._by_fact.get(fact_id) == case_id:
                del self._by_fact[fact_id]
        if value is not None:
            case = self._by_id[case_id] = ListedCase.unpack(partition, value, self._reveal)
            for fact_id in case.fact_ids:
                self._by_fact[fact_id] = case_id

    def find(self, name: str) -> ListedCase | None:
        """Give the case with this id, or with an alert or follow-up of this id."""
        return self._by_id.get(name) or self._by_id.get(self._by_fact.get(name, ""))

    def named(self, name: str) -> ListedCase:
        """The same, of an id or of its beginning. Raises NoSuchCase, AmbiguousName."""
        if (found := self.find(name)) is not None:
            return found
        ids = {case_id for case_id in self._by_id if case_id.startswith(name)}
        ids |= {case_id for fact_id, case_id in self._by_fact.items() if fact_id.startswith(name)}
        if not ids or len(name) < SHORTEST_NAME:
            raise NoSuchCase(name)
        if len(ids) > 1:
            length = self.short_length(ids)
            raise AmbiguousName(name, [case_id[:length] for case_id in ids])
        return self._by_id[ids.pop()]

    def short_length(self, case_ids: Collection[str]) -> int:
        """How many characters of each of these ids are enough to name one case."""
        for length in range(_SHORT_ID, max(map(len, case_ids), default=0)):
            shown = {case_id[:length] for case_id in case_ids}
            if sum(case_id[:length] in shown for case_id in self._by_id) == len(shown):
                return length
        return max(map(len, case_ids), default=0)

    def select(self, case_filter: CaseFilter, now: int, *, worst_first: bool = False) -> list[ListedCase]:
        """Give the cases that match at `now` (ms): what is due first comes first, what is closed last.

        With `worst_first` severity comes before the deadline.
        """
        matching: Iterable[ListedCase] = self._by_id.values()
        for condition in case_filter.conditions(rfc3339(now)):
            matching = filter(condition, matching)
        return sorted(matching, key=_urgency if worst_first else position)

    def __iter__(self) -> Iterator[ListedCase]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)
