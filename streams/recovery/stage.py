"""Stage `recover`: the fold of one task — facts and actions become cases, and time does what nobody else did.

Time passes for a case only while everything that stands in the inputs was read: no deadline is judged on half of what
happened.
"""

from collections import Counter
from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Any, get_args

from npsflow.schemas import topics
from npsflow.schemas.cases import Case, Happening, Status, TeamAction, event_type
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.events import AlertRetracted, FollowUpRetracted
from npsflow.schemas.headers import CloudEvents, DeadLetter
from npsflow.schemas.times import DAY, MINUTE, rfc3339
from npsflow.streams.recovery import case as life
from npsflow.streams.recovery.actions import AT_ONCE, Actions
from npsflow.streams.recovery.alerts import Alerts
from npsflow.streams.recovery.case_index import contacted_late
from npsflow.streams.recovery.changes import Memory, UnitOfWork
from npsflow.streams.recovery.counters import CASES, COUNTERS, FIRST_CONTACT, GAUGES, OVERDUE, READ
from npsflow.streams.recovery.erasure import forget
from npsflow.streams.recovery.follow_ups import FollowUps
from npsflow.streams.recovery.inputs import AlertFact, FollowUpFact, fact_of
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.state import CaseRecord, Table
from npsflow.streams.stage import NORMAL, URGENT, Checkpoint, CounterKey, Emit, Fold, GaugeKey, Output, Record

_CUSTOMERS_AT_ONCE = 5_000


class Recover:
    """The stage. `event_source` as in `ce_source`; `prefix` of topics."""

    name = "recover"
    inputs = (topics.SERVICE_RECOVERY, topics.FOLLOW_UP, topics.ACTIONS)
    logs = False
    counters = COUNTERS
    gauges = GAUGES

    def __init__(self, policy: Policy, event_source: str, prefix: str) -> None:
        as_input = (topics.SERVICE_RECOVERY, topics.CASES, topics.DEAD_LETTERS)
        self.outputs: dict[str, int | None] = dict.fromkeys(as_input)
        self.fixed: dict[str, Any] = {}  # an open case keeps the deadlines that it was given
        self._policy, self._prefix = policy, prefix
        self._sender = CloudEvents(event_source, [event_type(what) for what in get_args(Happening)])

    def open(self, partition: int, partitions: int, emit: Emit) -> "RecoveryFold":
        return RecoveryFold(self._policy, self._sender, self._prefix, partition, emit)


