"""What is made of facts about those who are not unhappy: an ask, not too often, and customers that were won back."""

from msgspec.structs import replace

from npsflow.schemas.cases import Case, Due, Entry, Suppressed
from npsflow.schemas.events import Context, FollowUp, FollowUpRetracted
from npsflow.schemas.times import DAY, rfc3339, to_ms
from npsflow.streams.recovery import case as life
from npsflow.streams.recovery.changes import UnitOfWork
from npsflow.streams.recovery.counters import READ
from npsflow.streams.recovery.inputs import FollowUpFact
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.state import Answered, CaseRecord, Customer, Seen

_MAY_CHANGE = ("", "retracted", "no_contact", "opted_out")
"""Why nothing was asked; the next version of the response may say otherwise."""


class FollowUps:
    """Facts about follow-ups."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._period, self._keep = int(policy.settings.ask_every_days * DAY), int(policy.settings.keep_days * DAY)

    def told(self, work: UnitOfWork, key: str, fact: FollowUpFact) -> None:
        """Requested or enriched; `key` is the customer's."""
        own, context = fact
        customer, answer = work.customer(key), Answered.of(context, unhappy=False)
        seen = customer.seen.get(own.follow_up_id)
        if seen is not None and seen.revision >= own.revision:
            return
        alert = customer.seen.get(_alert_of(own.follow_up_id))
        if not newer(alert, work):  # else it has been another answer since
            customer = replace(customer, answers=customer.with_answer(context.metric, answer))
            self._win_back(work, customer, context.metric, answer)
            if seen is None and alert is None:
                self._fell(work, customer, context.metric, answer)
        customer = replace(customer, touched=work.at)
        case_id, reason = ("", "") if seen is None else (seen.case_id, seen.reason)
        if own.action is not None:
            if case_id:
                self._enrich(work, case_id, own, context)
            elif not (context.customer_id or context.email or context.phone):
                reason = "no_contact"  # so many that no event says so
                work.counts[READ, "no_contact"] += 1
            elif reason in _MAY_CHANGE:
                reason = self._reason(work, customer, own, context)
                if reason:
                    said = Suppressed(reason, follow_up_id=own.follow_up_id)
                    work.say("suppressed", key, own.follow_up_id, f"suppressed.{own.revision}", said, context)
                else:
                    case_id = self._open(work, key, fact, seen)
                    customer = replace(customer, asked=work.at)
        began = case_id or (seen.began if seen is not None else "")
        now = Seen(own.revision, None, case_id, reason, work.at, began)
        work.customers[key] = replace(customer, seen=customer.with_seen(own.follow_up_id, now))

    def retracted(self, work: UnitOfWork, key: str, fact: FollowUpRetracted) -> None:
        """Nothing is to be asked any more. An ask that nobody has acted on counts as never asked."""
        customer = work.customer(key)
        seen = customer.seen.get(fact.follow_up_id)
        if not customer.seen or (seen is not None and seen.revision >= fact.revision):  # none: that was forgotten
            return
        if seen is not None and _close(work, seen.case_id, "retracted", self._keep):
            customer = replace(customer, asked=0)
        response = f"{fact.source}/{fact.response_id}"
        answers = customer.without_answer(response, unhappy=False)
        customer = replace(customer, answers=answers)
        self._lose_again(work, customer, response)
        now = Seen(fact.revision, None, "", "retracted", work.at, seen.began if seen else "")
        work.customers[key] = replace(customer, seen=customer.with_seen(fact.follow_up_id, now), touched=work.at)

    def _reason(self, work: UnitOfWork, customer: Customer, own: FollowUp, context: Context) -> str:
        """Why this customer is not asked now, or ""."""
        if context.contact_allowed is False:
            return "opted_out"
        if to_ms(own.due_at) <= work.at:
            return "stale"
        if work.open_case(customer) is not None:
            # A response that is not unhappy any more: the alert that it was is retracted, in another topic.
            alert_id = _alert_of(own.follow_up_id)
            about_to_close = customer.alerts_in(customer.last_case) == {alert_id}
            if not about_to_close or newer(customer.seen[alert_id], work):
                return "case_open"
        return "asked_recently" if customer.asked and customer.asked + self._period > work.at else ""

    def _open(self, work: UnitOfWork, key: str, fact: FollowUpFact, seen: Seen | None) -> str:
        own, context = fact
        case_id = work.case_id("q-", own.follow_up_id, own.revision, key, seen)
        due, there = to_ms(own.due_at), work.file(case_id)
        case = Case(
            case_id=case_id,
            kind="ask",
            revision=1 if there is None else there.case.revision + 1,
            status="opened",
            key=key,
            opened_at=rfc3339(work.at),
            due_at=rfc3339(due),
            finish_by=rfc3339(due),
            action=own.action,
            owner=self._policy.owner(None, context),
            message=self._policy.thanks(context),
            history=(*(there.case.history if there else ()), Entry(rfc3339(work.at), "opened", life.US)),
            plan=(Due(due, "expired"),),
            follow_up_id=own.follow_up_id,
        )
        work.keep(case, context, "opened")
        return case_id

    def _enrich(self, work: UnitOfWork, case_id: str, own: FollowUp, context: Context) -> None:
        file = work.file(case_id)
        if file is not None:
            changes = {} if life.ended(file.case) else {"action": own.action}
            case = life.with_entry(file.case, work.at, "noted", life.US, changes, reason="enriched")
            work.keep(case, context, "noted")
            if context.contact_allowed is False:
                _close(work, case_id, "opted_out", self._keep)

    def _win_back(self, work: UnitOfWork, customer: Customer, metric: str, answer: Answered) -> None:
        """A later answer of the same customer to the same metric that is not unhappy."""
        for case_id in {seen.case_id: None for seen in customer.seen.values() if seen.case_id.startswith("c-")}:
            file = work.file(case_id)
            if file is None or file.case.won_back_at is not None or file.context.metric != metric:
                continue
            unhappy = Answered.of(file.context, unhappy=True)
            if unhappy.response != answer.response and unhappy.at < answer.at:
                win_back(work, file, answer)

    def _lose_again(self, work: UnitOfWork, customer: Customer, response: str) -> None:
        """The answer that won a customer back is not there any more; another may have, too."""
        for case_id in {name: None for seen in customer.seen.values() for name in (seen.case_id, seen.began) if name}:
            file = work.file(case_id)
            if file is None or file.case.won_back_by != response:
                continue
            changes = {"won_back_at": None, "won_back_by": None}
            case = life.with_entry(file.case, work.at, "noted", life.US, changes, reason="not_won_back")
            work.keep(case, file.context, "noted")
            for other in customer.answers.get(file.context.metric, ()):
                if not other.unhappy:
                    self._win_back(work, customer, file.context.metric, other)

    def _fell(self, work: UnitOfWork, customer: Customer, metric: str, answer: Answered) -> None:
        """An answer from before the unhappy one, and read after it: the case says from where the customer fell."""
        file = work.open_case(customer)
        later = [other for other in customer.answers[metric] if other.at > answer.at]
        if file is None or file.case.kind != "recovery" or file.case.severity is None or not later:
            return
        (case, context), next_one = file, later[0]
        if not next_one.unhappy:
            return
        severity, reasons = self._policy.severity(file.case.severity, context, answer.category)
        deadlines = self._policy.deadlines(self._policy.start_of(case), severity, context)
        changes = life.sharpened(case, severity, reasons, deadlines)
        if next_one.response == Answered.of(context, unhappy=True).response:
            changes["reasons"] = tuple(dict.fromkeys((*case.reasons, *reasons)))
            changes["previous_score"] = answer.score
        if replace(case, **changes) != case:
            case = life.with_entry(case, work.at, "noted", life.US, changes, reason="answered_before")
            work.keep(case, context, "noted")


