"""The alerts of cases as they stand, each with what the customer's other answers make of it."""

from collections.abc import Collection
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import replace

from npsflow.schemas import codec
from npsflow.schemas.cases import Case, CaseAnswer
from npsflow.schemas.events import Alert, Context, Severity
from npsflow.schemas.response import Metric
from npsflow.schemas.times import from_rfc3339, to_ms
from npsflow.streams.recovery.case import Changes
from npsflow.streams.recovery.customers import Answer, Customer
from npsflow.streams.recovery.policy import Deadlines, Policy
from npsflow.streams.scoring.severity import ALERT_DUE

_decode_context = codec.decoder(Context)

by_answer = attrgetter("answer.at", "answer.response")
"""Sorts alerts by the time of their answers, as `by_time` sorts these."""
by_badness, by_start = attrgetter("badness"), attrgetter("start")


class StandingAlert(Struct, frozen=True, array_like=True):
    """An alert in its newest revision. `packed`: the JSON of its context; `key`: the customer's; `case_id`: its case.

    `own_severity`, `own_reasons`: what the alert says itself. `severity`, `reasons`: with `previous`, the customer's
    answer before it, and the settings; `hours` and `deadlines`: until the first contact, and what follows from that.
    `start`: when its deadlines begin to count, `raised`: when npsflow knew of the response, both in ms.
    """

    alert_id: str
    key: str
    case_id: str
    metric: Metric
    answer: Answer
    commented: bool
    contact: str
    packed: bytes
    own_severity: Severity
    own_reasons: tuple[str, ...]
    start: int
    raised: int
    previous: Answer | None = None
    severity: Severity = "medium"
    reasons: tuple[str, ...] = ()
    badness: float = 0.0
    hours: float = 0.0
    deadlines: Deadlines = Deadlines(0, 0, ())

    @property
    def context(self) -> Context:
        """What is known of the response."""
        return _decode_context(self.packed)

    def entry(self, shown: Collection[str]) -> Changes:
        """The fields of a history's Entry that is about it; `shown`: the ids of the alerts that the case shows."""
        fields = {"alert_id": self.alert_id, "metric": self.metric, "score": self.answer.score}
        return fields if self.alert_id in shown else fields | {"answer": as_answer(self, self.context)}


def standing_alert(alert: Alert, context: Context, key: str, previous: Answer | None) -> StandingAlert:
    """An alert as it is read, before it is assessed. `previous`: the answer before it, as was known until now."""
    return StandingAlert(
        alert_id=alert.alert_id,
        key=key,
        case_id="",
        metric=context.metric,
        answer=Answer.from_context(context, unhappy=True),
        commented=bool(context.comment),
        contact=context.primary_contact or "",
        packed=codec.encode(context),
        own_severity=alert.severity,
        own_reasons=alert.reasons,
        start=to_ms(alert.due_at - ALERT_DUE),
        raised=from_rfc3339(alert.raised_at),
        previous=previous,
    )


def first_of_older_build(case: Case, context: Context, start: int) -> StandingAlert:
    """The first alert of a case of which an older build has kept no more than the `context`."""
    severity = case.severity or "medium"
    return StandingAlert(
        alert_id=case.alert_ids[0],
        key=case.key,
        case_id=case.case_id,
        metric=context.metric,
        answer=Answer.from_context(context, unhappy=True),
        commented=bool(context.comment),
        contact=context.primary_contact or "",
        packed=codec.encode(context),
        own_severity=severity,
        own_reasons=case.reasons,
        start=start,
        raised=0,
    )


def assess(alert: StandingAlert, context: Context, customer: Customer, policy: Policy) -> StandingAlert:
    """Say how bad it is and by when somebody should have called, with all that is known of the customer.

    Deadlines that had passed before npsflow knew of the response are not in the plan: nobody is alerted to them.
    """
    previous = previous_answer(alert, customer)
    severity, reasons = policy.severity(alert.own_severity, context, previous.category if previous else None)
    hours = policy.first_contact_hours(severity, context)
    deadlines = policy.deadlines(alert.start, hours)
    plan = tuple(due for due in deadlines.plan if due.at > alert.raised)
    return replace(
        alert,
        previous=previous,
        severity=severity,
        reasons=tuple(dict.fromkeys((*alert.own_reasons, *reasons))),
        badness=policy.badness(severity, context.metric, context.score),
        hours=hours,
        deadlines=Deadlines(deadlines.due, deadlines.finish, plan),
    )


def previous_answer(alert: StandingAlert, customer: Customer) -> Answer | None:
    """The customer's answer before it; what was known stays where older answers may have been forgotten."""
    return customer.previous_answer(alert.metric, alert.answer, alert.previous)


def as_answer(alert: StandingAlert, context: Context) -> CaseAnswer:
    """What a case shows of it."""
    return CaseAnswer(
        alert_id=alert.alert_id,
        response_id=context.response_id,
        source=context.source,
        survey_id=context.survey_id,
        metric=context.metric,
        score=context.score,
        severity=alert.severity,
        submitted_at=context.submitted_at,
        reasons=alert.reasons,
        previous_score=alert.previous.score if alert.previous else None,
        survey_name=context.survey_name,
        comment=context.comment,
        channel=context.channel,
        department=context.department,
        touchpoint=context.touchpoint,
    )
