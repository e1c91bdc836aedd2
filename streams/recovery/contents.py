"""What a case says of its alerts and of the customer's other answers, in whatever order they came."""

from msgspec.structs import replace

from npsflow.schemas.cases import Case, CaseEvent
from npsflow.schemas.events import Context
from npsflow.schemas.times import from_rfc3339
from npsflow.streams.recovery.case import Changes, add_entry, is_open, keep_deadlines
from npsflow.streams.recovery.changes import UnitOfWork
from npsflow.streams.recovery.customers import Answer, Customer, by_time
from npsflow.streams.recovery.policy import WAS_PROMOTER, Deadlines, Policy, is_worse
from npsflow.streams.recovery.standing import (
    StandingAlert,
    as_answer,
    assess,
    by_answer,
    by_badness,
    by_start,
    first_of_older_build,
    previous_answer,
)
from npsflow.streams.recovery.state import CaseRecord


class Contents:
    """Keeps what cases say in agreement with what customers have answered."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def reassess(self, work: UnitOfWork, customer: Customer) -> list[str]:
        """Assess the alerts of a customer again whose previous answer is another one now; give their cases."""
        case_ids = list[str]()
        for alert_id, outcome in customer.outcomes.items():
            alert = work.alert(alert_id) if outcome.case_id else None
            if alert is not None and previous_answer(alert, customer) != alert.previous:
                work.alerts[alert_id] = assess(alert, alert.context, customer, self._policy)
                case_ids.append(alert.case_id)
        return list(dict.fromkeys(case_ids))

    def step(
        self,
        work: UnitOfWork,
        record: CaseRecord,
        event: CaseEvent,
        changes: Changes | None = None,
        about: StandingAlert | None = None,
        **entry: str | int | None,
    ) -> CaseRecord:
        """Take a step in the life of a case, emit it, and let the case say what is so then.

        `about`: the alert that it is about; `entry`: fields of a history's Entry.
        """
        before = record.case
        self._adopt(work, record)
        changed = record._replace(case=replace(before, **(changes or {})))
        described, context = self._describe(work, changed)
        changes, severity = (changes or {}) | described, described.get("severity")
        if is_open(changed.case) and severity and before.severity and is_worse(severity, before.severity):
            changes["worsened_at"], entry["severity"] = work.time, severity
        shown = {answer.alert_id for name in ("newest", "worst") if (answer := described.get(name)) is not None}
        fields = (about.entry(shown) if about is not None else {}) | entry
        return work.emit_case(CaseRecord(add_entry(before, work.time, event, changes, **fields), context))

    def complete(self, work: UnitOfWork, record: CaseRecord) -> CaseRecord:
        """Give a new case with all that its alerts say of it."""
        changes, context = self._describe(work, record)
        return CaseRecord(replace(record.case, **changes), context)

    def agree(self, work: UnitOfWork, customer: Customer, case_ids: list[str]) -> None:
        """Let all cases of a customer say what is so, now that a fact was read: these hold alerts assessed again."""
        for case_id in case_ids:
            record = work.case(case_id)
            if record is not None:
                self._refresh(work, record)
        for case_id in customer.cases():
            self.judge(work, case_id)

    def judge(self, work: UnitOfWork, case_id: str) -> None:
        """Mark a case of which the customer has answered better since, and unmark it where that does not stand."""
        record = work.case(case_id)
        if record is not None and record.case.kind == "recovery":
            self._regain(work, record)

    def _refresh(self, work: UnitOfWork, record: CaseRecord) -> None:
        changes, context = self._describe(work, record)
        if CaseRecord(replace(record.case, **changes), context) != record:
            self.step(work, record, "noted", reason="answered_before")

    def _regain(self, work: UnitOfWork, record: CaseRecord) -> None:
        case, customer = record.case, work.customer(record.case.key)
        mark = case.won_back_by or case.improved_by
        if mark is None and not customer.has_answered_better():
            return
        alerts = self._alerts(work, record)
        if not _is_remembered(mark, alerts, customer):
            return
        won, improved = _judge(case, alerts, customer, self._policy.restarted(case))
        lost: Changes = {}
        if case.won_back_by not in (None, won):
            lost |= {"won_back_by": won} if won else {"won_back_at": None, "won_back_by": None}
        if case.improved_by not in (None, improved):
            lost |= {"improved_by": improved} if improved else {"improved_at": None, "improved_by": None}
        if won and case.won_back_by is None:
            answer = customer.find_answer(won)
            gained = {"won_back_at": work.time, "won_back_by": won}
            work.record_step(record, "won_back", lost | gained, reason=answer.category if answer else None)
        elif improved and case.improved_by is None:
            work.record_step(
                record, "noted", lost | {"improved_at": work.time, "improved_by": improved}, reason="improved"
            )
        elif lost:
            still = lost.get("won_back_by") or lost.get("improved_by")
            work.record_step(record, "noted", lost, reason="answered_before" if still else "not_won_back")

    def _alerts(self, work: UnitOfWork, record: CaseRecord) -> list[StandingAlert]:
        """The alerts of a case; of one that an older build has opened, the one that it is known by."""
        case = record.case
        found = work.alerts_of(case)
        if found or case.newest is not None or not case.alert_ids:
            return found
        start = self._policy.start_of(case)
        first = first_of_older_build(case, record.context, start)
        return [assess(first, record.context, work.customer(case.key), self._policy)]

    def _adopt(self, work: UnitOfWork, record: CaseRecord) -> None:
        """Keep the first alert of a case that an older build has opened, as its own alerts are kept."""
        case = record.case
        if case.newest is None and case.alert_ids:
            for alert in self._alerts(work, record):
                work.alerts.setdefault(alert.alert_id, alert)

    def _describe(self, work: UnitOfWork, record: CaseRecord) -> tuple[Changes, Context]:
        """Give the fields that follow from the alerts of a case, and the context of the worst of them."""
        case, alerts = record.case, self._alerts(work, record)
        if not alerts:
            return {}, record.context
        in_order = sorted(alerts, key=by_answer)
        newest, worst = in_order[-1], max(in_order, key=by_badness)  # of equally bad answers the first
        context = worst.context
        newest_context = context if newest is worst else newest.context
        answered = any(alert.commented for alert in alerts if alert.key == newest.key)
        others = [reason for alert in in_order for reason in alert.reasons]
        changes: Changes = {
            "severity": worst.severity,
            "reasons": tuple(dict.fromkeys((*worst.reasons, *(r for r in others if r != WAS_PROMOTER)))),
            "previous_score": worst.previous.score if worst.previous else None,
            "message": self._policy.message(newest_context, answered=answered),
            "newest": as_answer(newest, newest_context),
            "worst": as_answer(worst, context),
            "informed": tuple(dict.fromkeys((*case.informed, *(a.contact for a in alerts if a.contact)))),
        }
        if case.severity is not None and len(alerts) < len(case.alert_ids) and is_worse(case.severity, worst.severity):
            changes["severity"] = case.severity  # an older build has kept nothing of the others
        if is_open(case):
            changes |= self._deadlines(case, alerts)
            if case.owner == self._policy.owner(case.severity, record.context):  # nobody has reassigned it
                changes["owner"] = self._policy.owner(worst.severity, context)
        return changes, context

    def _deadlines(self, case: Case, alerts: list[StandingAlert]) -> Changes:
        # Of alerts with the same hours and the same steps the first has the earliest deadlines.
        in_order = sorted(alerts, key=by_start, reverse=True)
        first = {(alert.hours, len(alert.deadlines.plan)): alert for alert in in_order}
        restarted = self._policy.restarted(case)
        return keep_deadlines(case, [self._deadlines_since(restarted, alert) for alert in first.values()])

    def _deadlines_since(self, restarted: int, alert: StandingAlert) -> Deadlines:
        """The deadlines of an alert in a case that was reopened at `restarted`, ms, or 0."""
        return self._policy.deadlines(restarted, alert.hours) if alert.start < restarted else alert.deadlines


def _judge(
    case: Case, alerts: list[StandingAlert], customer: Customer, restarted: int
) -> tuple[str | None, str | None]:
    """Give the answers, as source/response_id, by which the customer is won back, or has improved without a contact.

    A better answer is one that is not unhappy, about the same thing as an unhappy one and later; of a case about many
    things there has to be one for each, and the last of them counts.
    """
    last: dict[tuple[str, str], int] = {}
    for alert in alerts:
        subject = alert.metric, alert.answer.subject
        last[subject] = max(alert.answer.at, last.get(subject, 0))
    known = {alert.answer.response for alert in alerts}

    def answered_after(time: int) -> str | None:
        found = list[Answer]()
        for (metric, subject), at in last.items():
            after = max(at, time)
            better = [
                answer
                for answer in customer.answers.get(metric, ())
                if not answer.unhappy
                and answer.subject == subject
                and answer.at > after
                and answer.response not in known
            ]
            if not better:
                return None
            found.append(min(better, key=by_time))
        return max(found, key=by_time).response if found else None

    if case.contacted_at is not None and (won := answered_after(from_rfc3339(case.contacted_at))):
        return won, None
    return None, answered_after(restarted)


def _is_remembered(response: str | None, alerts: list[StandingAlert], customer: Customer) -> bool:
    """Whether enough is remembered to say that the better answer which marks a case does not do so any more.

    Of very many answers the oldest are not remembered; an older build did not remember what they were about.
    """
    answer = customer.find_answer(response) if response else None
    if answer is not None:
        return bool(answer.subject)
    return response is None or not any(customer.has_forgotten(alert.metric) for alert in alerts)
