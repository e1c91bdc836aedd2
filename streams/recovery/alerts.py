"""Alerts: each opens a case, joins one, or is suppressed with a reason."""

from typing import NamedTuple

from msgspec.structs import replace

from npsflow.schemas.cases import Case, Entry, Suppressed
from npsflow.schemas.events import Alert, AlertRetracted, Context, Instant, Severity
from npsflow.schemas.times import from_rfc3339
from npsflow.streams.recovery.case import NPSFLOW, add_alert, close, is_open, remove_alerts, reopen
from npsflow.streams.recovery.changes import UnitOfWork, hashed_id
from npsflow.streams.recovery.contents import Contents
from npsflow.streams.recovery.customers import COOLDOWN, Customer, Decision, Outcome, response_key
from npsflow.streams.recovery.follow_ups import withdraw_asks
from npsflow.streams.recovery.inputs import AlertFact
from npsflow.streams.recovery.policy import Policy, is_worse
from npsflow.streams.recovery.standing import StandingAlert, assess, previous_answer, standing_alert
from npsflow.streams.recovery.state import Burst, CaseRecord
from npsflow.streams.scoring.segments import normal
from npsflow.streams.scoring.severity import STALE_AFTER

_RECONSIDERED = ("no_contact", "opted_out")
"""Reasons why nobody could act on an alert that the next version of the response may do away with."""


class _Read(NamedTuple):
    """An alert that was read. `opens`: the id of the case that it may open; `obstacle`: why nobody can or may act on
    it, or None.
    """

    alert: StandingAlert
    revision: int
    context: Context
    opens: str
    obstacle: str | None

    @property
    def severity(self) -> Severity:
        return self.alert.severity


