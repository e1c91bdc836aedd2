"""Plans an import: the records to be sent, in their order, and the entries that cannot be sent."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import msgspec

from npsflow.agents.history.entries import Entry, RefusedEntry
from npsflow.agents.platforms.protocol import Export, InvalidEntry
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.events import Severity
from npsflow.schemas.invitation import Invitation
from npsflow.schemas.response import Metric, Response
from npsflow.schemas.times import to_ms
from npsflow.streams.classify import policy
from npsflow.streams.classify.parsing import read
from npsflow.streams.intake.entrance import Entrance, KeyedRecord
from npsflow.streams.intake.mapping import Unmapped
from npsflow.streams.scoring.scores import WORST, Scale, Scales
from npsflow.streams.scoring.severity import severity_of


class Kind(NamedTuple):
    """What the report counts by. `severity`: of the alert that the record raises; `reachable`: it has a contact."""

    topic: str
    metric: Metric | None = None
    severity: Severity | None = None
    reachable: bool = False


class PlannedRecord(NamedTuple):
    """A record to be sent; `at` is its `submitted_at`, of an invitation `sent_at`, in ms."""

    at: int
    kind: Kind
    key: bytes
    value: bytes


@dataclass
class Plan:
    """`records` in order; `refused` without their text. Counts: `entries` read, `empty` ones without a score."""

    records: list[PlannedRecord] = field(default_factory=list)
    refused: list[RefusedEntry] = field(default_factory=list)
    entries: int = 0
    empty: int = 0
    warnings: set[str] = field(default_factory=set)


_kind = lru_cache(256)(Kind)  # a few objects for a million records


class Planner:
    """Makes records of entries by the mapping of an entrance, and reads each as a worker will."""

    def __init__(self, entrance: Entrance, export: Export, scales: Scales, alert_metrics: Iterable[Metric]) -> None:
        self._entrance, self._export, self._scales = entrance, export, scales
        self._alert_metrics = frozenset(alert_metrics)

    def plan(
        self, entries: Iterable[Entry | RefusedEntry], refuse: Callable[[RefusedEntry], None] = lambda refused: None
    ) -> Plan:
        """Sorted by time, then as in the file. `refuse` is called with each refused entry, and its text."""
        plan = Plan()
        for entry in entries:
            plan.entries += 1
            if isinstance(entry, Entry):
                try:
                    records = self._records(entry, plan.warnings)
                except InvalidEntry as error:
                    entry = RefusedEntry(entry.number, entry.text, error.reason, str(error))
                else:
                    plan.records += records
                    plan.empty += not records
                    continue
            refuse(entry)
            plan.refused.append(entry._replace(text=""))
        plan.records.sort(key=_at)
        return plan

    def _records(self, entry: Entry, warnings: set[str]) -> list[PlannedRecord]:
        """All records of an entry. Raises InvalidEntry when one cannot be sent."""
        records = []
        for item in entry.items:
            form = self._export.mapping(self._entrance.form, item)
            entrance = self._entrance if form is self._entrance.form else replace(self._entrance, form=form)
            try:
                records += [self._checked(record, warnings) for record in entrance.records(item, 0.0)]
            except Unmapped as error:
                raise InvalidEntry("unmapped", str(error)) from None
            except RefusedRecord as error:
                raise InvalidEntry(error.reason, str(error)) from None
        return records

    def _checked(self, record: KeyedRecord, warnings: set[str]) -> PlannedRecord:
        key, value = record.key or b"", _compact(record.value or b"")
        if record.topic == topics.INVITATIONS:
            try:
                invitation: Invitation = codec.convert(codec.loads(value), Invitation)
            except msgspec.ValidationError as error:
                raise InvalidEntry("invalid_invitation", str(error)) from None
            return PlannedRecord(to_ms(invitation.sent_at), _kind(topics.INVITATIONS), key, value)
        response, scale, dropped = read(value, self._scales)
        assert isinstance(response, Response)  # exports know no deletions
        assert scale is not None
        warnings.update(dropped)
        return PlannedRecord(to_ms(response.submitted_at), self._kind(response, scale), key, value)

    def _kind(self, response: Response, scale: Scale) -> Kind:
        unhappy = scale.ranks[response.score - scale.low] == WORST and response.metric in self._alert_metrics
        if not unhappy or response.test or response.internal:
            return _kind(topics.RESPONSES, response.metric)
        severity, _ = severity_of(scale, response.score, bool(response.contact_requested))
        submitted = to_ms(response.submitted_at)
        reachable = policy.not_actionable(response, submitted, submitted) is None
        return _kind(topics.RESPONSES, response.metric, severity, reachable)


def _compact(value: bytes) -> bytes:
    """A copy: what orjson makes begins in a large buffer whose rest is lost while it lives, 4 kB of each (measured)."""
    return bytes(memoryview(value))


def _at(record: PlannedRecord) -> int:
    return record.at
