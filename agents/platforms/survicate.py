"""Survicate: `questionAnswered`, one for each answer, and `surveyCompleted`, signed.

Documented (developers.survicate.com/webhooks: events, answer-types, security): `questionAnswered` whole, the header
`Hmac` with HMAC-SHA256. Not seen as a whole: what `surveyCompleted` holds (taken for a list of such answers, and left
alone where it is none), and how the signature is written (hex and base64 are both taken).
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from hmac import digest
from typing import Any

from npsflow.agents.intake.delivery import Delivery, Forged, Platform, json_object, maybe, part
from npsflow.agents.platforms import times
from npsflow.agents.platforms.signing import hmac_base64
from npsflow.agents.web.signatures import matches
from npsflow.streams.intake.mapping import FormMapping, Submission

_CATEGORIES = ("promoter", "passive", "detractor")


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """HMAC-SHA256 of the body; Survicate signs no time."""
    given, body = delivery.headers.get("hmac", ""), delivery.body
    in_hex = matches(given, secrets, lambda secret: digest(secret.encode(), body, sha256).hex())
    in_base64 = matches(given, secrets, lambda secret: hmac_base64(secret, body))
    if not (in_hex or in_base64):
        raise Forged("Hmac is missing or wrong")


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission]:
    """`answers.QUESTION`, `comments.QUESTION`, `fields.NAME`, `attributes.NAME`, `survey.name` and `url` for paths."""
    event = part(json_object(delivery.body), "event", dict)
    for name in ("questionAnswered", "surveyCompleted"):
        if name in event:
            yield _submission(part(event, name, dict))


def _submission(sent: dict[str, Any]) -> Submission:
    answered = [sent, *(answer for answer in maybe(sent, "answers", list) if isinstance(answer, dict))]
    survey = part(sent, "survey", dict)
    answers: dict[str, Any] = {}
    comments: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for answer in answered:
        fields |= maybe(answer, "fields", dict)
        question = maybe(answer, "question", dict).get("id")
        if isinstance(question, int | str):
            choice = maybe(answer, "choice", dict)
            answers[str(question)] = _value(choice) if choice else answer.get("text")
            comments[str(question)] = choice.get("comment")
    return Submission(
        form=part(survey, "id", str),
        response_id=part(sent, "responseUuid", str),
        submitted_at=times.of_text(part(sent, "timestamp", str)),
        content={
            "answers": answers,
            "comments": comments,
            "fields": fields,
            "attributes": maybe(maybe(sent, "respondent", dict), "attributes", dict),
            "survey": survey,
            "url": sent.get("url"),
        },
    )


def _value(choice: dict[str, Any]) -> Any:
    """Of a Net Promoter Score the id is the score, and the body its category."""
    body = choice.get("body")
    return choice.get("id") if body in _CATEGORIES else body


PLATFORM = Platform(verify, parse)
