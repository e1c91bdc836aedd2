"""From what a file says to the records that are to be sent, in their order; what cannot be sent, and why."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import msgspec

from npsflow.agents.history.export import Export, NotAnAnswer, Refused, Said
from npsflow.agents.intake.entrance import Entrance, Record
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.events import Severity
from npsflow.schemas.invitation import Invitation
from npsflow.schemas.response import Metric, Response
from npsflow.schemas.times import to_ms
from npsflow.streams.classify import policy
from npsflow.streams.classify.parsing import read
from npsflow.streams.intake.mapping import Unmapped
from npsflow.streams.scoring.scores import WORST, Scale, Scales
from npsflow.streams.scoring.severity import severity_of


class Kind(NamedTuple):
    """What the report tells apart. `severity`: of the alert that it raises; `reachable`: somebody can be called."""

    topic: str
    metric: Metric | None = None
    severity: Severity | None = None
    reachable: bool = False


class Due(NamedTuple):
    """A record to be sent; `at` is its `submitted_at`, of an invitation `sent_at`, in ms."""

    at: int
    kind: Kind
    key: bytes
    value: bytes


@dataclass
class Plan:
    """`due` in order; `silent`: entries that say nothing, as no score question is answered in them."""

    due: list[Due] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    entries: int = 0
    silent: int = 0
    warnings: set[str] = field(default_factory=set)


_kind = lru_cache(256)(Kind)  # a few objects for a million records


class Planner:
    """Makes records of entries by the mapping of an entrance, and reads each as a worker will."""

    def __init__(self, entrance: Entrance, export: Export, scales: Scales, alert_metrics: Iterable[Metric]) -> None:
        self._entrance, self._export, self._scales = entrance, export, scales
        self._alert_metrics = frozenset(alert_metrics)

    def plan(self, entries: Iterable[Said | Refused], refuse: Callable[[Refused], None] = lambda refused: None) -> Plan:
        """Sorted by time; what is of the same time as it stands in the file. `refuse` hears of each, with its text."""
        plan = Plan()
        for entry in entries:
            plan.entries += 1
            if isinstance(entry, Said):
                try:
                    due = self._due(entry, plan.warnings)
                except NotAnAnswer as error:
                    entry = Refused(entry.number, entry.text, error.reason, str(error))
                else:
                    plan.due += due
                    plan.silent += not due
                    continue
            refuse(entry)
            plan.refused.append(entry._replace(text=""))
        plan.due.sort(key=_at)
        return plan

    def _due(self, entry: Said, warnings: set[str]) -> list[Due]:
        """All of an entry, or nothing. Raises NotAnAnswer."""
        due = []
        for given in entry.given:
            form = self._export.mapping(self._entrance.form, given)
            entrance = self._entrance if form is self._entrance.form else replace(self._entrance, form=form)
            try:
                due += [self._checked(record, warnings) for record in entrance.become(given, 0.0)]
            except Unmapped as error:
                raise NotAnAnswer("unmapped", str(error)) from None
            except RefusedRecord as error:
                raise NotAnAnswer(error.reason, str(error)) from None
        return due

    def _checked(self, record: Record, warnings: set[str]) -> Due:
        if record.topic == topics.INVITATIONS:
            try:
                invitation: Invitation = codec.convert(codec.loads(record.value), Invitation)
            except msgspec.ValidationError as error:
                raise NotAnAnswer("invalid_invitation", str(error)) from None
            return Due(to_ms(invitation.sent_at), _kind(topics.INVITATIONS), record.key, _compact(record.value))
        response, scale, dropped = read(record.value, self._scales)
        assert isinstance(response, Response)  # exports know no deletions
        assert scale is not None
        warnings.update(dropped)
        return Due(to_ms(response.submitted_at), self._kind(response, scale), record.key, _compact(record.value))

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


def _at(due: Due) -> int:
    return due.at
