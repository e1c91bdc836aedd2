"""Alerts: each opens a case, joins one, or is suppressed with a reason."""

from dataclasses import dataclass

from msgspec.structs import replace

from npsflow.schemas.cases import Case, Entry, Suppressed
from npsflow.schemas.events import Alert, AlertRetracted, Context, Severity
from npsflow.schemas.times import from_rfc3339, rfc3339, to_ms
from npsflow.streams.recovery.case import (
    NPSFLOW,
    Changes,
    add_alert,
    close,
    is_open,
    remove_alerts,
    reopen,
    tighten,
)
from npsflow.streams.recovery.changes import UnitOfWork, hashed_id
from npsflow.streams.recovery.customers import Answer, Customer, Decision, Outcome, response_key
from npsflow.streams.recovery.follow_ups import win_back, withdraw_asks
from npsflow.streams.recovery.inputs import AlertFact
from npsflow.streams.recovery.policy import Deadlines, Policy, is_worse
from npsflow.streams.recovery.state import Burst, CaseRecord
from npsflow.streams.scoring.segments import normal
from npsflow.streams.scoring.severity import ALERT_DUE, STALE_AFTER

_RECONSIDERED = ("no_contact", "opted_out")
"""Reasons why nobody could act on an alert that the next version of the response may do away with."""


@dataclass(frozen=True, slots=True)
class _Assessment:
    """An alert as the policy sees it; `key` is the customer's.

    `case_id`: of the case that it may open. `start`: when its deadlines begin to count, `raised`: when npsflow knew of
    the response, both in ms. `previous_score`: of the customer's answer before. `obstacle`: why nobody can or may act
    on it, or None.
    """

    key: str
    alert_id: str
    revision: int
    context: Context
    answer: Answer
    severity: Severity
    reasons: tuple[str, ...]
    case_id: str
    start: int
    raised: int
    previous_score: int | None
    obstacle: str | None


