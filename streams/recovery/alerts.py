"""What is made of facts about alerts: a case, a part of one, or nothing and the reason why. Pure but for the draft."""

from dataclasses import dataclass

from msgspec.structs import replace

from npsflow.schemas.cases import Case, Entry, Suppressed
from npsflow.schemas.events import AlertRetracted, Context, Severity
from npsflow.schemas.times import DAY, HOUR, MINUTE, from_rfc3339, rfc3339, to_ms
from npsflow.streams.recovery import case as life
from npsflow.streams.recovery.changes import UnitOfWork, digest
from npsflow.streams.recovery.follow_ups import newer, win_back, withdraw
from npsflow.streams.recovery.inputs import AlertFact
from npsflow.streams.recovery.policy import Policy, worse
from npsflow.streams.recovery.state import Answered, Burst, Customer, Seen
from npsflow.streams.scoring.segments import normal
from npsflow.streams.scoring.severity import ALERT_DUE, STALE_AFTER

_MAY_CHANGE = ("no_contact", "opted_out")
"""Why nobody could act on an alert; the next version of the response may say otherwise."""


class Alerts:
    """Facts about alerts."""

    def __init__(self, policy: Policy) -> None:
        self._policy, settings = policy, policy.settings
        self._cooldown, self._keep = int(settings.cooldown_hours * HOUR), int(settings.keep_days * DAY)
        self._most, self._burst = settings.burst_alerts, settings.burst_minutes * MINUTE

    def told(self, work: UnitOfWork, key: str, fact: AlertFact) -> None:
        """Raised, enriched or reinstated; `key` is the customer's."""
        own, context = fact
        customer, answer = work.customer(key), Answered.of(context, unhappy=True)
        seen = customer.seen.get(own.alert_id)
        if seen is not None and seen.revision >= own.revision:
            return
        before = customer.before(context.metric, answer)
        severity, more = self._policy.severity(own.severity, context, before.category if before else None)
        start, previous = to_ms(own.due_at - ALERT_DUE), before.score if before else None
        case_id = work.case_id("c-", own.alert_id, own.revision, key, seen)
        new = _New(case_id, own.alert_id, own.revision, severity, (*own.reasons, *more), context, start, previous)
        if not newer(customer.seen.get("f-" + own.alert_id.removeprefix("a-")), work):
            customer = replace(customer, answers=customer.with_answer(context.metric, answer))
        customer = replace(customer, touched=work.at)
        why_not = self._not_actionable(work, fact, seen)
        last = customer.last_case
        if seen is not None and seen.case_id:
            case_id, reason = self._enrich(work, seen.case_id, new)
        elif seen is not None and not _again(seen, severity, why_not):
            case_id, reason = "", seen.reason
        else:
            case_id, reason = self._admit(work, key, customer, new, why_not)
            last = case_id or last
        began = case_id if case_id == new.case_id else seen.began if seen is not None else ""
        now = Seen(own.revision, severity, case_id, reason, work.at, began)
        customer = replace(customer, seen=customer.with_seen(own.alert_id, now), last_case=last)
        if work.open_case(customer) is not None:
            customer = withdraw(work, customer, self._keep, own.alert_id)
        work.customers[key] = customer

    def retracted(self, work: UnitOfWork, key: str, fact: AlertRetracted) -> None:
        """The response is no longer an unhappy one, or not this customer's."""
        customer = work.customer(key)
        seen = customer.seen.get(fact.alert_id)
        if not customer.seen or (seen is not None and seen.revision >= fact.revision):  # none: that was forgotten
            return
        answers = customer.without_answer(f"{fact.source}/{fact.response_id}", unhappy=True)
        now = Seen(fact.revision, None, "", "retracted", work.at, seen.began if seen else "")
        customer = replace(customer, answers=answers, seen=customer.with_seen(fact.alert_id, now), touched=work.at)
        if seen is not None and (file := work.file(seen.case_id)) is not None:
            case, context = file
            changes = life.without_alerts(case, [fact.alert_id])
            if life.ended(case) or changes["alert_ids"] or changes["more_alerts"]:
                case = life.with_entry(case, work.at, "noted", life.US, changes, reason="retracted")
                work.keep(case, context, "noted")
            else:
                changes |= life.ending(work.at, self._keep)
                case = life.with_entry(case, work.at, "closed", life.US, changes, reason="retracted")
                work.keep(case, context, "closed")
            if customer.last_case == case.case_id and case.kind == "bundle" and not customer.alerts_in(case.case_id):
                customer = replace(customer, last_case="")  # it goes on, about others
        work.customers[key] = customer

    def _not_actionable(self, work: UnitOfWork, fact: AlertFact, seen: Seen | None) -> str | None:
        """Why nobody can or may act on this alert. One that is written again, by a rebuild, was news long ago."""
        own, context = fact
        first = own.revision == 1 or (seen is not None and seen.reason == "stale")
        if first and work.at - from_rfc3339(own.raised_at) > STALE_AFTER:
            return "stale"
        return own.not_actionable or ("opted_out" if context.contact_allowed is False else None)

    def _admit(
        self, work: UnitOfWork, key: str, customer: Customer, new: "_New", why_not: str | None
    ) -> tuple[str, str]:
        """The case that the alert begins or joins, or "" and why there is none."""
        if why_not is not None:
            return self._suppress(work, key, new, why_not)
        if (last := work.open_case(customer)) is not None:
            return self._join(work, last.case, last.context, new, "case_open"), ""
        if (last := work.file(customer.last_case)) is not None:
            was, until = last.case.severity or "medium", from_rfc3339(last.case.ended_at) + self._cooldown
            if last.case.status == "loop_closed" and work.at < until and not worse(new.severity, was):
                return self._suppress(work, key, new, "cooldown")
        if bundle := self._bundle(work, key, new):
            file = work.file(bundle)
            if file is not None and not life.ended(file.case):
                return self._join(work, file.case, file.context, new, "burst"), ""
            return self._open(work, key, customer, new, bundle), ""
        return self._open(work, key, customer, new, new.case_id), ""

    def _suppress(self, work: UnitOfWork, key: str, new: "_New", reason: str) -> tuple[str, str]:
        own = Suppressed(reason, new.alert_id, severity=new.severity)
        work.say("suppressed", key, new.alert_id, f"suppressed.{new.revision}", own, new.context)
        return "", reason

    def _open(self, work: UnitOfWork, key: str, customer: Customer, new: "_New", case_id: str) -> str:
        if (there := work.file(case_id)) is not None:
            self._begin_again(work, there.case, new)
            return case_id
        deadlines, primary = self._policy.deadlines(new.start, new.severity, new.context), new.context.primary_contact
        case = Case(
            case_id=case_id,
            kind="bundle" if case_id.startswith("b-") else "recovery",
            revision=1,
            status="opened",
            key=key,
            opened_at=rfc3339(work.at),
            due_at=rfc3339(deadlines.due),
            finish_by=rfc3339(deadlines.finish),
            alert_ids=(new.alert_id,),
            severity=new.severity,
            reasons=new.reasons,
            owner=self._policy.owner(new.severity, new.context),
            informed=(primary,) if primary else (),
            message=self._policy.message(new.context),
            previous_score=new.previous,
            history=(Entry(rfc3339(work.at), "opened", life.US),),
            plan=deadlines.plan,
        )
        file = work.keep(case, new.context, "opened")
        better = (a for a in customer.answers.get(new.context.metric, ()) if not a.unhappy and a.at > new.start)
        if case.kind == "recovery" and (answer := next(better, None)) is not None:
            win_back(work, file, answer)  # its follow-up was read before this alert
        return case_id

    def _begin_again(self, work: UnitOfWork, case: Case, new: "_New") -> None:
        """A case that has ended; as bad as its alerts now are."""
        severity, reasons = new.severity, new.reasons
        if case.alert_ids and case.severity is not None and worse(case.severity, severity):
            severity, reasons = case.severity, case.reasons
        changes = life.reopening(self._policy.deadlines(new.start, severity, new.context))
        changes |= {
            "alert_ids": tuple(dict.fromkeys((new.alert_id, *case.alert_ids))),
            "severity": severity,
            "reasons": reasons,
            "message": self._policy.message(new.context),
            "previous_score": new.previous,
        }
        reason = "burst" if case.kind == "bundle" else "reinstated"
        work.keep(life.with_entry(case, work.at, "reopened", life.US, changes, reason=reason), new.context, "reopened")

    def _join(self, work: UnitOfWork, case: Case, context: Context, new: "_New", reason: str) -> str:
        deadlines = self._policy.deadlines(new.start, new.severity, new.context)
        changes = life.sharpened(case, new.severity, new.reasons, deadlines)
        changes |= life.with_alert(case, new.alert_id)
        case = life.with_entry(case, work.at, "joined", life.US, changes, reason=reason)
        work.keep(case, context, "joined")
        if case.status == "resolved":  # what was done has not helped
            deadlines = self._policy.deadlines(new.start, case.severity or new.severity, new.context)
            case = life.with_entry(
                case, work.at, "reopened", life.US, life.reopening(deadlines), reason="unhappy_again"
            )
            work.keep(case, context, "reopened")
        return case.case_id

    def _enrich(self, work: UnitOfWork, case_id: str, new: "_New") -> tuple[str, str]:
        """A comment or context that came later; the alert may be worse for it, or forbid that anybody calls."""
        file = work.file(case_id)
        if file is None:
            return case_id, ""
        case, context = file
        changes = {}
        if not life.ended(case):
            start = max(new.start, self._policy.start_of(case))  # it may have been reopened since
            deadlines = self._policy.deadlines(start, new.severity, new.context)
            changes = life.sharpened(case, new.severity, new.reasons, deadlines)
        if case.alert_ids[:1] == (new.alert_id,):
            if case.owner == self._policy.owner(case.severity, context):  # nobody has given it to another
                changes["owner"] = self._policy.owner(changes.get("severity", case.severity), new.context)
            context, primary = new.context, new.context.primary_contact
            changes["message"] = self._policy.message(context)
            changes["informed"] = tuple(dict.fromkeys((*case.informed, *([primary] if primary else []))))
        case = life.with_entry(case, work.at, "noted", life.US, changes, reason="enriched")
        work.keep(case, context, "noted")
        not_yet = case.kind == "recovery" and case.contacted_at is None and not life.ended(case)
        if not (not_yet and new.context.contact_allowed is False):
            return case_id, ""
        ending = life.ending(work.at, self._keep)
        work.keep(life.with_entry(case, work.at, "closed", life.US, ending, reason="opted_out"), context, "closed")
        return "", "opted_out"

    def _bundle(self, work: UnitOfWork, key: str, new: "_New") -> str:
        """The case that bundles the alerts of a department while there are too many; "" while there are not."""
        department = normal(new.context.department or "")
        if not self._most or not department:
            return ""
        burst = work.burst(department)
        bundle, times = burst.bundle, [at for at in burst.times if at > work.at - self._burst][-self._most :]
        many = len(times) >= self._most
        if work.file(bundle) is None:
            bundle = digest("b-", f"{new.alert_id}.{new.revision}", key)
        bundle = bundle if many else ""
        work.bursts[department] = Burst([*times, work.at], bundle)
        return "" if new.severity == "critical" else bundle


@dataclass(frozen=True, slots=True)
class _New:
    """An alert as the policy sees it. `case_id`: of the case that it may begin; `start`: when the customer said it, in
    ms; `previous`: the score before."""

    case_id: str
    alert_id: str
    revision: int
    severity: Severity
    reasons: tuple[str, ...]
    context: Context
    start: int
    previous: int | None


def _again(seen: Seen, severity: Severity, why_not: str | None) -> bool:
    """Whether what has no case is to be decided anew: it was taken back, is worse than then, or can be acted on now."""
    return (
        seen.reason == "retracted"
        or (seen.reason in _MAY_CHANGE and why_not is None)
        or (seen.severity is not None and worse(severity, seen.severity))
    )
