"""What is made of facts about those who are not unhappy: an ask, not too often, and customers that were won back."""

from msgspec.structs import replace

from npsflow.schemas.cases import Case, Due, Entry, Suppressed
from npsflow.schemas.events import Context, FollowUpRetracted
from npsflow.streams.recovery import case as life
from npsflow.streams.recovery.deciding import answered
from npsflow.streams.recovery.draft import Draft
from npsflow.streams.recovery.facts import FollowUpFact
from npsflow.streams.recovery.memory import Answered, Customer, Seen
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.times import DAY, rfc3339, to_ms


class FollowUps:
    """Facts about follow-ups."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._period, self._keep = int(policy.settings.ask_every_days * DAY), int(policy.settings.keep_days * DAY)

    def told(self, draft: Draft, key: str, fact: FollowUpFact) -> None:
        """Requested or enriched; `key` is the customer's."""
        own, context = fact
        customer, answer = draft.customer(key), answered(context)
        seen = customer.seen.get(own.follow_up_id)
        if seen is not None and seen.revision >= own.revision:
            return
        self._win_back(draft, customer, context, answer)
        customer = replace(customer, answers=customer.with_answer(context.metric, answer), touched=draft.at)
        case_id, reason = ("", "") if seen is None else (seen.case_id, seen.reason)
        if own.action is not None:
            if case_id:
                self._enrich(draft, case_id, context)
            elif not (context.customer_id or context.email or context.phone):
                reason = "no_contact"  # so many that no event says so
                draft.counts["recover:no_contact"] += 1
            elif reason in ("", "retracted"):
                reason = self._reason(draft, customer, context)
                if reason:
                    said = Suppressed(reason, follow_up_id=own.follow_up_id)
                    draft.say("suppressed", key, own.follow_up_id, f"suppressed.{own.revision}", said, context)
                else:
                    case_id = self._open(draft, key, fact)
                    customer = replace(customer, asked=draft.at)
        now = Seen(own.revision, None, case_id, reason)
        draft.customers[key] = replace(customer, seen=customer.with_seen(own.follow_up_id, now))

    def retracted(self, draft: Draft, key: str, fact: FollowUpRetracted) -> None:
        """Nothing is to be asked any more. An ask that nobody has acted on counts as never asked."""
        customer = draft.customer(key)
        seen = customer.seen.get(fact.follow_up_id)
        if not customer.seen or (seen is not None and seen.revision >= fact.revision):  # none: that was forgotten
            return
        if seen is not None and (file := draft.file(seen.case_id)) is not None and not life.ended(file.case):
            ending = life.ending(draft.at, self._keep)
            case = life.with_entry(file.case, draft.at, "closed", life.US, ending, reason="retracted")
            draft.keep(case, file.context, "closed")
            customer = replace(customer, asked=0)
        now = Seen(fact.revision, None, "", "retracted")
        draft.customers[key] = replace(customer, seen=customer.with_seen(fact.follow_up_id, now), touched=draft.at)

    def _reason(self, draft: Draft, customer: Customer, context: Context) -> str:
        """Why this customer is not asked now, or ""."""
        if context.contact_allowed is False:
            return "opted_out"
        last = draft.file(customer.last_case)
        if last is not None and not life.ended(last.case):
            return "case_open"
        return "asked_recently" if customer.asked and customer.asked + self._period > draft.at else ""

    def _open(self, draft: Draft, key: str, fact: FollowUpFact) -> str:
        own, context = fact
        due, there = to_ms(own.due_at), draft.file(own.follow_up_id)
        case = Case(
            case_id=own.follow_up_id,
            kind="ask",
            revision=1 if there is None else there.case.revision + 1,
            status="opened",
            key=key,
            opened_at=rfc3339(draft.at),
            due_at=rfc3339(due),
            finish_by=rfc3339(due),
            action=own.action,
            owner=self._policy.owner(None, context),
            message=self._policy.thanks(context),
            history=(Entry(rfc3339(draft.at), "opened", life.US),),
            plan=(Due(due, "expired"),),
        )
        draft.keep(case, context, "opened")
        return own.follow_up_id

    def _enrich(self, draft: Draft, case_id: str, context: Context) -> None:
        file = draft.file(case_id)
        if file is not None:
            case = life.with_entry(file.case, draft.at, "noted", life.US, reason="enriched")
            draft.keep(case, context, "noted")

    def _win_back(self, draft: Draft, customer: Customer, context: Context, answer: Answered) -> None:
        """A later answer of the same customer to the same metric that is not unhappy: the case says so, once."""
        for case_id in {seen.case_id: None for seen in customer.seen.values() if seen.case_id.startswith("c-")}:
            file = draft.file(case_id)
            if file is None or file.case.won_back_at is not None or file.context.metric != context.metric:
                continue
            unhappy = answered(file.context)
            if unhappy.response != answer.response and unhappy.at < answer.at:
                changes = {"won_back_at": rfc3339(draft.at)}
                case = life.with_entry(file.case, draft.at, "won_back", life.US, changes, reason=answer.category)
                draft.keep(case, file.context, "won_back")
