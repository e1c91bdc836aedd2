"""Wootric (InMoment): `response` events, created and updated, as JSON or URL-encoded, whichever the account has chosen.

Source: docs.wootric.com/webhooks.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha1
from hmac import digest
from typing import Any
from urllib.parse import parse_qsl

from npsflow.agents.intake.delivery import Delivery, Forged, Malformed, Platform, identifier, json_object, maybe, part
from npsflow.agents.platforms import times
from npsflow.agents.web.signatures import matches
from npsflow.streams.intake.mapping import FormMapping, Submission

_ENCODED = "application/x-www-form-urlencoded"
_MOST_FIELDS = 1_000


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """HMAC-SHA1 of the body, in hex; Wootric signs no time."""
    given = delivery.headers.get("x-wootric-signature", "")
    if not matches(given, secrets, lambda secret: "sha1=" + digest(secret.encode(), delivery.body, sha1).hex()):
        raise Forged("X-Wootric-Signature is missing or wrong")


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission]:
    """`response.NAME` is where paths lead. A form is a survey mode (NPS, CSAT, CES): a `survey_id` is of one asking."""
    encoded = delivery.headers.get("content-type", "").lower().startswith(_ENCODED)
    event = _decoded(delivery.body) if encoded else json_object(delivery.body)
    if "decline" in event and "response" not in event:
        return
    response = part(event, "response", dict)
    updated = response.get("updated_at")
    yield Submission(
        form=maybe(event, "survey_mode", str),
        response_id=identifier(response, "id"),
        submitted_at=times.of_text(part(response, "created_at", str)),
        updated_at=times.of_text(updated) if isinstance(updated, str) else None,
        content={"response": {name: value for name, value in response.items() if name != "end_user_id"}},
    )


def _decoded(body: bytes) -> dict[str, Any]:
    """`response[end_user_properties][plan]=gold` as the JSON that it stands for; what is empty is not there."""
    try:
        pairs = parse_qsl(body.decode(), max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Malformed("the body is not URL-encoded") from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        within, (*outer, last) = found, [key.removesuffix("]") for key in name.split("[")]
        for key in outer:
            inner = within.setdefault(key, {})
            if not isinstance(inner, dict):
                raise Malformed("a field is given twice")
            within = inner
        within[last] = value
    return found


PLATFORM = Platform(verify, parse)
