"""Zendesk: satisfaction with a ticket, told by its own events or by the webhook of a trigger.

Documented (developer.zendesk.com: webhooks/verifying, webhooks/event-types/ticket-events, satisfaction_ratings): the
signature, what every ticket event has, and a rating (`good`, `bad`, `offered`). Known only from integrations that
subscribe to them: the names of the two events about satisfaction, and not what they carry. So `events` can name them
otherwise; a score that the mapping finds in the event is taken, and where it finds none the response is asked for
(`/api/v2/guide/survey_responses?filter[subject_zrns]=SUBJECT`). A ticket has one response, the latest.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from npsflow.agents.intake import times
from npsflow.agents.intake.delivery import (
    Asked,
    Delivery,
    Forged,
    Malformed,
    Platform,
    identifier,
    json_object,
    maybe,
    part,
)
from npsflow.agents.intake.signing import fresh_iso, hmac_base64, matches, raw
from npsflow.streams.forms import Form, Offered, Submission, find

_SIGNATURE = "x-zendesk-webhook-signature"
_EVENTS = {"offered": "zen:event-type:ticket.csat_requested", "answered": "zen:event-type:ticket.csat_received"}
_PERSONS = {"requester_id", "submitter_id", "actor_id"}  # Zendesk's own numbers: no customer.id


def verify(delivery: Delivery, form: Form, secrets: Sequence[str], now: float) -> None:
    """HMAC-SHA256 of the time and the body; the time is ISO 8601."""
    given, stamp = (delivery.headers.get(name, "") for name in (_SIGNATURE, _SIGNATURE + "-timestamp"))
    signed = raw(stamp) + delivery.body
    if not matches(given, secrets, lambda secret: hmac_base64(secret, signed)):
        raise Forged("X-Zendesk-Webhook-Signature is missing or wrong")
    fresh_iso(stamp, now)


def parse(delivery: Delivery, form: Form) -> Iterable[Submission | Offered | Asked]:
    """Of an event paths lead into `ticket` (its `detail`), `event` and `subject`; of a trigger, into its whole body."""
    sent = json_object(delivery.body)
    names = _EVENTS | form.events
    if "satisfaction_rating" in sent:
        yield from _rating(sent)
    elif sent.get("type") in names.values():
        yield from _event(sent, form, sent["type"] == names["offered"])
    elif not isinstance(sent.get("type"), str):
        raise Malformed("it has neither a type nor a satisfaction_rating")


def _event(sent: dict[str, Any], form: Form, offered: bool) -> Iterable[Submission | Offered | Asked]:
    subject, time = part(sent, "subject", str), times.of_text(part(sent, "time", str))
    content = {"ticket": _public(part(sent, "detail", dict)), "event": maybe(sent, "event", dict), "subject": subject}
    if offered:
        yield Offered("csat", subject, time, content)
    elif any(find(content, score.question) is not None for score in form.scores):
        yield Submission("csat", subject, time, content=content)
    else:
        yield Asked("csat", part(sent, "id", str), {"subject": subject})


def _rating(sent: dict[str, Any]) -> Iterable[Submission | Offered]:
    """What the API calls a satisfaction rating, in a body that the account has written itself."""
    rating = part(sent, "satisfaction_rating", dict)
    subject, updated = "zen:ticket:" + identifier(rating, "ticket_id"), times.of_text(part(rating, "updated_at", str))
    content = sent | {"satisfaction_rating": _public(rating), "subject": subject}
    if rating.get("score") == "offered":
        yield Offered("satisfaction_rating", subject, updated, content)
    elif rating.get("score") != "unoffered":
        began = rating.get("created_at")
        submitted = times.of_text(began) if isinstance(began, str) and began else updated
        yield Submission("satisfaction_rating", subject, submitted, updated, content=content)


def _public(ticket: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in ticket.items() if name not in _PERSONS}


PLATFORM = Platform(verify, parse)
