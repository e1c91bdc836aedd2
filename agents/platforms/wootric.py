"""Wootric (InMoment): `response` events, created and updated, as JSON or URL-encoded, whichever the account has chosen.

Source: docs.wootric.com/webhooks.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha1
from hmac import digest
from typing import Any
from urllib.parse import parse_qsl

from npsflow.agents.platforms import times
from npsflow.agents.platforms.fields import identifier, json_object, optional, required
from npsflow.agents.platforms.protocol import Delivery, Forged, Malformed, Platform, Webhook
from npsflow.agents.web.signatures import matches
from npsflow.streams.intake.mapping import FormMapping, Submission

_ENCODED = "application/x-www-form-urlencoded"
_MOST_FIELDS = 1_000


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """HMAC-SHA1 of the body, in hex; Wootric signs no time."""
    signature = delivery.headers.get("x-wootric-signature", "")
    if not matches(signature, secrets, lambda secret: "sha1=" + digest(secret.encode(), delivery.body, sha1).hex()):
        raise Forged("X-Wootric-Signature is missing or wrong")


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission]:
    """Paths: `response.NAME`. A form is a survey mode (NPS, CSAT, CES): a `survey_id` stands for one person asked."""
    encoded = delivery.headers.get("content-type", "").lower().startswith(_ENCODED)
    event = _decoded(delivery.body) if encoded else json_object(delivery.body)
    if "decline" in event and "response" not in event:
        return
    response = required(event, "response", dict)
    updated = response.get("updated_at")
    yield Submission(
        form=optional(event, "survey_mode", str),
        response_id=identifier(response, "id"),
        submitted_at=times.from_text(required(response, "created_at", str)),
        updated_at=times.from_text(updated) if isinstance(updated, str) else None,
        content={"response": {name: value for name, value in response.items() if name != "end_user_id"}},
    )


def _decoded(body: bytes) -> dict[str, Any]:
    """The JSON that `response[end_user_properties][plan]=gold` stands for; empty values are left out."""
    try:
        pairs = parse_qsl(body.decode(), max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Malformed("the body is not URL-encoded") from None
    event: dict[str, Any] = {}
    for name, value in pairs:
        within, (*outer, last) = event, [key.removesuffix("]") for key in name.split("[")]
        for key in outer:
            inner = within.setdefault(key, {})
            if not isinstance(inner, dict):
                raise Malformed("a field is given twice")
            within = inner
        within[last] = value
    return event


PLATFORM = Platform(webhook=Webhook(verify, parse))
