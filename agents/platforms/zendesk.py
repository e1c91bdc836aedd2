"""Zendesk: satisfaction with a ticket, told by its own events or by the webhook of a trigger.

Documented (developer.zendesk.com: webhooks/verifying, webhooks/event-types/ticket-events, satisfaction_ratings): the
signature, what every ticket event has, and a rating (`good`, `bad`, `offered`). Known only from integrations that
subscribe to them: the names of the two events about satisfaction, and not what they carry. So `events` can name them
otherwise; a score that the mapping finds in the event is taken, and where it finds none the response is fetched
(help_center/help-center-api/survey_responses). A ticket has one response, the latest.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from npsflow.agents.intake.api import Answers, Api, Later, bearer_token
from npsflow.agents.intake.delivery import (
    Asked,
    Delivery,
    Forged,
    Malformed,
    Platform,
    identifier,
    json_object,
    maybe,
    objects,
    part,
)
from npsflow.agents.platforms import times
from npsflow.agents.platforms.signing import fresh_iso, hmac_base64
from npsflow.agents.web.signatures import matches, raw
from npsflow.streams.intake.mapping import FormMapping, Offered, Submission, find

_SIGNATURE = "x-zendesk-webhook-signature"
_EVENTS = {"offered": "zen:event-type:ticket.csat_requested", "answered": "zen:event-type:ticket.csat_received"}
_PERSONS = {"requester_id", "submitter_id", "actor_id"}  # Zendesk's own numbers: no customer.id


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """HMAC-SHA256 of the time and the body; the time is ISO 8601."""
    given, stamp = (delivery.headers.get(name, "") for name in (_SIGNATURE, _SIGNATURE + "-timestamp"))
    signed = raw(stamp) + delivery.body
    if not matches(given, secrets, lambda secret: hmac_base64(secret, signed)):
        raise Forged("X-Zendesk-Webhook-Signature is missing or wrong")
    fresh_iso(stamp, now)


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission | Offered | Asked]:
    """Of an event paths lead into `ticket` (its `detail`), `event` and `subject`; of a trigger, into its whole body."""
    sent = json_object(delivery.body)
    names = _EVENTS | form.events
    if "satisfaction_rating" in sent:
        yield from _rating(sent)
    elif sent.get("type") in names.values():
        yield from _event(sent, form, sent["type"] == names["offered"])
    elif not isinstance(sent.get("type"), str):
        raise Malformed("it has neither a type nor a satisfaction_rating")


def _event(sent: dict[str, Any], form: FormMapping, offered: bool) -> Iterable[Submission | Offered | Asked]:
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


async def get(api: Api, ids: Mapping[str, str]) -> list[Submission]:
    """Paths lead to `answers.rating`, and to the others by alias or id of their question; `subject` is the ticket."""
    subject = ids.get("subject", "")
    found = await api.get("api", "v2", "guide", "survey_responses", **{"filter[subject_zrns]": subject})
    given = [(response, [a for a in objects(response, "answers") if a.get("type") != "skipped"])
             for response in objects(found, "survey_responses")]  # fmt: skip
    made = [_response(response, answers, subject) for response, answers in given if answers]
    if not made:
        raise Later("it has no answers yet")
    return [max(made, key=lambda sent: sent.updated_at or "")]


def _response(response: dict[str, Any], answers: list[dict[str, Any]], subject: str) -> Submission:
    content: dict[str, Any] = {"answers": {}, "subject": subject, "survey_id": response.get("survey_id")}
    for answer in answers:
        question = maybe(answer, "question", dict)
        rating = answer.get("type") == "rating_scale" and question.get("sub_type") == "customer_satisfaction"
        for name in (question.get("id"), question.get("alias"), "rating" if rating else None):
            if isinstance(name, str):
                content["answers"][name] = _answered(answer, question)
    began, changed = ([str(answer.get(name)) for answer in answers] for name in ("created_at", "updated_at"))
    return Submission("csat", subject, times.of_text(min(began)), times.of_text(max(changed)), content=content)


def _answered(answer: dict[str, Any], question: dict[str, Any]) -> Any:
    """A number, a text, or the label of what was chosen."""
    if answer.get("type") != "closed_ended":
        return answer.get("rating", answer.get("value"))
    chosen = {selection.get("option_id") for selection in objects(answer, "selections")}
    labels = [maybe(option, "label", dict) for option in objects(question, "options") if option.get("id") in chosen]
    return [label.get("value", label.get("key")) for label in labels]


def token(secret: str) -> dict[str, str]:
    """An OAuth token, or `EMAIL/token:API_TOKEN` (developer.zendesk.com: security-and-auth)."""
    if "/token:" not in secret:
        return bearer_token(secret)
    return {"Authorization": "Basic " + b64encode(secret.encode()).decode()}


PLATFORM = Platform(verify, parse, Answers("", 200, get, token=token))
