"""What one record, or one tick, changes: collected beside the state, and applied as a whole or not at all."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from hashlib import blake2b
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from npsflow.schemas import codec, topics
from npsflow.schemas.cases import Case, CaseEvent, event_type
from npsflow.schemas.events import Instant
from npsflow.schemas.headers import CloudEvents, DeadLetter, with_origin
from npsflow.schemas.times import rfc3339
from npsflow.streams.recovery.case import Changes, add_entry, contacted_late, is_open
from npsflow.streams.recovery.counters import CASE, FIRST_CONTACT, FORWARDED, READ
from npsflow.streams.recovery.customers import Customer, Outcome
from npsflow.streams.recovery.standing import StandingAlert
from npsflow.streams.recovery.state import Burst, CaseRecord, FixedCause, RecoveryState, pack_case
from npsflow.streams.stage import CounterKey, Output, Record


class UnitOfWork:
    """Reads fall through to the state, writes stay here. A case is unpacked once, and packed once for each event of it.

    `at`: when its cause was appended, or the tick's time; ms.
    """

    def __init__(self, state: RecoveryState, sender: CloudEvents, partition: int, at: int) -> None:
        self._state, self._sender, self._partition, self.at = state, sender, partition, at
        self.customers: dict[str, Customer | None] = {}
        self._known: dict[str, Customer | None] = {}  # as they are in the state
        self._before: dict[str, CaseRecord | None] = {}  # cases as they are in the state
        self._cases: dict[str, CaseRecord | None] = {}  # as they are to be
        self._packed: dict[str, bytes | None] = {}
        self.alerts: dict[str, StandingAlert] = {}
        self.bursts: dict[str, Burst] = {}
        self.fixed_causes: dict[str, FixedCause | None] = {}
        self.outputs: list[Output] = []
        self.counts: defaultdict[CounterKey, int] = defaultdict(int)
        self.urgent = False

    @cached_property
    def time(self) -> Instant:
        """`at` as RFC 3339."""
        return rfc3339(self.at)

    def customer(self, key: str) -> Customer:
        """Give what is known under a Kafka key; an empty Customer if nothing is."""
        if key in self.customers:
            return self.customers[key] or Customer()
        return self._customer_before(key) or Customer()

    def _customer_before(self, key: str) -> Customer | None:
        if key not in self._known:
            self._known[key] = self._state.customers.get(key)
        return self._known[key]

    def case(self, case_id: str) -> CaseRecord | None:
        """Give a case; None if there is none, or it was forgotten."""
        return self._cases[case_id] if case_id in self._cases else self._case_before(case_id)

    def _case_before(self, case_id: str) -> CaseRecord | None:
        if case_id not in self._before:
            self._before[case_id] = self._state.cases.get(case_id)
        return self._before[case_id]

    def alert(self, alert_id: str) -> StandingAlert | None:
        """Give an alert that is in a case, or that the cooldown suppressed; None if there is none."""
        return self.alerts.get(alert_id) or self._state.alerts.get(alert_id)

    def alerts_of(self, case: Case) -> list[StandingAlert]:
        """Give the alerts of a case that are kept, in the order in which it names them."""
        changed, kept = self.alerts.get, self._state.alerts.get
        return [
            alert
            for alert_id in case.alert_ids
            if (alert := changed(alert_id) or kept(alert_id)) is not None and alert.case_id == case.case_id
        ]

    def put_alert(self, alert: StandingAlert, case_id: str) -> StandingAlert:
        """Keep an alert as one of a case, "" for none."""
        alert = self.alerts[alert.alert_id] = replace(alert, case_id=case_id)
        return alert

    def open_case(self, customer: Customer) -> CaseRecord | None:
        """Give the case of a customer for whom something is left to do."""
        record = self.case(customer.last_case)
        return record if record is not None and is_open(record.case) else None

    def new_case_id(self, prefix: str, fact_id: str, revision: int, key: str, outcome: Outcome | None) -> str:
        """Give the id of the case that an alert or follow-up opens; `outcome`: what came of it before.

        If it has opened a case before that is still kept, it is that one, to be reopened. Otherwise the id was never
        used: the same response may come under another customer's key, or after its case was forgotten.
        """
        if outcome is None or not outcome.opened_case:
            return hashed_id(prefix, fact_id, key)
        if self.case(outcome.opened_case) is not None:
            return outcome.opened_case
        return hashed_id(prefix, f"{fact_id}.{revision}", key)

    def burst(self, department: str) -> Burst:
        """Give the last alerts of a department."""
        return self.bursts.get(department) or self._state.bursts.get(department) or Burst([], "")

    def resolved_with(self, root_cause: str, after: str) -> Iterable[str]:
        """Give the ids, greater than `after` and sorted, of the cases that are resolved with a root cause."""
        return sorted(case_id for case_id in self._state.agenda.resolved_with(root_cause) if case_id > after)

    def spelling(self, root_cause: str) -> str:
        """Give a root cause as the cases that are known spell it; upper and lower case are the same."""
        return self._state.agenda.spelling(root_cause)

    def case_size(self, case_id: str) -> int:
        """Bytes of a case as it was before this unit of work."""
        return self._state.cases.size(case_id)

    def put_case(self, record: CaseRecord) -> bytes:
        """Write a case, and give it as it is packed; no event is emitted."""
        case_id = record.case.case_id
        self._cases[case_id], self._packed[case_id] = record, (packed := pack_case(record))
        return packed

    def delete_case(self, case_id: str) -> None:
        """Forget a case and its alerts."""
        self._cases[case_id] = self._packed[case_id] = None

    def emit_case(self, record: CaseRecord) -> CaseRecord:
        """Write a case and emit the event of the last entry in its history, which carries the whole case."""
        case = record.case
        self._emit(case.history[-1].what, case.key, case.case_id, case.revision, self.put_case(record))
        self.urgent = self.urgent or case.kind != "ask"
        return record

    def record_step(
        self, record: CaseRecord, event: CaseEvent, changes: Changes | None = None, **entry: Any
    ) -> CaseRecord:
        """Change a case, add the step to its history, and write and emit it. `entry`: fields of a history's Entry."""
        return self.emit_case(record._replace(case=add_entry(record.case, self.time, event, changes, **entry)))

    def emit_event(self, event: CaseEvent, key: str, subject: str, suffix: int | str, *parts: Struct) -> None:
        """Emit an event that is not a whole case: the fields of all `parts`. Its id is `subject.suffix`."""
        self._emit(event, key, subject, suffix, codec.joined(*map(codec.encode, parts)))

    def _emit(self, event: CaseEvent, key: str, subject: str, suffix: int | str, content: bytes) -> None:
        value, headers = self._sender.event(event_type(event), subject, suffix, self.time, content)
        self.outputs.append(Output(topics.SERVICE_RECOVERY, self._partition, key.encode(), value, headers))
        self.counts[CASE, event] += 1

    def refuse(self, record: Record, reason: str, message: str) -> None:
        """Send a record to the dead letters; `message` holds no personal data."""
        letter = DeadLetter(reason, message, record.topic, record.partition, record.offset, rfc3339(record.timestamp))
        headers = letter.headers(record.headers)
        self.outputs.append(Output(topics.DEAD_LETTERS, self._partition, record.key, record.value, headers))
        self.counts[READ, "dead"] += 1

    def forward(self, record: Record, partition: int) -> None:
        """Send an action on to the partition of its key."""
        headers = with_origin(record.headers, record.timestamp, record.partition, record.offset)
        self.outputs.append(Output(topics.ACTIONS, partition, record.key, record.value, headers))
        self.counts[READ, FORWARDED] += 1
        self.urgent = True

    def write_to_state(self) -> None:
        """Make the changes in the state that was read from; count first contacts."""
        for alert_id, alert in self.alerts.items():
            self._state.alerts.put(alert_id, alert)
        for key, customer in self.customers.items():
            self._state.put_customer(key, self._customer_before(key), customer)
        for case_id, record in self._cases.items():
            before = self._case_before(case_id)
            self._state.put_case(case_id, before, record, self._packed[case_id])
            late = contacted_late(record.case) if record is not None else None
            if late is not None and (before is None or before.case.contacted_at is None):
                self.counts[FIRST_CONTACT, "late" if late else "in_time"] += 1
        for department, burst in self.bursts.items():
            self._state.bursts.put(department, burst)
        for action_id, fixed in self.fixed_causes.items():
            if fixed is not None or action_id in self._state.fixed_causes:
                self._state.fixed_causes.put(action_id, fixed)


def hashed_id(prefix: str, name: str, key: str) -> str:
    """Make the id of a case from what opens it and the Kafka key it comes under."""
    return prefix + blake2b(f"{name} {key}".encode(), digest_size=16).hexdigest()
