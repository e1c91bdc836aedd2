"""Zendesk: satisfaction with a ticket, by its own events or by the webhook of a trigger.

Documented (developer.zendesk.com: webhooks/verifying, webhooks/event-types/ticket-events, satisfaction_ratings): the
signature, what every ticket event has, and a rating (`good`, `bad`, `offered`). Known only from integrations that
subscribe to them: the names of the two events about satisfaction, but not their content. So `events` can name others; a
score that the mapping finds in the event counts, and where it finds none the response is fetched
(help_center/help-center-api/survey_responses). A ticket has one response, the latest.

The export: satisfaction ratings as the API lists them; those that were offered and not answered are invitations. No CSV
of them is documented (Explore makes any): all its columns are named in `[intake.NAME.columns]`, and the number of the
ticket can be the id of the response.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from npsflow.agents.platforms import times
from npsflow.agents.platforms.fields import identifier, json_object, objects, optional, required
from npsflow.agents.platforms.protocol import (
    Answers,
    Api,
    Delivery,
    Export,
    ExportItem,
    FileOptions,
    Forged,
    Malformed,
    Platform,
    Table,
    Transient,
    Webhook,
    bearer_token,
)
from npsflow.agents.platforms.signing import check_iso, hmac_base64
from npsflow.agents.platforms.webhook_bridge import parse_as_webhook
from npsflow.agents.web.signatures import matches, raw
from npsflow.streams.intake.mapping import FetchRequest, FormMapping, Offer, Submission
from npsflow.streams.intake.paths import find

_SIGNATURE = "x-zendesk-webhook-signature"
_EVENTS = {"offered": "zen:event-type:ticket.csat_requested", "answered": "zen:event-type:ticket.csat_received"}
_PERSONS = {"requester_id", "submitter_id", "actor_id"}  # Zendesk's own numbers: no customer.id


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """HMAC-SHA256 of the time and the body; the time is ISO 8601."""
    signature, stamp = (delivery.headers.get(name, "") for name in (_SIGNATURE, _SIGNATURE + "-timestamp"))
    signed = raw(stamp) + delivery.body
    if not matches(signature, secrets, lambda secret: hmac_base64(secret, signed)):
        raise Forged("X-Zendesk-Webhook-Signature is missing or wrong")
    check_iso(stamp, now)


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission | Offer | FetchRequest]:
    """Paths of an event: `ticket.NAME` (its `detail`), `event.NAME`, `subject`; of a trigger: into its whole body."""
    sent = json_object(delivery.body)
    names = _EVENTS | form.events
    if "satisfaction_rating" in sent:
        yield from _rating(sent)
    elif sent.get("type") in names.values():
        yield from _event(sent, form, sent["type"] == names["offered"])
    elif not isinstance(sent.get("type"), str):
        raise Malformed("it has neither a type nor a satisfaction_rating")


def _event(sent: dict[str, Any], form: FormMapping, offered: bool) -> Iterable[Submission | Offer | FetchRequest]:
    subject, time = required(sent, "subject", str), times.from_text(required(sent, "time", str))
    content = {
        "ticket": _public(required(sent, "detail", dict)),
        "event": optional(sent, "event", dict),
        "subject": subject,
    }
    if offered:
        yield Offer("csat", subject, time, content)
    elif any(find(content, score.question) is not None for score in form.scores):
        yield Submission("csat", subject, time, content=content)
    else:
        yield FetchRequest("csat", required(sent, "id", str), {"subject": subject})


def _rating(sent: dict[str, Any]) -> Iterable[Submission | Offer]:
    """What the API calls a satisfaction rating, in a body that the account has written itself."""
    rating = required(sent, "satisfaction_rating", dict)
    subject = "zen:ticket:" + identifier(rating, "ticket_id")
    updated = times.from_text(required(rating, "updated_at", str))
    content = sent | {"satisfaction_rating": _public(rating), "subject": subject}
    if rating.get("score") == "offered":
        yield Offer("satisfaction_rating", subject, updated, content)
    elif rating.get("score") != "unoffered":
        began = rating.get("created_at")
        submitted = times.from_text(began) if isinstance(began, str) and began else updated
        yield Submission("satisfaction_rating", subject, submitted, updated, content=content)


def _public(ticket: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in ticket.items() if name not in _PERSONS}


async def fetch(api: Api, ids: Mapping[str, str]) -> list[Submission]:
    """Paths: `answers.rating`, `answers.ALIAS` and `answers.ID` of a question, `subject` (the ticket)."""
    subject = ids.get("subject", "")
    page = await api.get("api", "v2", "guide", "survey_responses", **{"filter[subject_zrns]": subject})
    submissions = [
        _submission(response, answers, subject)
        for response in objects(page, "survey_responses")
        if (answers := [answer for answer in objects(response, "answers") if answer.get("type") != "skipped"])
    ]
    if not submissions:
        raise Transient("it has no answers yet")
    return [max(submissions, key=lambda submission: submission.updated_at or "")]


def _submission(response: dict[str, Any], answers: list[dict[str, Any]], subject: str) -> Submission:
    content: dict[str, Any] = {"answers": {}, "subject": subject, "survey_id": response.get("survey_id")}
    for answer in answers:
        question = optional(answer, "question", dict)
        rating = answer.get("type") == "rating_scale" and question.get("sub_type") == "customer_satisfaction"
        for name in (question.get("id"), question.get("alias"), "rating" if rating else None):
            if isinstance(name, str):
                content["answers"][name] = _value(answer, question)
    began, changed = ([str(answer.get(name)) for answer in answers] for name in ("created_at", "updated_at"))
    return Submission("csat", subject, times.from_text(min(began)), times.from_text(max(changed)), content=content)


def _value(answer: dict[str, Any], question: dict[str, Any]) -> Any:
    """A number, a text, or the label of what was chosen."""
    if answer.get("type") != "closed_ended":
        return answer.get("rating", answer.get("value"))
    chosen = [selection.get("option_id") for selection in objects(answer, "selections")]
    labels = [optional(option, "label", dict) for option in objects(question, "options") if option.get("id") in chosen]
    return [label.get("value", label.get("key")) for label in labels]


def token(secret: str) -> dict[str, str]:
    """An OAuth token, or `EMAIL/token:API_TOKEN` (developer.zendesk.com: security-and-auth)."""
    if "/token:" not in secret:
        return bearer_token(secret)
    return {"Authorization": "Basic " + b64encode(secret.encode()).decode()}


# The export.


def items(fields: dict[str, Any], form: FormMapping, options: FileOptions) -> Iterable[ExportItem]:
    """An item is what the body of a trigger holds as `satisfaction_rating`."""
    return parse_as_webhook(parse, {"satisfaction_rating": fields}, form)


def _identity(cell: str) -> str:
    """The name that webhooks have for a ticket."""
    return f"zen:ticket:{cell}" if cell.isdigit() else cell


_EXPORT = Export(
    table=Table(identity=_identity), items=items, lists=["satisfaction_ratings"], form="satisfaction_rating"
)

PLATFORM = Platform(
    webhook=Webhook(verify, parse),
    answers=Answers("", 200, fetch, token=token),
    export=_EXPORT,
    settings=lambda form: ["events"],
)