def win_back(work: UnitOfWork, file: CaseRecord, answer: Answered) -> None:
    """The customer has given a better answer since: the case says so, once."""
    changes = {"won_back_at": rfc3339(work.at), "won_back_by": answer.response}
    case = life.with_entry(file.case, work.at, "won_back", life.US, changes, reason=answer.category)
    work.keep(case, file.context, "won_back")


def withdraw(work: UnitOfWork, customer: Customer, keep: int, alert_id: str = "") -> Customer:
    """Somebody with an open case is asked nothing: what was to be asked is withdrawn, and counts as never asked.

    A follow-up of the response of `alert_id` itself that is newer than the alert stays: the alert is taken back next.
    """
    seen = dict(customer.seen)
    for name, was in customer.seen.items():
        stays = _alert_of(name) == alert_id and newer(was, work)
        if was.case_id.startswith("q-") and not stays and _close(work, was.case_id, "case_open", keep):
            seen[name] = Seen(was.revision, None, "", "case_open", was.at, was.case_id)
            customer = replace(customer, asked=0)
    return replace(customer, seen=seen)


def newer(other: Seen | None, work: UnitOfWork) -> bool:
    """Whether the same response is the other thing by now, an alert or a follow-up, and this one will be retracted."""
    return other is not None and other.reason != "retracted" and other.at > work.at


def _close(work: UnitOfWork, case_id: str, reason: str, keep: int) -> bool:
    """An ask ends, unless it has ended before."""
    file = work.file(case_id)
    if file is None or life.ended(file.case):
        return False
    case = life.with_entry(file.case, work.at, "closed", life.US, life.ending(work.at, keep), reason=reason)
    work.keep(case, file.context, "closed")
    return True


def _alert_of(follow_up_id: str) -> str:
    """The id of the alert that the same response may raise."""
    return "a-" + follow_up_id.removeprefix("f-")
