"""Plans an import: the records to be sent, in their order, and the entries that cannot be sent."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import msgspec

from npsflow.agents.history.effects import Effect, effect_of
from npsflow.agents.history.entries import Entry, RefusedEntry
from npsflow.agents.history.spool import Spool
from npsflow.agents.platforms.protocol import Export, ExportItem, InvalidEntry
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.invitation import Invitation
from npsflow.schemas.response import Metric, Response
from npsflow.schemas.times import to_ms
from npsflow.streams.classify.parsing import read
from npsflow.streams.intake.entrance import Entrance, KeyedRecord
from npsflow.streams.intake.mapping import Unmapped
from npsflow.streams.scoring.scores import Scales


class Kind(NamedTuple):
    """What the report counts by. `effect`: what the record causes when it is sent."""

    topic: str
    metric: Metric | None = None
    effect: Effect = Effect()


@dataclass(slots=True, eq=False)
class PlannedRecord:
    """A record to be sent, which lies in `spool`; `at` is its `submitted_at`, of an invitation `sent_at`, in ms."""

    at: int
    kind: Kind
    spool: Spool
    place: int

    def load(self) -> tuple[bytes, bytes]:
        """Key and value."""
        return self.spool.get(self.place)

    @property
    def key(self) -> bytes:
        """The key alone."""
        return self.load()[0]

    @property
    def value(self) -> bytes:
        """The value alone."""
        return self.load()[1]


@dataclass
class Plan:
    """`records` in order. `refused` without their text: what cannot be sent, also a part of an entry.

    Counts: `entries` read, `empty` ones without a score.
    """

    records: list[PlannedRecord] = field(default_factory=list)
    refused: list[RefusedEntry] = field(default_factory=list)
    entries: int = 0
    empty: int = 0
    warnings: set[str] = field(default_factory=set)


_kind, _effect = lru_cache(256)(Kind), lru_cache(64)(Effect)  # a few objects for a million records


class Planner:
    """Makes records of entries by the mapping of an entrance, and reads each as a worker will."""

    def __init__(
        self,
        entrance: Entrance,
        export: Export,
        scales: Scales,
        alert_metrics: Iterable[Metric],
        follow_ups: bool = True,
    ) -> None:
        self._entrance, self._export, self._scales = entrance, export, scales
        self._entrances = {id(entrance.form): entrance}  # of each mapping, which it keeps alive
        self._alert_metrics, self._follow_ups = frozenset(alert_metrics), follow_ups
        self._spool = Spool()

    def plan(
        self, entries: Iterable[Entry | RefusedEntry], refuse: Callable[[RefusedEntry], None] = lambda refused: None
    ) -> Plan:
        """Sorted by time, then as in the file. `refuse` is called with each refused entry, and its text."""
        plan = Plan()
        for entry in entries:
            plan.entries += 1
            refusals = self._take(entry, plan) if isinstance(entry, Entry) else [entry]
            if refusals:
                refuse(refusals[0])
                plan.refused += [refused._replace(text="") for refused in dict.fromkeys(refusals)]
        plan.records.sort(key=_at)
        return plan

    def _take(self, entry: Entry, plan: Plan) -> list[RefusedEntry]:
        """Adds the records of an entry to the plan; gives why others of it cannot be sent. One costs no other."""
        refused = [] if entry.refused is None else [entry.refused]
        before = len(plan.records)
        for item in entry.items:
            try:
                for record in self._records(item):
                    try:
                        plan.records.append(self._checked(record, plan.warnings))
                    except (RefusedRecord, InvalidEntry) as error:
                        refused.append(RefusedEntry(entry.number, entry.text, error.reason, str(error)))
            except InvalidEntry as error:
                refused.append(RefusedEntry(entry.number, entry.text, error.reason, str(error)))
        plan.empty += not refused and len(plan.records) == before
        return refused

    def _records(self, item: ExportItem) -> Iterator[KeyedRecord]:
        """All records of an item. Raises InvalidEntry when the mapping is not for it."""
        form = self._export.mapping(self._entrance.form, item)
        entrance = self._entrances.get(id(form))
        if entrance is None:
            entrance = self._entrances[id(form)] = replace(self._entrance, form=form)
        try:
            yield from entrance.records(item, 0.0)
        except Unmapped as error:
            raise InvalidEntry("unmapped", str(error)) from None

    def _checked(self, record: KeyedRecord, warnings: set[str]) -> PlannedRecord:
        key, value = record.key or b"", record.value or b""
        if record.topic == topics.INVITATIONS:
            try:
                invitation: Invitation = codec.convert(codec.loads(value), Invitation)
            except msgspec.ValidationError as error:
                raise InvalidEntry("invalid_invitation", str(error)) from None
            return self._planned(to_ms(invitation.sent_at), _kind(topics.INVITATIONS), key, value)
        response, scale, dropped = read(value, self._scales)
        assert isinstance(response, Response)  # exports know no deletions
        assert scale is not None
        warnings.update(dropped)
        effect = _effect(*effect_of(response, scale, self._alert_metrics, self._follow_ups))
        return self._planned(to_ms(response.submitted_at), _kind(topics.RESPONSES, response.metric, effect), key, value)

    def _planned(self, at: int, kind: Kind, key: bytes, value: bytes) -> PlannedRecord:
        return PlannedRecord(at, kind, self._spool, self._spool.put(key, value))


def _at(record: PlannedRecord) -> int:
    return record.at
