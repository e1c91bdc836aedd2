"""Follow-ups, of customers who are not unhappy: each may open an ask, not too often, and may win the customer back."""

from msgspec.structs import replace

from npsflow.schemas.cases import Case, Due, Entry, Suppressed
from npsflow.schemas.events import Context, FollowUp, FollowUpRetracted
from npsflow.schemas.times import rfc3339, to_ms
from npsflow.streams.recovery.case import NPSFLOW, close, is_open, tighten
from npsflow.streams.recovery.changes import UnitOfWork
from npsflow.streams.recovery.counters import READ
from npsflow.streams.recovery.customers import Answer, Customer, Decision, Outcome, counterpart, response_key
from npsflow.streams.recovery.inputs import FollowUpFact
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.state import CaseRecord

_RECONSIDERED = ("", "retracted", "no_contact", "opted_out")
"""Reasons for no ask that the next version of the response may do away with."""


class FollowUps:
    """What becomes of follow-ups."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def handle(self, work: UnitOfWork, key: str, fact: FollowUpFact) -> None:
        """Take a follow-up that was requested or enriched; `key` is the customer's."""
        follow_up, customer = fact.follow_up, work.customer(key)
        if customer.has_read(follow_up.follow_up_id, follow_up.revision):
            return
        if not customer.superseded(follow_up.follow_up_id, work.at):
            customer = self._add_answer(work, customer, fact)
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
        response = response_key(fact.source, fact.response_id)
        customer = customer.without_answer(response, unhappy=False)
        self._undo_win_back(work, customer, response)
        outcome = Outcome(fact.revision, None, "", "retracted", work.at)
        work.customers[key] = customer.with_outcome(fact.follow_up_id, outcome)

    def _add_answer(self, work: UnitOfWork, customer: Customer, fact: FollowUpFact) -> Customer:
        """Remember the answer, and say in the customer's cases what it means for them."""
        follow_up, context = fact
        answer = Answer.from_context(context, unhappy=False)
        customer = customer.with_answer(context.metric, answer)
        self._win_back(work, customer, context.metric, answer)
        if not customer.outcomes.keys() & {follow_up.follow_up_id, counterpart(follow_up.follow_up_id)}:
            self._add_previous_answer(work, customer, context, answer)
        return customer

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
            opened_at=rfc3339(work.at),
            due_at=rfc3339(due),
            finish_by=rfc3339(due),
            action=follow_up.action,
            owner=self._policy.owner(None, context),
            message=self._policy.thanks(context),
            history=(*(kept.case.history if kept else ()), Entry(rfc3339(work.at), "opened", NPSFLOW)),
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

    def _win_back(self, work: UnitOfWork, customer: Customer, metric: str, answer: Answer) -> None:
        """Mark the cases of earlier unhappy answers to the same metric as won back by this answer."""
        case_ids = dict.fromkeys(o.case_id for o in customer.outcomes.values() if o.case_id.startswith("c-"))
        for case_id in case_ids:
            record = work.case(case_id)
            if record is None or record.case.won_back_at is not None or record.context.metric != metric:
                continue
            unhappy = Answer.from_context(record.context, unhappy=True)
            if unhappy.response != answer.response and unhappy.at < answer.at:
                win_back(work, record, answer)

    def _undo_win_back(self, work: UnitOfWork, customer: Customer, response: str) -> None:
        """Unmark the cases that a response has won back, now retracted, unless another answer wins them back."""
        names = (name for outcome in customer.outcomes.values() for name in (outcome.case_id, outcome.opened_case))
        for case_id in dict.fromkeys(names):
            record = work.case(case_id)
            if record is None or record.case.won_back_by != response:
                continue
            changes = {"won_back_at": None, "won_back_by": None}
            work.record_step(record, "noted", changes, reason="not_won_back")
            for other in customer.answers.get(record.context.metric, ()):
                if not other.unhappy:
                    self._win_back(work, customer, record.context.metric, other)

    def _add_previous_answer(self, work: UnitOfWork, customer: Customer, context: Context, answer: Answer) -> None:
        """Tell the open case of an answer that was given before the unhappy one and is read after it.

        A fall from a better score may make the case more severe, as if the answers had been read in their order.
        """
        record = work.open_case(customer)
        later = [other for other in customer.answers[context.metric] if other.at > answer.at]
        if record is None or record.case.kind != "recovery" or record.case.severity is None:
            return
        if not later or not later[0].unhappy:
            return
        case = record.case
        severity, reasons = self._policy.severity(record.case.severity, record.context, answer.category)
        deadlines = self._policy.deadlines(self._policy.start_of(case), severity, record.context)
        changes = tighten(case, severity, reasons, deadlines)
        if later[0].response == Answer.from_context(record.context, unhappy=True).response:
            changes["reasons"] = tuple(dict.fromkeys((*case.reasons, *reasons)))
            changes["previous_score"] = answer.score
        if replace(case, **changes) != case:
            work.record_step(record, "noted", changes, reason="answered_before")


def win_back(work: UnitOfWork, record: CaseRecord, answer: Answer) -> None:
    """Mark a case as won back by a better answer of the same customer."""
    changes = {"won_back_at": rfc3339(work.at), "won_back_by": answer.response}
    work.record_step(record, "won_back", changes, reason=answer.category)


def withdraw_asks(work: UnitOfWork, customer: Customer, retention: int, alert_id: str = "") -> Customer:
    """Close the open asks of a customer who has an open case now; they count as never asked.

    `retention`: how long closed cases are kept, ms. `alert_id`: the alert that is the cause, if it is one. An ask from
    the same response stays if it is newer than the alert, whose retraction is to be read next.
    """
    kept = counterpart(alert_id) if alert_id and customer.superseded(alert_id, work.at) else None
    outcomes = dict(customer.outcomes)
    for fact_id, outcome in customer.outcomes.items():
        asked = fact_id != kept and outcome.case_id.startswith("q-")
        if asked and close_ask(work, outcome.case_id, "case_open", retention):
            outcomes[fact_id] = replace(outcome, case_id="", reason="case_open", opened_case=outcome.case_id)
            customer = replace(customer, asked_at=0)
    return replace(customer, outcomes=outcomes)


def close_ask(work: UnitOfWork, case_id: str, reason: str, retention: int) -> bool:
    """Close an ask, kept for `retention` ms from now; give whether it was open."""
    record = work.case(case_id)
    if record is None or not is_open(record.case):
        return False
    work.record_step(record, "closed", close(work.at, retention), reason=reason)
    return True
