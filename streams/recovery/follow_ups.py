"""Follow-ups, of customers who are not unhappy: each may open an ask, not too often, and may win the customer back."""

from collections.abc import Callable

from msgspec.structs import replace

from npsflow.schemas.cases import Case, Due, Entry, Suppressed
from npsflow.schemas.events import Context, FollowUp, FollowUpRetracted
from npsflow.schemas.times import rfc3339, to_ms
from npsflow.streams.recovery.case import NPSFLOW, close, is_open
from npsflow.streams.recovery.changes import UnitOfWork
from npsflow.streams.recovery.contents import Contents
from npsflow.streams.recovery.counters import READ
from npsflow.streams.recovery.customers import Answer, Customer, Decision, Outcome, counterpart, response_key
from npsflow.streams.recovery.inputs import FollowUpFact
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.state import CaseRecord

_RECONSIDERED = ("", "retracted", "no_contact", "opted_out")
"""Reasons for no ask that the next version of the response may do away with."""

Reconsider = Callable[[UnitOfWork, str], None]
"""Decides anew on a customer's suppressed alerts; in: the unit of work and the customer's key."""


class FollowUps:
    """What becomes of follow-ups."""

    def __init__(self, policy: Policy, contents: Contents, reconsider: Reconsider) -> None:
        self._policy, self._contents, self._reconsider = policy, contents, reconsider

    def handle(self, work: UnitOfWork, key: str, fact: FollowUpFact) -> None:
        """Take a follow-up that was requested or enriched; `key` is the customer's."""
        follow_up, customer = fact.follow_up, work.customer(key)
        if customer.has_read(follow_up.follow_up_id, follow_up.revision):
            return
        if not customer.superseded(follow_up.follow_up_id, work.at):
            answer = Answer.from_context(fact.context, unhappy=False)
            customer = work.customers[key] = customer.with_answer(fact.context.metric, answer)
            customer = self._agree(work, key)
        before = customer.outcomes.get(follow_up.follow_up_id)
        decision = self._ask(work, key, customer, fact)
        if decision.case_id and not (before is not None and before.case_id):
            customer = replace(customer, asked_at=work.at)
        opened = decision.case_id
        outcome = Outcome(follow_up.revision, None, decision.case_id, decision.reason, work.at, opened)
        work.customers[key] = customer.with_outcome(follow_up.follow_up_id, outcome)

    def retract(self, work: UnitOfWork, key: str, fact: FollowUpRetracted) -> None:
        """Withdraw the ask of a follow-up. One that nobody has acted on counts as never asked."""
        customer = work.customer(key)
        if not customer.outcomes or customer.has_read(fact.follow_up_id, fact.revision):  # none: it was forgotten
            return
        before = customer.outcomes.get(fact.follow_up_id)
        if before is not None and close_ask(work, before.case_id, "retracted", self._policy.retention):
            customer = replace(customer, asked_at=0)
        customer = customer.without_answer(response_key(fact.source, fact.response_id), unhappy=False)
        outcome = Outcome(fact.revision, None, "", "retracted", work.at)
        customer = work.customers[key] = customer.with_outcome(fact.follow_up_id, outcome)
        if fact.cause != "category" or customer.is_followed(fact.follow_up_id, work.at):
            # Else it is an alert now, which is read next.
            self._agree(work, key)

    def _agree(self, work: UnitOfWork, key: str) -> Customer:
        """Let the customer's alerts and cases say what is so, now that a fact was read."""
        customer = work.customer(key)
        self._contents.agree(work, customer, self._contents.reassess(work, customer))
        self._reconsider(work, key)
        return work.customer(key)

    def _ask(self, work: UnitOfWork, key: str, customer: Customer, fact: FollowUpFact) -> Decision:
        """Open or enrich the ask of a follow-up, or suppress it."""
        follow_up, context = fact
        before = customer.outcomes.get(follow_up.follow_up_id)
        decision = Decision(before.case_id, before.reason) if before is not None else Decision()
        if follow_up.action is None:
            return decision
        if decision.case_id:
            self._enrich(work, decision.case_id, follow_up, context)
            return decision
        if not (context.customer_id or context.email or context.phone):
            work.counts[READ, "no_contact"] += 1  # there are too many of these for an event about each
            return Decision(reason="no_contact")
        if decision.reason not in _RECONSIDERED:
            return decision
        reason = self._reason_against(work, customer, follow_up, context)
        if not reason:
            return Decision(self._open(work, key, fact, before))
        event = Suppressed(reason, follow_up_id=follow_up.follow_up_id)
        work.emit_event("suppressed", key, follow_up.follow_up_id, f"suppressed.{follow_up.revision}", event, context)
        return Decision(reason=reason)

    def _reason_against(self, work: UnitOfWork, customer: Customer, follow_up: FollowUp, context: Context) -> str:
        """Give why this customer is not asked now, or ""."""
        if context.contact_allowed is False:
            return "opted_out"
        if to_ms(follow_up.due_at) <= work.at:
            return "stale"
        if work.open_case(customer) is not None:
            # The same response may have been unhappy before: the retraction of its alert is still to be read.
            alert_id = counterpart(follow_up.follow_up_id)
            about_to_close = customer.alerts_in(customer.last_case) == {alert_id}
            if not about_to_close or customer.superseded(follow_up.follow_up_id, work.at):
                return "case_open"
        return "asked_recently" if customer.asked_at and customer.asked_at + self._policy.ask_interval > work.at else ""

    def _open(self, work: UnitOfWork, key: str, fact: FollowUpFact, before: Outcome | None) -> str:
        follow_up, context = fact
        case_id = work.new_case_id("q-", follow_up.follow_up_id, follow_up.revision, key, before)
        due, kept = to_ms(follow_up.due_at), work.case(case_id)
        case = Case(
            case_id=case_id,
            kind="ask",
            revision=1 if kept is None else kept.case.revision + 1,
            status="opened",
            key=key,
            opened_at=work.time,
            due_at=rfc3339(due),
            finish_by=rfc3339(due),
            action=follow_up.action,
            owner=self._policy.owner(None, context),
            message=self._policy.thanks(context),
            history=(*(kept.case.history if kept else ()), Entry(work.time, "opened", NPSFLOW)),
            plan=(Due(due, "expired"),),
            follow_up_id=follow_up.follow_up_id,
        )
        work.emit_case(CaseRecord(case, context))
        return case_id

    def _enrich(self, work: UnitOfWork, case_id: str, follow_up: FollowUp, context: Context) -> None:
        record = work.case(case_id)
        if record is not None:
            changes = {"action": follow_up.action} if is_open(record.case) else None
            work.record_step(CaseRecord(record.case, context), "noted", changes, reason="enriched")
            if context.contact_allowed is False:
                close_ask(work, case_id, "opted_out", self._policy.retention)


def withdraw_asks(work: UnitOfWork, customer: Customer, retention: int, alert_id: str = "") -> Customer:
    """Close the open asks of a customer who has an open case now; they count as never asked.

    `retention`: how long closed cases are kept, ms. `alert_id`: the alert that is the cause, if it is one. An ask from
    the same response stays if it is newer than the alert, whose retraction is to be read next.
    """
    kept = counterpart(alert_id) if alert_id and customer.superseded(alert_id, work.at) else None
    for fact_id, outcome in customer.outcomes.items():
        asked = fact_id != kept and outcome.case_id.startswith("q-")
        if asked and close_ask(work, outcome.case_id, "case_open", retention):
            withdrawn = replace(outcome, case_id="", reason="case_open", opened_case=outcome.case_id)
            customer = replace(customer, outcomes=customer.outcomes | {fact_id: withdrawn}, asked_at=0)
    return customer


def close_ask(work: UnitOfWork, case_id: str, reason: str, retention: int) -> bool:
    """Close an ask, kept for `retention` ms from now; give whether it was open."""
    record = work.case(case_id)
    if record is None or not is_open(record.case):
        return False
    work.record_step(record, "closed", close(work.at, retention), reason=reason)
    return True
