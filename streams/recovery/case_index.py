"""Cases as they stand, by id, as `recovery-cases` tells them: for those who look at cases or act on them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from npsflow.schemas.cases import Case, Entry, Kind, Status
from npsflow.schemas.events import Severity
from npsflow.schemas.times import from_rfc3339
from npsflow.streams.recovery.case import ended
from npsflow.streams.recovery.state import CaseRecord, unpack_file
from npsflow.streams.scoring.segments import normal

Place = tuple[bool, int, str]
"""Where a case stands in a list: the smaller comes first."""


class ListedCase(NamedTuple):
    """A case: what lists are made by, and all of it, packed. `deadline` in ms, None where nothing is left to be done.

    `contacted_late`: whether the first contact came too late; None before there was any. `about`: ids of its alerts, or
    of its follow-up.
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
    about: tuple[str, ...]
    packed: bytes

    def file(self) -> CaseRecord:
        return unpack_file(self.packed)

    def overdue(self, now: int) -> bool:
        return self.deadline is not None and self.deadline <= now

    @property
    def place(self) -> Place:
        """What is due first stands first, what has ended last."""
        return self.deadline is None, self.deadline or 0, self.case_id


def standing(partition: int, packed: bytes) -> ListedCase:
    """Raises Undecodable for what recover did not write."""
    case, context = unpack_file(packed)
    return ListedCase(
        case.case_id, partition, case.key, case.kind, case.status, case.severity, case.owner, context.department,
        deadline(case), contacted_late(case), (case.follow_up_id,) if case.follow_up_id else case.alert_ids, packed,
    )  # fmt: skip


def deadline(case: Case) -> int | None:
    """Until when what comes next has to be done: the first contact (or the ask), and the whole. In ms.

    In opening hours the first contact may be due after the whole: then it is late when that is.
    """
    if ended(case):
        return None
    whole = from_rfc3339(case.finish_by)
    return min(from_rfc3339(case.due_at), whole) if case.contacted_at is None else whole


def contacted_late(case: Case) -> bool | None:
    """Whether the first contact came after it was due; None where there was none, or the case is an ask."""
    return None if case.contacted_at is None or case.kind == "ask" else case.contacted_at > case.due_at


def answer(case: Case, action_id: str) -> Entry | None:
    """What came of an action; None where the case has not heard of it."""
    return next((entry for entry in reversed(case.history) if entry.action_id == action_id), None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases are asked for: all of them, unless something is said."""

    open: bool = False
    overdue: bool = False
    owner: str | None = None
    department: str | None = None
    kind: str | None = None

    def fits(self, one: ListedCase, now: int) -> bool:
        return (
            (not self.open or one.deadline is not None)
            and (not self.overdue or one.overdue(now))
            and self.owner in (None, one.owner)
            and self.kind in (None, one.kind)
            and (self.department is None or normal(one.department or "") == normal(self.department))
        )


class Cases:
    """All cases, told record by record."""

    def __init__(self) -> None:
        self._by_id: dict[str, ListedCase] = {}
        self._about: dict[str, str] = {}

    def take(self, partition: int, key: bytes, value: bytes | None) -> None:
        """A record of `recovery-cases`; no value: the case is forgotten."""
        case_id = key.decode()
        before = self._by_id.pop(case_id, None)
        for name in before.about if before is not None else ():
            if self._about.get(name) == case_id:
                del self._about[name]
        if value is not None:
            now = self._by_id[case_id] = standing(partition, value)
            self._about.update(dict.fromkeys(now.about, case_id))

    def find(self, name: str) -> ListedCase | None:
        """By the id of the case, of one of its alerts, or of its follow-up."""
        return self._by_id.get(name) or self._by_id.get(self._about.get(name, ""))

    def listed(self, wanted: Wanted, now: int) -> list[ListedCase]:
        """In the order of their places; `now` in ms."""
        return sorted((one for one in self if wanted.fits(one, now)), key=lambda one: one.place)

    def __iter__(self) -> Iterator[ListedCase]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)
