"""Stage `recover`: alerts, follow-ups and actions become cases, and deadlines pass.

A deadline is judged only while all inputs are read to their end: before that, what happened in time may be unread.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, get_args

from npsflow.schemas import topics
from npsflow.schemas.cases import CaseEvent, Status, TeamAction, event_type
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.events import AlertRetracted, FollowUpRetracted
from npsflow.schemas.headers import CloudEvents, origin
from npsflow.schemas.partitioner import partition_of
from npsflow.streams.recovery.actions import MAX_STEP_BYTES, Actions
from npsflow.streams.recovery.alerts import Alerts
from npsflow.streams.recovery.case import apply_deadline
from npsflow.streams.recovery.changes import UnitOfWork
from npsflow.streams.recovery.contents import Contents
from npsflow.streams.recovery.counters import CASES, COUNTERS, GAUGES, OVERDUE, READ
from npsflow.streams.recovery.erasure import forget
from npsflow.streams.recovery.follow_ups import FollowUps
from npsflow.streams.recovery.inputs import KINDS, AlertFact, Fact, FollowUpFact, decode_fact
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.state import CaseRecord, RecoveryState
from npsflow.streams.stage import NORMAL, URGENT, Checkpoint, CounterKey, Emit, Fold, GaugeKey, Output, Record


class Recover:
    """The stage. `event_source` as in `ce_source`; `prefix` of topics."""

    name = "recover"
    inputs = (topics.SERVICE_RECOVERY, topics.FOLLOW_UP, topics.ACTIONS)
    logs = False
    counters = COUNTERS
    gauges = GAUGES

    def __init__(self, policy: Policy, event_source: str, prefix: str) -> None:
        as_input = (topics.SERVICE_RECOVERY, topics.CASES, topics.DEAD_LETTERS, topics.ACTIONS)
        self.outputs: dict[str, int | None] = dict.fromkeys(as_input)
        self.fixed: dict[str, Any] = {}  # an open case keeps the deadlines that it was given
        self._policy, self._prefix = policy, prefix
        self._sender = CloudEvents(event_source, [event_type(event) for event in get_args(CaseEvent)])

    def open(self, partition: int, partitions: int, emit: Emit) -> "RecoveryFold":
        """Make an empty fold for one task."""
        return RecoveryFold(self._policy, self._sender, self._prefix, partition, partitions, emit)


class RecoveryFold(Fold):
    """The fold of one task of `recover`."""

    stream_time = 0

    def __init__(
        self, policy: Policy, sender: CloudEvents, prefix: str, partition: int, partitions: int, emit: Emit
    ) -> None:
        self.counters: Counter[CounterKey] = Counter()
        self.state = RecoveryState()
        self._policy, self._sender, self._prefix = policy, sender, prefix
        self._partition, self._partitions, self._emit = partition, partitions, emit
        self._contents = contents = Contents(policy)
        self._alerts = Alerts(policy, contents)
        self._follow_ups = FollowUps(policy, contents, self._alerts.reconsider)
        self._actions = Actions(policy, contents)

    def read(self, record: Record) -> UnitOfWork:
        """Give what a record changes; an action that is not valid becomes a dead letter.

        An action in another partition than that of its key is forwarded there, once, and done as of when it came.
        Raises Undecodable for a fact that classify did not write.
        """
        topic = record.topic.removeprefix(self._prefix)
        first = origin(record.headers) if topic == topics.ACTIONS else None
        work = self._work(record.timestamp if first is None else first[0])
        try:
            fact = decode_fact(record, topic)
        except RefusedRecord as refused:
            work.refuse(record, refused.reason, str(refused))
            return work
        if first is None and isinstance(fact, TeamAction) and (place := self._place(record, fact)) != self._partition:
            work.forward(record, place)
            return work
        work.counts[READ, KINDS[type(fact)]] += 1
        self._handle(work, (record.key or b"").decode(errors="replace"), fact)
        return work

    def _place(self, record: Record, action: TeamAction) -> int:
        """The partition of the customer that an action is about; `fixed` is sent to all of them."""
        if record.key is None or action.action == "fixed":
            return self._partition
        return partition_of(record.key, self._partitions)

    def _handle(self, work: UnitOfWork, key: str, fact: Fact | None) -> None:
        match fact:
            case AlertFact():
                self._alerts.handle(work, key, fact)
            case AlertRetracted():
                self._alerts.retract(work, key, fact)
            case FollowUpFact():
                self._follow_ups.handle(work, key, fact)
            case FollowUpRetracted():
                self._follow_ups.retract(work, key, fact)
            case TeamAction(action="forget"):
                forget(work, self.state, self._contents, key)
            case TeamAction():
                self._actions.handle(work, key, fact)

    def crashed(self, record: Record, error: Exception) -> UnitOfWork:
        """Make the record a dead letter."""
        work = self._work(record.timestamp)
        work.refuse(record, "internal_error", type(error).__name__)
        return work

    def apply(self, change: UnitOfWork) -> int:
        """Write a unit of work to the state and emit its outputs; a case (not an ask) is urgent."""
        self.stream_time = max(self.stream_time, change.at)
        for output in change.outputs:
            self._emit(output)
        change.write_to_state()
        for key, count in change.counts.items():
            self.counters[key] += count
        return URGENT if change.urgent else NORMAL

    def idle(self, now: int) -> bool:
        """Do what is due, up to MAX_STEP_BYTES of cases, and forget who was not heard of for long."""
        steps = (
            self._continue_fixed(now),
            self._apply_deadlines(now),
            self.state.forget_customers(now - self._policy.customer_retention),
            self.state.forget_bursts(now - self._policy.burst_window),
        )
        return any(steps)

    def _continue_fixed(self, now: int) -> bool:
        """Go on with the oldest `fixed` action that has not reached all of its cases; give whether there is one."""
        if not self.state.fixed_causes:
            return False
        _, fixed = next(self.state.fixed_causes.items())
        work = self._work(now)
        self._actions.assign_fixed(work, fixed.action, fixed.after)
        self.apply(work)
        return True

    def _apply_deadlines(self, now: int) -> bool:
        """Take the next step of each case for which it is due; give whether there was any."""
        changed, room = False, MAX_STEP_BYTES
        while room > 0 and (case_id := self.state.agenda.pop_due(now)) is not None:
            room -= self.state.cases.size(case_id)
            work = self._work(now)
            record = work.case(case_id)
            if record is None or not record.case.plan or record.case.plan[0].at > now:
                continue  # the case has another plan since
            changed = True
            case = apply_deadline(record.case, now, self._policy.retention)
            if case is None:
                work.delete_case(case_id)
            else:
                work.emit_case(CaseRecord(case, record.context))
            self.apply(work)
        return changed

    def checkpoint(self, now: int) -> Checkpoint:
        """Give the changes of the state, and emit the changed cases to `recovery-cases`."""
        for case_id in self.state.cases.dirty:
            packed = self.state.cases.packed(case_id)
            self._emit(Output(topics.CASES, self._partition, case_id.encode(), packed, []))
        return Checkpoint(self.state.take_changes())

    def gauges(self) -> dict[GaugeKey, float]:
        """Give the numbers of cases by status, and of overdue ones."""
        partition, agenda = str(self._partition), self.state.agenda
        gauges: dict[GaugeKey, float] = {(OVERDUE.metric, partition): len(agenda.overdue)}
        return gauges | {(CASES.metric, partition, status): agenda.by_status[status] for status in get_args(Status)}

    def restore(self, key: bytes, value: bytes) -> None:
        """Take back one record of the changelog."""
        self.state.restore(key, value)

    def restored(self, stream_time: int, counters: Mapping[CounterKey, int]) -> int:
        """Take back what was counted, and make the indexes."""
        self.stream_time = stream_time
        self.counters.update(counters)
        self.state.rebuild_indexes()
        return NORMAL

    def _work(self, at: int) -> UnitOfWork:
        return UnitOfWork(self.state, self._sender, self._partition, at)
