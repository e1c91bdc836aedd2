"""Typeform: `form_response` events, answers found by the ref of their question.

Source: typeform.com/developers/webhooks (payload, secure-your-webhooks).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from npsflow.agents.intake.delivery import Delivery, Forged, Malformed, Platform, json_object, maybe, objects, part
from npsflow.agents.platforms.signing import hmac_base64
from npsflow.agents.web.signatures import matches
from npsflow.streams.intake.mapping import FormMapping, Submission


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """HMAC-SHA256 of the body; Typeform signs no time."""
    given = delivery.headers.get("typeform-signature", "")
    if not matches(given, secrets, lambda secret: "sha256=" + hmac_base64(secret, delivery.body)):
        raise Forged("Typeform-Signature is missing or wrong")


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission]:
    """`answers.REF` and `hidden.NAME` are where paths lead."""
    event = json_object(delivery.body)
    if event.get("event_type") not in ("form_response", "form_response_partial"):
        return
    sent = part(event, "form_response", dict)
    answers = {}
    for answer in objects(sent, "answers"):
        asked = maybe(answer, "field", dict)
        for name in (asked.get("id"), asked.get("ref")):
            if isinstance(name, str):
                answers[name] = _value(answer)
    submitted_at = sent.get("submitted_at") or sent.get("landed_at")
    if not isinstance(submitted_at, str):
        raise Malformed("submitted_at is missing")
    definition = maybe(sent, "definition", dict)
    yield Submission(
        form=part(sent, "form_id", str),
        response_id=part(sent, "token", str),
        submitted_at=submitted_at,
        content={"answers": answers, "hidden": maybe(sent, "hidden", dict), "variables": _variables(sent)},
        questions=_questions(definition) if "fields" in definition else None,
    )


def _value(answer: dict[str, Any]) -> Any:
    """An answer holds its value under the name of its type."""
    value = answer.get(str(answer.get("type")))
    if isinstance(value, dict):
        return value.get("label", value.get("labels", value.get("other")))
    return value


def _variables(sent: dict[str, Any]) -> dict[str, Any]:
    return {str(item.get("key")): item.get(str(item.get("type"))) for item in objects(sent, "variables")}


def _questions(definition: dict[str, Any]) -> frozenset[str]:
    names = (asked.get(name) for asked in objects(definition, "fields") for name in ("id", "ref"))
    return frozenset(name for name in names if isinstance(name, str))


PLATFORM = Platform(verify, parse)
