"""Typeform: `form_response` events, answers by the ref of their question.

Sources: typeform.com/developers/webhooks (payload, secure-your-webhooks) and typeform.com/developers/responses: an item
of the Responses API is the `form_response` of a webhook without the id of its form. Not documented, seen in files: the
CSV has the token as `#`, times in UTC as their titles say, questions and hidden fields by title, and a column for each
choice of a question with several.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Any

from npsflow.agents.platforms.fields import json_object, objects, optional, required
from npsflow.agents.platforms.protocol import (
    Delivery,
    Export,
    ExportItem,
    FileOptions,
    Forged,
    Malformed,
    Platform,
    Table,
    Webhook,
)
from npsflow.agents.platforms.signing import hmac_base64
from npsflow.agents.platforms.webhook_bridge import parse_as_webhook
from npsflow.agents.web.signatures import matches
from npsflow.streams.intake.mapping import FormMapping, Submission


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """HMAC-SHA256 of the body; Typeform signs no time."""
    signature = delivery.headers.get("typeform-signature", "")
    if not matches(signature, secrets, lambda secret: "sha256=" + hmac_base64(secret, delivery.body)):
        raise Forged("Typeform-Signature is missing or wrong")


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission]:
    """Paths: `answers.REF` or `answers.ID` of a question, `hidden.NAME`, `variables.NAME`."""
    event = json_object(delivery.body)
    if event.get("event_type") not in ("form_response", "form_response_partial"):
        return
    sent = required(event, "form_response", dict)
    answers = {}
    for answer in objects(sent, "answers"):
        question, value = optional(answer, "field", dict), _value(answer)
        for name in (question.get("id"), question.get("ref")):
            if isinstance(name, str):
                answers[name] = value
    submitted_at = sent.get("submitted_at") or sent.get("landed_at")
    if not isinstance(submitted_at, str):
        raise Malformed("submitted_at is missing")
    definition = optional(sent, "definition", dict)
    questions = _questions(definition, answers) if "fields" in definition else None
    yield Submission(
        form=required(sent, "form_id", str),
        response_id=required(sent, "token", str),
        submitted_at=submitted_at,
        content={"answers": answers, "hidden": optional(sent, "hidden", dict), "variables": _variables(sent)},
        questions=questions,
        finished=event["event_type"] == "form_response",
    )


def _value(answer: dict[str, Any]) -> Any:
    """An answer holds its value under the name of its type; what was typed as "other" is one more choice."""
    value = answer.get(str(answer.get("type")))
    if not isinstance(value, dict):
        return value
    labels, other = value.get("labels"), value.get("other")
    if isinstance(labels, list):
        return labels if other is None else [*labels, other]
    return value.get("label", other)


def _variables(sent: dict[str, Any]) -> dict[str, Any]:
    return {str(item.get("key")): item.get(str(item.get("type"))) for item in objects(sent, "variables")}


def _questions(definition: dict[str, Any], answered: Iterable[str]) -> frozenset[str]:
    """The ids and refs of all questions, also of those in a group of questions."""
    names, groups = set(answered), [definition]
    while groups:
        for question in objects(groups.pop(), "fields"):
            names.update(name for name in (question.get("id"), question.get("ref")) if isinstance(name, str))
            if properties := optional(question, "properties", dict):
                groups.append(properties)
    return frozenset(names)


# The export.

_NEVER = "0001-01-01T00:00:00Z"  # of what is not submitted yet


def items(fields: dict[str, Any], form: FormMapping, options: FileOptions) -> Iterable[ExportItem]:
    """An item is what a webhook holds as `form_response`, without the id of its form."""
    sent = {"form_id": options.form} | fields
    if sent.get("submitted_at") == _NEVER:
        del sent["submitted_at"]
    return parse_as_webhook(parse, {"event_type": "form_response", "form_response": sent}, form)


_EXPORT = Export(
    table=Table(
        response_id=["#", "Response ID"],
        submitted_at=["Submit Date (UTC)", "Start Date (UTC)"],
        zone=lambda header: UTC,
    ),
    items=items,
    lists=["items"],
)

PLATFORM = Platform(webhook=Webhook(verify, parse), export=_EXPORT)