class RecoveryFold(Fold):
    """The fold of one task of `recover`."""

    stream_time = 0

    def __init__(self, policy: Policy, sender: CloudEvents, prefix: str, partition: int, emit: Emit) -> None:
        self.counters: Counter[CounterKey] = Counter()
        self.memory = Memory()
        self._sender, self._prefix, self._partition, self._emit = sender, prefix, partition, emit
        self._keep, self._remember = (int(d * DAY) for d in (policy.settings.keep_days, policy.settings.remember_days))
        self._burst = policy.settings.burst_minutes * MINUTE
        self._alerts, self._follow_ups, self._actions = Alerts(policy), FollowUps(policy), Actions(policy)
        self._due: list[tuple[int, str]] = []
        self._touched: dict[int, set[str]] = {}
        memory = self.memory
        self._tables: dict[bytes, Table[Any]] = {
            b"case": memory.cases, b"customer": memory.customers, b"burst": memory.bursts, b"fixing": memory.fixing,
        }  # fmt: skip
        self._open: Counter[Status] = Counter()
        self._overdue: set[str] = set()

    def read(self, record: Record) -> UnitOfWork:
        work = self._begin(record.timestamp)
        topic, key = record.topic.removeprefix(self._prefix), (record.key or b"").decode(errors="replace")
        try:
            fact = fact_of(record, topic)
        except RefusedRecord as refused:
            self._refuse(work, record, refused.reason, str(refused))
            return work
        match fact:
            case None:
                work.counts[READ, "skipped"] += 1
            case AlertFact():
                work.counts[READ, "alert"] += 1
                self._alerts.told(work, key, fact)
            case AlertRetracted():
                work.counts[READ, "alert"] += 1
                self._alerts.retracted(work, key, fact)
            case FollowUpFact():
                work.counts[READ, "follow_up"] += 1
                self._follow_ups.told(work, key, fact)
            case FollowUpRetracted():
                work.counts[READ, "follow_up"] += 1
                self._follow_ups.retracted(work, key, fact)
            case TeamAction(action="forget"):
                work.counts[READ, "action"] += 1
                forget(work, self.memory, key)
            case TeamAction():
                work.counts[READ, "action"] += 1
                self._actions.act(work, key, fact)
        return work

    def crashed(self, record: Record, error: Exception) -> UnitOfWork:
        work = self._begin(record.timestamp)
        self._refuse(work, record, "internal_error", type(error).__name__)
        return work

    def apply(self, change: UnitOfWork) -> int:
        self.stream_time = max(self.stream_time, change.at)
        self.counters.update(change.counts)
        for output in change.outputs:
            self._emit(output)
        memory = self.memory
        for key, customer in change.customers.items():
            memory.customers.put(key, customer)
            if customer is not None:
                self._touched.setdefault(customer.touched // DAY, set()).add(key)
            else:
                for keys in self._touched.values():
                    keys.discard(key)
        for case_id, file in change.files.items():
            before = memory.cases.get(case_id)
            if before is not None:
                self._unlist(before.case)
            memory.cases.put(case_id, file)
            if file is not None:
                self._list(file.case, before)
                self._count_contact(file.case, before)
        for department, burst in change.bursts.items():
            memory.bursts.put(department, burst)
        for action_id, fixing in change.fixing.items():
            if fixing is not None or action_id in memory.fixing:
                memory.fixing.put(action_id, fixing)
        return URGENT if change.urgent else NORMAL

    def idle(self, now: int) -> bool:
        """Everything in the inputs was read: what is due happens, the rest at the next tick if it is very much."""
        fixed, fell_due = self._go_on_fixing(now), self._fall_due(now)
        forgotten = self._forget_customers(now)
        return self._forget_bursts(now) or forgotten or fell_due or fixed

    def _go_on_fixing(self, now: int) -> bool:
        """The oldest of the actions that concern very many cases."""
        _, fixing = next(self.memory.fixing.items(), ("", None))
        if fixing is not None:
            work = self._begin(now)
            self._actions.fixed(work, fixing.action, fixing.after)
            self.apply(work)
        return fixing is not None

    def _fall_due(self, now: int) -> bool:
        """The steps of cases whose time has come."""
        happened, room = False, AT_ONCE
        while room > 0 and self._due and self._due[0][0] <= now:
            _, case_id = heappop(self._due)
            room -= self.memory.cases.size(case_id)
            file = self.memory.cases.get(case_id)
            if file is None or not file.case.plan or file.case.plan[0].at > now:
                continue  # it has been put off since: its new time stands further back
            work, happened = self._begin(now), True
            if file.case.plan[0].what == "forgotten":
                work.files[case_id] = None
            else:
                case = life.by_itself(file.case, now, self._keep)
                work.keep(case, file.context, case.history[-1].what)
            self.apply(work)
        return happened

    def checkpoint(self, now: int) -> Checkpoint:
        for case_id in self.memory.cases.dirty:
            packed = self.memory.cases.packed(case_id)
            self._emit(Output(topics.CASES, self._partition, case_id.encode(), packed, []))
        checkpoint = Checkpoint()
        for kind, table in self._tables.items():
            checkpoint.state += [(b"%b:%b" % (kind, key.encode()), table.packed(key)) for key in table.dirty]
            table.dirty.clear()
        return checkpoint

    def gauges(self) -> dict[GaugeKey, float]:
        partition = str(self._partition)
        found: dict[GaugeKey, float] = {(OVERDUE.metric, partition): len(self._overdue)}
        return found | {(CASES.metric, partition, status): self._open[status] for status in get_args(Status)}

    # Restoring.

    def restore(self, key: bytes, value: bytes) -> None:
        kind, _, name = key.partition(b":")
        self._tables[kind].restore(name.decode(), value)

    def restored(self, stream_time: int, counters: Mapping[CounterKey, int]) -> int:
        self.stream_time = stream_time
        self.counters.update(counters)
        for _, file in self.memory.cases.items():
            self._list(file.case)
        for key, customer in self.memory.customers.items():
            self._touched.setdefault(customer.touched // DAY, set()).add(key)
        return NORMAL

    # Within.

    def _begin(self, at: int) -> UnitOfWork:
        return UnitOfWork(self.memory, self._sender, self._partition, at)

    def _refuse(self, work: UnitOfWork, record: Record, reason: str, why: str) -> None:
        letter = DeadLetter(reason, why, record.topic, record.partition, record.offset, rfc3339(record.timestamp))
        headers = letter.headers(record.headers)
        work.outputs.append(Output(topics.DEAD_LETTERS, self._partition, record.key, record.value, headers))
        work.counts[READ, "dead"] += 1

    def _list(self, case: Case, before: CaseRecord | None = None) -> None:
        """In every index that it belongs to; `before` it stood in the order of time already, perhaps."""
        self._open[case.status] += 1
        if life.overdue(case):
            self._overdue.add(case.case_id)
        if case.plan and (before is None or before.case.plan[:1] != case.plan[:1]):
            heappush(self._due, (case.plan[0].at, case.case_id))
        if case.status == "resolved" and case.root_cause:
            self.memory.causes.setdefault(case.root_cause, set()).add(case.case_id)

    def _unlist(self, case: Case) -> None:
        """Out of them; what stands in the order of time is passed over when its turn comes."""
        self._open[case.status] -= 1
        self._overdue.discard(case.case_id)
        if case.status == "resolved" and case.root_cause:
            cases = self.memory.causes[case.root_cause]
            cases.discard(case.case_id)
            if not cases:
                del self.memory.causes[case.root_cause]

    def _count_contact(self, case: Case, before: CaseRecord | None) -> None:
        """Whether the first contact came in time, when there was one just now."""
        late = contacted_late(case)
        if late is not None and (before is None or before.case.contacted_at is None):
            self.counters[FIRST_CONTACT, "late" if late else "in_time"] += 1

    def _forget_bursts(self, now: int) -> bool:
        """Departments of which no alert came for as long as a burst is."""
        bursts = self.memory.bursts
        over = [department for department, burst in bursts.items() if burst.times[-1] <= now - self._burst]
        for department in over:
            bursts.put(department, None)
        return bool(over)

    def _forget_customers(self, now: int) -> bool:
        """Those not heard of for long, who have no open case."""
        before, forgotten, room = (now - self._remember) // DAY, False, _CUSTOMERS_AT_ONCE
        for day in sorted(d for d in self._touched if d < before):
            keys = self._touched[day]
            while keys and room > 0:
                key, room = keys.pop(), room - 1
                customer = self.memory.customers.get(key)
                if customer is None or customer.touched // DAY >= before:
                    continue
                last = self.memory.cases.get(customer.last_case)
                if last is not None and not life.ended(last.case):
                    self._touched.setdefault(before, set()).add(key)  # to be looked at tomorrow
                    continue
                self.memory.customers.put(key, None)
                forgotten = True
            if not keys:
                del self._touched[day]
        return forgotten
