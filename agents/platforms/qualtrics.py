"""Qualtrics: an event subscription says that a response is complete; its answers are fetched from the API.

Source: api.qualtrics.com (event subscriptions, retrieve a survey response). Third-hand: the body of an event, its HMAC
(github.com/kyma-incubator/connector-tools, qualtrics-event-gw: a body captured there has the HMAC computed here),
what stands among `values`, and how often the API may be asked. A subscription without `sharedKey` is not signed and so
turned down; one with `encrypt` cannot be read. `Topic` is not signed: it can only make an event be ignored.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha512
from urllib.parse import parse_qsl

from npsflow.agents.intake.api import Answers, Api, Later
from npsflow.agents.intake.delivery import Asked, Delivery, Forged, Malformed, Platform, json_object, maybe, part
from npsflow.agents.web.signatures import matches
from npsflow.streams.intake.mapping import FormMapping, Submission

_MOST_FIELDS = 20


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """The hexadecimal HMAC-SHA512 of `MSG`; a secret is the subscription's `sharedKey`. No time is signed."""
    fields = _fields(delivery.body)
    message = fields.get("MSG", b"")
    given = fields.get("HMAC", b"").decode("latin-1").lower()
    if not matches(given, secrets, lambda secret: hmac.digest(secret.encode(), message, sha512).hex()):
        raise Forged("HMAC is missing or wrong")


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Asked]:
    """Events have no id of their own: a response that is completed at another time is another event."""
    fields = _fields(delivery.body)
    event = json_object(fields.get("MSG", b""))
    if b".completedResponse." not in fields.get("Topic", b""):
        return
    survey, response = part(event, "SurveyID", str), part(event, "ResponseID", str)
    yield Asked(survey, f"{response} {maybe(event, 'CompletedDate', str)}", {"survey": survey, "response": response})


async def get(api: Api, ids: Mapping[str, str]) -> list[Submission]:
    """Paths lead to `values.QID` and `values.NAME` (questions, embedded data), the same of `labels`, and `preview`."""
    answer = await api.get("surveys", ids.get("survey", ""), "responses", ids.get("response", ""))
    sent = maybe(answer, "result", dict)
    values = maybe(sent, "values", dict)
    submitted, recorded = values.get("endDate"), values.get("recordedDate")
    if not isinstance(submitted, str) or not isinstance(recorded, str):
        raise Later("its answer has no dates")
    content = {
        "values": values,
        "labels": maybe(sent, "labels", dict),
        "preview": values.get("distributionChannel") == "preview",
    }
    return [Submission(ids["survey"], ids["response"], submitted_at=submitted, updated_at=recorded, content=content)]


def token(secret: str) -> dict[str, str]:
    return {"X-API-TOKEN": secret}


def _fields(body: bytes) -> dict[str, bytes]:
    """Of a form, the first of each name, byte for byte."""
    try:
        found = parse_qsl(body.decode("latin-1"), encoding="latin-1", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Malformed("too many fields") from None
    return {name: value.encode("latin-1") for name, value in reversed(found)}


PLATFORM = Platform(verify, parse, Answers("", 300, get, token=token))