class Alerts:
    """What becomes of alerts."""

    def __init__(self, policy: Policy, contents: Contents) -> None:
        self._policy, self._contents = policy, contents

    def handle(self, work: UnitOfWork, key: str, fact: AlertFact) -> None:
        """Take an alert that was raised, enriched or reinstated; `key` is the customer's."""
        alert, customer = fact.alert, work.customer(key)
        if customer.has_read(alert.alert_id, alert.revision):
            return
        known = work.alert(alert.alert_id)
        arrived = standing_alert(alert, fact.context, key, known.previous if known else None)
        if not customer.superseded(alert.alert_id, work.at):
            customer = work.customers[key] = customer.with_answer(arrived.metric, arrived.answer)
        changed = self._contents.reassess(work, customer)
        new = self._read(work, customer, arrived, fact)
        customer = self._conclude(work, new, self._decide(work, customer, new))
        self._contents.agree(work, customer, changed)
        self.reconsider(work, key)

    def reconsider(self, work: UnitOfWork, key: str) -> None:
        """Decide anew on alerts that the cooldown suppressed, where another answer of the customer makes them worse."""
        for alert_id in work.customer(key).suppressed():
            customer, kept = work.customer(key), work.alert(alert_id)
            if kept is None or previous_answer(kept, customer) == kept.previous:
                continue
            before = customer.outcomes[alert_id]
            context = kept.context
            alert = assess(kept, context, customer, self._policy)
            opens = work.new_case_id("c-", alert_id, before.revision, key, before)
            new = _Read(alert, before.revision, context, opens, obstacle=None)
            worse = is_worse(new.severity, before.severity or "medium")
            decision = self._admit(work, customer, new) if worse else Decision(reason=COOLDOWN)
            self._contents.agree(work, self._conclude(work, new, decision), [])

    def _conclude(self, work: UnitOfWork, new: _Read, decision: Decision) -> Customer:
        """Note what came of an alert. Who has an open case now is asked nothing."""
        key, alert_id = new.alert.key, new.alert.alert_id
        if decision.reason == COOLDOWN:
            work.put_alert(new.alert, "")
        opened = new.opens if decision.case_id == new.opens else ""
        outcome = Outcome(new.revision, new.severity, decision.case_id, decision.reason, work.at, opened)
        customer = work.customer(key).with_outcome(alert_id, outcome)
        if work.open_case(customer) is not None:
            customer = withdraw_asks(work, customer, self._policy.retention, alert_id)
        work.customers[key] = customer
        return customer

    def retract(self, work: UnitOfWork, key: str, fact: AlertRetracted) -> None:
        """Take an alert out of its case: the response is not an unhappy one any more, or another customer's.

        A case without alerts is closed.
        """
        customer = work.customer(key)
        if not customer.outcomes or customer.has_read(fact.alert_id, fact.revision):  # none: it was forgotten
            return
        before = customer.outcomes.get(fact.alert_id)
        customer = customer.without_answer(response_key(fact.source, fact.response_id), unhappy=True)
        customer = customer.with_outcome(fact.alert_id, Outcome(fact.revision, None, "", "retracted", work.at))
        work.customers[key] = customer
        # Of another category it is a follow-up now: until that is read, nobody hears of what seems to have changed.
        follows = fact.cause == "category" and not customer.is_followed(fact.alert_id, work.at)
        changed = [] if follows else self._contents.reassess(work, customer)
        record = work.case(before.case_id) if before is not None else None
        if record is not None:
            self._take_out(work, record, fact.alert_id)
            case_id = record.case.case_id
            if customer.last_case == case_id and record.case.kind == "bundle" and not customer.alerts_in(case_id):
                customer = replace(customer, last_case="")  # the bundle goes on without this customer
        work.customers[key] = customer
        if not follows:
            self._contents.agree(work, customer, changed)
            self.reconsider(work, key)

    def _take_out(self, work: UnitOfWork, record: CaseRecord, alert_id: str) -> None:
        changes = remove_alerts(record.case, [alert_id])
        if is_open(record.case) and not (changes["alert_ids"] or changes["more_alerts"]):
            changes |= close(work.at, self._policy.retention)
            self._contents.step(work, record, "closed", changes, alert_id=alert_id, reason="retracted")
        else:
            self._contents.step(work, record, "noted", changes, alert_id=alert_id, reason="retracted")

    def _read(self, work: UnitOfWork, customer: Customer, arrived: StandingAlert, fact: AlertFact) -> _Read:
        alert, context = fact
        before = customer.outcomes.get(alert.alert_id)
        return _Read(
            alert=assess(arrived, context, customer, self._policy),
            revision=alert.revision,
            context=context,
            opens=work.new_case_id("c-", alert.alert_id, alert.revision, arrived.key, before),
            obstacle=_obstacle(alert, context, before, work.at),
        )

    def _decide(self, work: UnitOfWork, customer: Customer, new: _Read) -> Decision:
        """Enrich the case that the alert is in, decide on it anew, or leave it where it is."""
        before = customer.outcomes.get(new.alert.alert_id)
        if before is not None and before.case_id:
            return self._enrich(work, before.case_id, new)
        if before is not None and not _is_reconsidered(before, new):
            return Decision(reason=before.reason)
        return self._admit(work, customer, new)

    def _admit(self, work: UnitOfWork, customer: Customer, new: _Read) -> Decision:
        """Let the alert open a case, join one, or be suppressed."""
        decision = self._place(work, customer, new)
        if decision.case_id:
            work.customers[new.alert.key] = replace(customer, last_case=decision.case_id)
        return decision

    def _place(self, work: UnitOfWork, customer: Customer, new: _Read) -> Decision:
        if new.obstacle is not None:
            return _suppress(work, new, new.obstacle)
        if (last := work.open_case(customer)) is not None:
            return self._join(work, last, new, "case_open")
        if (last := work.case(customer.last_case)) is not None and self._cools_down(last.case, new, work.at):
            return _suppress(work, new, COOLDOWN)
        if not (bundle_id := self._bundle(work, new)):
            return self._open(work, new, new.opens)
        bundle = work.case(bundle_id)
        if bundle is not None and is_open(bundle.case):
            return self._join(work, bundle, new, "burst")
        return self._open(work, new, bundle_id)

    def _cools_down(self, last: Case, new: _Read, now: int) -> bool:
        """Whether the loop with this customer was closed just now, and the alert is not worse than that case."""
        until = from_rfc3339(last.ended_at) + self._policy.cooldown
        return last.status == "loop_closed" and now < until and not is_worse(new.severity, last.severity or "medium")

    def _open(self, work: UnitOfWork, new: _Read, case_id: str) -> Decision:
        """Open a case, or reopen the one that the alert has opened before."""
        alert = work.put_alert(new.alert, case_id)
        if (kept := work.case(case_id)) is not None:
            changes = reopen(alert.deadlines, alert.start)
            changes["alert_ids"] = tuple(dict.fromkeys((alert.alert_id, *kept.case.alert_ids)))
            reason = "burst" if kept.case.kind == "bundle" else "reinstated"
            self._contents.step(work, kept, "reopened", changes, alert, reason=reason)
        else:
            work.emit_case(self._contents.complete(work, self._new_case(work.time, new, case_id)))
        return Decision(case_id)

    def _new_case(self, now: Instant, new: _Read, case_id: str) -> CaseRecord:
        """A case of which the rest follows from its alert, its deadlines too."""
        case = Case(
            case_id=case_id,
            kind="bundle" if case_id.startswith("b-") else "recovery",
            revision=1,
            status="opened",
            key=new.alert.key,
            opened_at=now,
            due_at="",
            finish_by="",
            alert_ids=(new.alert.alert_id,),
            severity=new.severity,
            owner=self._policy.owner(new.severity, new.context),
            history=(Entry(now, "opened", NPSFLOW),),
        )
        return CaseRecord(case, new.context)

    def _join(self, work: UnitOfWork, record: CaseRecord, new: _Read, reason: str) -> Decision:
        """Add the alert to an open case. A resolved one is reopened: what was done has not helped."""
        alert = work.put_alert(new.alert, record.case.case_id)
        changes = add_alert(record.case, alert.alert_id)
        record = self._contents.step(work, record, "joined", changes, alert, reason=reason)
        if record.case.status == "resolved":
            changes = reopen(alert.deadlines, alert.start)
            self._contents.step(work, record, "reopened", changes, alert, reason="unhappy_again")
        return Decision(record.case.case_id)

    def _enrich(self, work: UnitOfWork, case_id: str, new: _Read) -> Decision:
        """Take a comment or context that came later: it may make the case more severe, or forbid any contact."""
        record = work.case(case_id)
        if record is None:
            return Decision(case_id)
        alert = work.put_alert(new.alert, case_id)
        record = self._contents.step(work, record, "noted", None, alert, reason="enriched")
        case = record.case
        untouched = case.kind == "recovery" and case.contacted_at is None and is_open(case)
        if not (untouched and new.context.contact_allowed is False):
            return Decision(case_id)
        work.record_step(record, "closed", close(work.at, self._policy.retention), reason="opted_out")
        return Decision(reason="opted_out")

    def _bundle(self, work: UnitOfWork, new: _Read) -> str:
        """Count the alert; give the id of the case that bundles its department's burst, "" where there is no burst."""
        department, size = normal(new.context.department or ""), self._policy.burst_size
        if not size or not department:
            return ""
        burst = work.burst(department)
        times = [at for at in burst.times if at > work.at - self._policy.burst_window][-size:]
        case_id = ""
        if len(times) >= size:
            kept = work.case(burst.case_id) is not None
            case_id = burst.case_id if kept else hashed_id("b-", f"{new.alert.alert_id}.{new.revision}", new.alert.key)
        work.bursts[department] = Burst([*times, work.at], case_id)
        return "" if new.severity == "critical" else case_id


def _suppress(work: UnitOfWork, new: _Read, reason: str) -> Decision:
    key, alert_id = new.alert.key, new.alert.alert_id
    event = Suppressed(reason, alert_id, severity=new.severity)
    work.emit_event("suppressed", key, alert_id, f"suppressed.{new.revision}", event, new.context)
    return Decision(reason=reason)


def _obstacle(alert: Alert, context: Context, before: Outcome | None, now: int) -> str | None:
    """Give why nobody can or may act on an alert, or None.

    It is stale if it is appended long after it was raised, as by a rebuild; later revisions are not judged by that.
    """
    is_first = alert.revision == 1 or (before is not None and before.reason == "stale")
    if is_first and now - from_rfc3339(alert.raised_at) > STALE_AFTER:
        return "stale"
    return alert.not_actionable or ("opted_out" if context.contact_allowed is False else None)


def _is_reconsidered(before: Outcome, new: _Read) -> bool:
    """Whether an alert without a case is decided on again: it is back, can be acted on now, or is worse than before."""
    return (
        before.reason == "retracted"
        or (before.reason in _RECONSIDERED and new.obstacle is None)
        or (before.severity is not None and is_worse(new.severity, before.severity))
    )
