"""What is made of facts about alerts: a case, a part of one, or nothing and the reason why. Pure but for the draft."""

from dataclasses import dataclass

from msgspec.structs import replace

from npsflow.schemas.cases import Case, Entry, Suppressed
from npsflow.schemas.events import AlertRetracted, Context, Severity
from npsflow.streams import policy as facts_policy
from npsflow.streams.recovery import case as life
from npsflow.streams.recovery.draft import Draft
from npsflow.streams.recovery.facts import AlertFact
from npsflow.streams.recovery.memory import Answered, Customer, Seen
from npsflow.streams.recovery.policy import Policy, worse
from npsflow.streams.times import DAY, HOUR, MINUTE, from_rfc3339, rfc3339, to_ms


def answered(context: Context) -> Answered:
    """What remains of an answer."""
    response = f"{context.source}/{context.response_id}"
    return Answered(response, context.score, context.category, to_ms(context.submitted_at))


class Alerts:
    """Facts about alerts."""

    def __init__(self, policy: Policy) -> None:
        self._policy, settings = policy, policy.settings
        self._cooldown, self._keep = int(settings.cooldown_hours * HOUR), int(settings.keep_days * DAY)
        self._most, self._burst = settings.burst_alerts, settings.burst_minutes * MINUTE

    def told(self, draft: Draft, key: str, fact: AlertFact) -> None:
        """Raised, enriched or reinstated; `key` is the customer's."""
        own, context = fact
        customer, answer = draft.customer(key), answered(context)
        seen = customer.seen.get(own.alert_id)
        if seen is not None and seen.revision >= own.revision:
            return
        before = customer.before(context.metric, answer)
        severity, more = self._policy.severity(own.severity, context, before.category if before else None)
        start, previous = to_ms(own.due_at - facts_policy.ALERT_DUE), before.score if before else None
        new = _New(own.alert_id, own.revision, severity, (*own.reasons, *more), context, start, previous)
        customer = replace(customer, answers=customer.with_answer(context.metric, answer), touched=draft.at)
        last = customer.last_case
        if seen is not None and seen.case_id:
            case_id, reason = self._enrich(draft, seen.case_id, new), ""
        elif seen is not None and seen.reason != "retracted" and not _breaks(seen, severity):
            case_id, reason = "", seen.reason
        else:
            case_id, reason = self._admit(draft, key, customer, new, own.not_actionable)
            last = case_id or last
        now = Seen(own.revision, severity, case_id, reason)
        draft.customers[key] = replace(customer, seen=customer.with_seen(own.alert_id, now), last_case=last)

    def retracted(self, draft: Draft, key: str, fact: AlertRetracted) -> None:
        """The response is no longer an unhappy one, or not this customer's."""
        customer = draft.customer(key)
        seen = customer.seen.get(fact.alert_id)
        if not customer.seen or (seen is not None and seen.revision >= fact.revision):  # none: that was forgotten
            return
        response = f"{fact.source}/{fact.response_id}"
        answers = {m: [a for a in of if a.response != response] for m, of in customer.answers.items()}
        if seen is not None and seen.case_id and (file := draft.file(seen.case_id)) is not None:
            case, context = file
            left = tuple(alert_id for alert_id in case.alert_ids if alert_id != fact.alert_id)
            if left and left != case.alert_ids:
                case = life.with_entry(case, draft.at, "noted", life.US, {"alert_ids": left}, reason="retracted")
                draft.keep(case, context, "noted")
            elif not left and not life.ended(case):
                ending = life.ending(draft.at, self._keep) | {"alert_ids": ()}
                case = life.with_entry(case, draft.at, "closed", life.US, ending, reason="retracted")
                draft.keep(case, context, "closed")
        now = Seen(fact.revision, None, "", "retracted")
        draft.customers[key] = replace(
            customer, answers=answers, seen=customer.with_seen(fact.alert_id, now), touched=draft.at
        )

    def _admit(
        self, draft: Draft, key: str, customer: Customer, new: "_New", not_actionable: str | None
    ) -> tuple[str, str]:
        """The case that the alert begins or joins, or "" and why there is none."""
        if not_actionable is not None or new.context.contact_allowed is False:
            return self._suppress(draft, key, new, not_actionable or "opted_out")
        last = draft.file(customer.last_case)
        if last is not None and last.case.kind != "ask":
            if not life.ended(last.case):
                return self._join(draft, last.case, last.context, new, "case_open"), ""
            was, until = last.case.severity or "medium", from_rfc3339(last.case.ended_at) + self._cooldown
            if last.case.status == "loop_closed" and draft.at < until and not worse(new.severity, was):
                return self._suppress(draft, key, new, "cooldown")
        if bundle := self._bundle(draft, new):
            file = draft.file(bundle)
            if file is not None and not life.ended(file.case):
                return self._join(draft, file.case, file.context, new, "burst"), ""
            return self._open(draft, key, new, bundle), ""
        return self._open(draft, key, new, "c-" + new.alert_id.removeprefix("a-")), ""

    def _suppress(self, draft: Draft, key: str, new: "_New", reason: str) -> tuple[str, str]:
        own = Suppressed(reason, new.alert_id, severity=new.severity)
        draft.say("suppressed", key, new.alert_id, f"suppressed.{new.revision}", own, new.context)
        return "", reason

    def _open(self, draft: Draft, key: str, new: "_New", case_id: str) -> str:
        deadlines = self._policy.deadlines(new.start, new.severity, new.context)
        there = draft.file(case_id)
        if there is not None:
            changes = life.reopening(deadlines) | {"alert_ids": (*there.case.alert_ids, new.alert_id)}
            case = life.with_entry(there.case, draft.at, "reopened", life.US, changes, reason="reinstated")
            draft.keep(case, new.context, "reopened")
            return case_id
        primary = new.context.primary_contact
        case = Case(
            case_id=case_id,
            kind="bundle" if case_id.startswith("b-") else "recovery",
            revision=1,
            status="opened",
            key=key,
            opened_at=rfc3339(draft.at),
            due_at=rfc3339(deadlines.due),
            finish_by=rfc3339(deadlines.finish),
            alert_ids=(new.alert_id,),
            severity=new.severity,
            reasons=new.reasons,
            owner=self._policy.owner(new.severity, new.context),
            informed=(primary,) if primary else (),
            message=self._policy.message(new.context),
            previous_score=new.previous,
            history=(Entry(rfc3339(draft.at), "opened", life.US),),
            plan=deadlines.plan,
        )
        draft.keep(case, new.context, "opened")
        return case_id

    def _join(self, draft: Draft, case: Case, context: Context, new: "_New", reason: str) -> str:
        deadlines = self._policy.deadlines(new.start, new.severity, new.context)
        changes = life.sharpened(case, new.severity, new.reasons, deadlines)
        changes["alert_ids"] = tuple(dict.fromkeys((*case.alert_ids, new.alert_id)))
        case = life.with_entry(case, draft.at, "joined", life.US, changes, reason=reason)
        draft.keep(case, context, "joined")
        if case.status == "resolved":  # what was done has not helped
            case = life.with_entry(
                case, draft.at, "reopened", life.US, life.reopening(deadlines), reason="unhappy_again"
            )
            draft.keep(case, context, "reopened")
        return case.case_id

    def _enrich(self, draft: Draft, case_id: str, new: "_New") -> str:
        """A comment or context that came later; the alert may be worse for it."""
        file = draft.file(case_id)
        if file is None:
            return case_id
        case, context = file
        changes = {}
        if not life.ended(case):
            deadlines = self._policy.deadlines(new.start, new.severity, new.context)
            changes = life.sharpened(case, new.severity, new.reasons, deadlines)
        if case.alert_ids[:1] == (new.alert_id,):
            context = new.context
            changes["message"] = self._policy.message(context)
        case = life.with_entry(case, draft.at, "noted", life.US, changes, reason="enriched")
        draft.keep(case, context, "noted")
        return case_id

    def _bundle(self, draft: Draft, new: "_New") -> str:
        """The case that bundles the alerts of a department while there are too many; "" while there are not."""
        department = new.context.department
        if not self._most or department is None:
            return ""
        times, bundle = draft.burst(department)
        times = [at for at in times if at > draft.at - self._burst][-self._most :]
        many = len(times) >= self._most
        bundle = (bundle or "b-" + new.alert_id.removeprefix("a-")) if many else ""
        draft.bursts[department] = [*times, draft.at], bundle
        return "" if new.severity == "critical" else bundle


@dataclass(frozen=True, slots=True)
class _New:
    """An alert as the policy sees it. `start`: when the customer said it, in ms; `previous`: the score before."""

    alert_id: str
    revision: int
    severity: Severity
    reasons: tuple[str, ...]
    context: Context
    start: int
    previous: int | None


def _breaks(seen: Seen, severity: Severity) -> bool:
    """Whether what was suppressed is worse than it was then."""
    return seen.severity is not None and worse(severity, seen.severity)