class Alerts:
    """What becomes of alerts."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def handle(self, work: UnitOfWork, key: str, fact: AlertFact) -> None:
        """Take an alert that was raised, enriched or reinstated; `key` is the customer's."""
        alert, customer = fact.alert, work.customer(key)
        if customer.has_read(alert.alert_id, alert.revision):
            return
        new = self._assess(work, key, customer, fact)
        if not customer.superseded(alert.alert_id, work.at):
            customer = customer.with_answer(new.context.metric, new.answer)
        before = customer.outcomes.get(alert.alert_id)
        if before is not None and before.case_id:
            decision = self._enrich(work, before.case_id, new)
        elif before is not None and not _is_reconsidered(before, new):
            decision = Decision(reason=before.reason)
        else:
            decision = self._admit(work, customer, new)
            customer = replace(customer, last_case=decision.case_id or customer.last_case)
        opened = new.case_id if decision.case_id == new.case_id else ""
        outcome = Outcome(alert.revision, new.severity, decision.case_id, decision.reason, work.at, opened)
        customer = customer.with_outcome(alert.alert_id, outcome)
        if work.open_case(customer) is not None:
            customer = withdraw_asks(work, customer, self._policy.retention, alert.alert_id)
        work.customers[key] = customer

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
        record = work.case(before.case_id) if before is not None else None
        if record is not None:
            self._take_out(work, record, fact.alert_id)
            case_id = record.case.case_id
            if customer.last_case == case_id and record.case.kind == "bundle" and not customer.alerts_in(case_id):
                customer = replace(customer, last_case="")  # the bundle goes on without this customer
        work.customers[key] = customer

    def _take_out(self, work: UnitOfWork, record: CaseRecord, alert_id: str) -> None:
        changes = remove_alerts(record.case, [alert_id])
        if is_open(record.case) and not (changes["alert_ids"] or changes["more_alerts"]):
            work.record_step(record, "closed", changes | close(work.at, self._policy.retention), reason="retracted")
        else:
            work.record_step(record, "noted", changes, reason="retracted")

    def _assess(self, work: UnitOfWork, key: str, customer: Customer, fact: AlertFact) -> _Assessment:
        alert, context = fact
        answer = Answer.from_context(context, unhappy=True)
        previous = customer.previous_answer(context.metric, answer)
        before = customer.outcomes.get(alert.alert_id)
        severity, reasons = self._policy.severity(alert.severity, context, previous.category if previous else None)
        return _Assessment(
            key=key,
            alert_id=alert.alert_id,
            revision=alert.revision,
            context=context,
            answer=answer,
            severity=severity,
            reasons=(*alert.reasons, *reasons),
            case_id=work.new_case_id("c-", alert.alert_id, alert.revision, key, before),
            start=to_ms(alert.due_at - ALERT_DUE),
            raised=from_rfc3339(alert.raised_at),
            previous_score=previous.score if previous else None,
            obstacle=_obstacle(alert, context, before, work.at),
        )

    def _admit(self, work: UnitOfWork, customer: Customer, new: _Assessment) -> Decision:
        """Let the alert open a case, join one, or be suppressed."""
        if new.obstacle is not None:
            return _suppress(work, new, new.obstacle)
        if (last := work.open_case(customer)) is not None:
            return self._join(work, last, new, "case_open")
        if (last := work.case(customer.last_case)) is not None and self._cools_down(last.case, new, work.at):
            return _suppress(work, new, "cooldown")
        if not (bundle_id := self._bundle(work, new)):
            return self._open(work, customer, new, new.case_id)
        bundle = work.case(bundle_id)
        if bundle is not None and is_open(bundle.case):
            return self._join(work, bundle, new, "burst")
        return self._open(work, customer, new, bundle_id)

    def _cools_down(self, last: Case, new: _Assessment, now: int) -> bool:
        """Whether the loop with this customer was closed just now, and the alert is not worse than that case."""
        until = from_rfc3339(last.ended_at) + self._policy.cooldown
        return last.status == "loop_closed" and now < until and not is_worse(new.severity, last.severity or "medium")

    def _open(self, work: UnitOfWork, customer: Customer, new: _Assessment, case_id: str) -> Decision:
        """Open a case, or reopen the one that the alert has opened before."""
        if (kept := work.case(case_id)) is not None:
            self._reopen(work, kept.case, new)
            return Decision(case_id)
        record = work.emit_case(CaseRecord(self._new_case(work.at, new, case_id), new.context))
        better = (a for a in customer.answers.get(new.context.metric, ()) if not a.unhappy and a.at > new.start)
        if record.case.kind == "recovery" and (answer := next(better, None)) is not None:
            win_back(work, record, answer)  # its follow-up was read before this alert
        return Decision(case_id)

    def _new_case(self, now: int, new: _Assessment, case_id: str) -> Case:
        deadlines, contact = self._deadlines(new, new.severity), new.context.primary_contact
        return Case(
            case_id=case_id,
            kind="bundle" if case_id.startswith("b-") else "recovery",
            revision=1,
            status="opened",
            key=new.key,
            opened_at=rfc3339(now),
            due_at=rfc3339(deadlines.due),
            finish_by=rfc3339(deadlines.finish),
            alert_ids=(new.alert_id,),
            severity=new.severity,
            reasons=new.reasons,
            owner=self._policy.owner(new.severity, new.context),
            informed=(contact,) if contact else (),
            message=self._policy.message(new.context),
            previous_score=new.previous_score,
            history=(Entry(rfc3339(now), "opened", NPSFLOW),),
            plan=deadlines.plan,
        )

    def _reopen(self, work: UnitOfWork, case: Case, new: _Assessment) -> None:
        """Reopen a closed case, as severe as its alerts are now."""
        severity, reasons = new.severity, new.reasons
        if case.alert_ids and case.severity is not None and is_worse(case.severity, severity):
            severity, reasons = case.severity, case.reasons
        changes = reopen(self._deadlines(new, severity))
        changes |= {
            "alert_ids": tuple(dict.fromkeys((new.alert_id, *case.alert_ids))),
            "severity": severity,
            "reasons": reasons,
            "message": self._policy.message(new.context),
            "previous_score": new.previous_score,
        }
        reason = "burst" if case.kind == "bundle" else "reinstated"
        work.record_step(CaseRecord(case, new.context), "reopened", changes, reason=reason)

    def _join(self, work: UnitOfWork, record: CaseRecord, new: _Assessment, reason: str) -> Decision:
        """Add the alert to an open case. A resolved one is reopened: what was done has not helped."""
        deadlines = self._deadlines(new, new.severity)
        changes = tighten(record.case, new.severity, new.reasons, deadlines) | add_alert(record.case, new.alert_id)
        record = work.record_step(record, "joined", changes, reason=reason)
        case = record.case
        if case.status == "resolved":
            deadlines = self._deadlines(new, case.severity or new.severity)
            work.record_step(record, "reopened", reopen(deadlines), reason="unhappy_again")
        return Decision(case.case_id)

    def _enrich(self, work: UnitOfWork, case_id: str, new: _Assessment) -> Decision:
        """Take a comment or context that came later: it may make the case more severe, or forbid any contact."""
        record = work.case(case_id)
        if record is None:
            return Decision(case_id)
        changes = self._tightened(record.case, new)
        if record.case.alert_ids[:1] == (new.alert_id,):
            changes |= self._described(record, new, changes.get("severity", record.case.severity))
            record = record._replace(context=new.context)
        record = work.record_step(record, "noted", changes, reason="enriched")
        case = record.case
        untouched = case.kind == "recovery" and case.contacted_at is None and is_open(case)
        if not (untouched and new.context.contact_allowed is False):
            return Decision(case_id)
        work.record_step(record, "closed", close(work.at, self._policy.retention), reason="opted_out")
        return Decision(reason="opted_out")

    def _tightened(self, case: Case, new: _Assessment) -> Changes:
        if not is_open(case):
            return {}
        start = max(new.start, self._policy.start_of(case))  # it may have been reopened since the alert
        return tighten(case, new.severity, new.reasons, self._deadlines(new, new.severity, start))

    def _deadlines(self, new: _Assessment, severity: Severity, start: int | None = None) -> Deadlines:
        """The deadlines of the alert, from `start` (ms) where it is not its own.

        Those that had passed before npsflow knew of the response are not in the plan: nobody is alerted to them.
        """
        deadlines = self._policy.deadlines(new.start if start is None else start, severity, new.context)
        plan = tuple(due for due in deadlines.plan if due.at > new.raised)
        return Deadlines(deadlines.due, deadlines.finish, plan)

    def _described(self, record: CaseRecord, new: _Assessment, severity: Severity | None) -> Changes:
        """What the new context changes in the case that its alert has opened."""
        case, contact = record.case, new.context.primary_contact
        changes: Changes = {
            "message": self._policy.message(new.context),
            "informed": tuple(dict.fromkeys((*case.informed, *([contact] if contact else [])))),
        }
        if case.owner == self._policy.owner(case.severity, record.context):  # nobody has reassigned it
            changes["owner"] = self._policy.owner(severity, new.context)
        return changes

    def _bundle(self, work: UnitOfWork, new: _Assessment) -> str:
        """Count the alert; give the id of the case that bundles its department's burst, "" where there is no burst."""
        department, size = normal(new.context.department or ""), self._policy.burst_size
        if not size or not department:
            return ""
        burst = work.burst(department)
        times = [at for at in burst.times if at > work.at - self._policy.burst_window][-size:]
        case_id = ""
        if len(times) >= size:
            kept = work.case(burst.case_id) is not None
            case_id = burst.case_id if kept else hashed_id("b-", f"{new.alert_id}.{new.revision}", new.key)
        work.bursts[department] = Burst([*times, work.at], case_id)
        return "" if new.severity == "critical" else case_id


def _suppress(work: UnitOfWork, new: _Assessment, reason: str) -> Decision:
    event = Suppressed(reason, new.alert_id, severity=new.severity)
    work.emit_event("suppressed", new.key, new.alert_id, f"suppressed.{new.revision}", event, new.context)
    return Decision(reason=reason)


def _obstacle(alert: Alert, context: Context, before: Outcome | None, now: int) -> str | None:
    """Give why nobody can or may act on an alert, or None.

    It is stale if it is appended long after it was raised, as by a rebuild; later revisions are not judged by that.
    """
    is_first = alert.revision == 1 or (before is not None and before.reason == "stale")
    if is_first and now - from_rfc3339(alert.raised_at) > STALE_AFTER:
        return "stale"
    return alert.not_actionable or ("opted_out" if context.contact_allowed is False else None)


def _is_reconsidered(before: Outcome, new: _Assessment) -> bool:
    """Whether an alert without a case is decided on again: it is back, can be acted on now, or is worse than before."""
    return (
        before.reason == "retracted"
        or (before.reason in _RECONSIDERED and new.obstacle is None)
        or (before.severity is not None and is_worse(new.severity, before.severity))
    )
