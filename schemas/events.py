"""Events on `service-recovery` and `customer-follow-up`: facts about single responses.

An event is written as one flat JSON object: its own part (`Alert`, `FollowUp`) and the `Context` of the response, so
that the larger part is encoded once and recognised by its digest. Absent fields are left out.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from npsflow.schemas.response import Answer, Metric, Reference, Scalar, Time

Severity = Literal["critical", "high", "medium"]
Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339 in UTC, written by us."""
Action = Literal["ask", "referral", "review", "testimonial", "case_study"]
Cause = Literal["category", "metric", "moved", "test", "internal", "deleted", "settings"]

ALERT_RAISED = "npsflow.alert.raised.v1"
ALERT_ENRICHED = "npsflow.alert.enriched.v1"
ALERT_RETRACTED = "npsflow.alert.retracted.v1"
ALERT_REINSTATED = "npsflow.alert.reinstated.v1"
FOLLOW_UP_REQUESTED = "npsflow.follow_up.requested.v1"
FOLLOW_UP_ENRICHED = "npsflow.follow_up.enriched.v1"
WINDOW_UPDATED = "npsflow.window.updated.v1"
FOLLOW_UP_RETRACTED = "npsflow.follow_up.retracted.v1"


class EventAttributes(Struct, frozen=True):
    """What an event says of itself, equal to its headers `ce_type`, `ce_id` and `ce_time`; it stands first."""

    type: str
    id: str
    time: Instant


class Context(Struct, frozen=True, gc=False, omit_defaults=True):
    """What events carry of the response. `name`, `email` and `phone` only where a setting lets them in.

    A new field goes to the end: what is remembered of an alert tells its fields by their order.
    """

    response_id: str
    source: str
    survey_id: str
    metric: Metric
    score: int
    category: str
    submitted_at: Time
    survey_name: str | None = None
    survey_kind: str | None = None
    comment: str | None = None
    language: str | None = None
    answers: list[Answer] | None = None
    channel: str | None = None
    journey_stage: str | None = None
    touchpoint: str | None = None
    department: str | None = None
    team: str | None = None
    agent_id: str | None = None
    product: str | None = None
    attributes: dict[str, Scalar] | None = None
    reference: Reference | None = None
    response_url: str | None = None
    contact_requested: bool | None = None
    customer_id: str | None = None
    account_id: str | None = None
    tier: str | None = None
    value: int | float | None = None
    renews_at: str | None = None
    contact_allowed: bool | None = None
    primary_contact: str | None = None
    name: str | None = None
    email: str | None = None
    phone: str | None = None


class Alert(Struct, frozen=True, gc=False, omit_defaults=True):
    """Own part of `npsflow.alert.{raised,enriched,reinstated}.v1`; every one of them is the whole current alert."""

    alert_id: str
    revision: int
    severity: Severity
    reasons: tuple[str, ...]
    actionable: bool
    raised_at: Instant
    due_at: Time
    not_actionable: str | None = None
    open_question: str | None = None
    changed: list[str] | None = None
    warnings: tuple[str, ...] = ()


class FollowUp(Struct, frozen=True, gc=False):
    """Own part of `npsflow.follow_up.{requested,enriched}.v1`. `action` null: thank, ask nothing."""

    follow_up_id: str
    revision: int
    action: Action | None
    thank: bool
    due_at: Time


class AlertRetracted(Struct, frozen=True, gc=False):
    """`npsflow.alert.retracted.v1`: the response is no longer an unhappy one, or not this customer's."""

    alert_id: str
    revision: int
    metric: str
    cause: Cause
    response_id: str
    source: str


class FollowUpRetracted(Struct, frozen=True, gc=False):
    """`npsflow.follow_up.retracted.v1`."""

    follow_up_id: str
    revision: int
    metric: str
    cause: Cause
    response_id: str
    source: str
