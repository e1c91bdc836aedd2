"""Survicate: `questionAnswered`, one for each answer, and `surveyCompleted`, signed.

Documented (developers.survicate.com/webhooks: events, answer-types, security): `questionAnswered` whole, the header
`Hmac` with HMAC-SHA256. Not seen as a whole: the content of `surveyCompleted` (read as a list of such answers, and
ignored if it is none), and how the signature is written (hex and base64 are both accepted).

The export: JSON of the Data Export API (developers.survicate.com/data-export). Third-hand (schemas of connectors):
`uuid`, `collected_at`, and the form of an answer. No documentation of the CSV was found: name all its columns in
`[intake.NAME.columns]`.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from hmac import digest
from typing import Any

from npsflow.agents.platforms import times
from npsflow.agents.platforms.fields import json_object, objects, optional, required
from npsflow.agents.platforms.protocol import (
    Delivery,
    Export,
    ExportItem,
    FileOptions,
    Forged,
    Platform,
    Table,
    Webhook,
)
from npsflow.agents.platforms.signing import hmac_base64
from npsflow.agents.platforms.webhook_bridge import parse_as_webhook
from npsflow.agents.web.signatures import matches
from npsflow.streams.intake.mapping import FormMapping, Submission

_CATEGORIES = ("promoter", "passive", "detractor")


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """HMAC-SHA256 of the body; Survicate signs no time."""
    signature, body = delivery.headers.get("hmac", ""), delivery.body
    in_hex = matches(signature, secrets, lambda secret: digest(secret.encode(), body, sha256).hex())
    in_base64 = matches(signature, secrets, lambda secret: hmac_base64(secret, body))
    if not (in_hex or in_base64):
        raise Forged("Hmac is missing or wrong")


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission]:
    """Paths: `answers.QUESTION` (of a matrix `answers.QUESTION.ROW`), `comments.QUESTION`, `fields.NAME`,
    `attributes.NAME`, `survey.name`, `url`.
    """
    event = required(json_object(delivery.body), "event", dict)
    for name in ("questionAnswered", "surveyCompleted"):
        if name in event:
            yield _submission(required(event, name, dict), finished=name == "surveyCompleted")


def _submission(sent: dict[str, Any], finished: bool) -> Submission:
    """What a finished survey holds is not documented: one without a list of answers may have none of them here."""
    answered = [sent, *(answer for answer in optional(sent, "answers", list) if isinstance(answer, dict))]
    survey = required(sent, "survey", dict)
    answers: dict[str, Any] = {}
    comments: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for answer in answered:
        fields |= optional(answer, "fields", dict)
        question = optional(answer, "question", dict).get("id")
        if isinstance(question, int | str):
            answers[str(question)] = _value(answer)
            comments[str(question)] = _comment(answer)
    return Submission(
        form=required(survey, "id", str),
        response_id=required(sent, "responseUuid", str),
        submitted_at=times.from_text(required(sent, "timestamp", str)),
        content={
            "answers": answers,
            "comments": comments,
            "fields": fields,
            "attributes": optional(optional(sent, "respondent", dict), "attributes", dict),
            "survey": survey,
            "url": sent.get("url"),
        },
        finished=finished and bool(answers),
    )


def _value(answer: dict[str, Any]) -> Any:
    """A text, a date, what was chosen, or a list of it; of a matrix what was chosen for each row."""
    if choice := optional(answer, "choice", dict):
        body = choice.get("body")
        return choice.get("id") if body in _CATEGORIES else body  # the id of an NPS choice is the score
    for several in ("choices", "ranking"):
        if choices := objects(answer, several):
            return [choice.get("body") for choice in choices]
    if matrix := objects(answer, "matrix"):
        return {str(row.get("body")): row.get("value") for row in matrix}
    return answer.get("text", answer.get("date"))


def _comment(answer: dict[str, Any]) -> str | None:
    """What was written beside what was chosen."""
    choices = [optional(answer, "choice", dict), *objects(answer, "choices")]
    comments = (choice.get("comment") for choice in choices)
    return ", ".join(comment for comment in comments if isinstance(comment, str) and comment) or None


# The export.


def items(fields: dict[str, Any], form: FormMapping, options: FileOptions) -> Iterable[ExportItem]:
    """Its fields under the names of a webhook."""
    answers = [_answer(answer) for answer in optional(fields, "answers", list) if isinstance(answer, dict)]
    survey = {"id": fields.get("survey_id") or options.form}
    completed = {
        "responseUuid": fields.get("uuid"),
        "timestamp": fields.get("collected_at"),
        "survey": survey,
        "url": fields.get("url"),
        "respondent": fields.get("respondent"),
        "answers": answers,
    }
    return parse_as_webhook(parse, {"event": {"surveyCompleted": completed}}, form)


def _answer(exported: dict[str, Any]) -> dict[str, Any]:
    """As a webhook has it; `tag` is the category of an NPS answer."""
    question, answer = {"id": exported.get("question_id")}, exported.get("answer")
    if isinstance(answer, list):
        return {"question": question, "choices": [_choice(choice) for choice in answer]}
    return {"question": question} | ({"choice": _choice(answer)} if isinstance(answer, dict) else {"text": answer})


def _choice(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        return {"body": answer}
    id_, body = ("content", "tag") if "tag" in answer else ("id", "content")
    return {"id": answer.get(id_), "body": answer.get(body), "comment": answer.get("comment")}


_EXPORT = Export(table=Table(), items=items, lists=["data"])

PLATFORM = Platform(webhook=Webhook(verify, parse), export=_EXPORT)
