"""SurveyMonkey: its webhooks say that a response has come, changed or gone; the answers are fetched from its API.

Source: api.surveymonkey.com/v3/docs (webhook callbacks, response details, headers, error codes, limits), and
github.com/SurveyMonkey/public_api_docs. Third-hand: what `simple` adds, `simple_text` and `choice_metadata.weight`.
Where it does not come, or is not the score, let `choices.QUESTION` be the score question: `words` maps ids of choices.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from npsflow.agents.intake.api import Answers, Api, Later
from npsflow.agents.intake.delivery import Asked, Delivery, Forged, Platform, json_object, maybe, objects, part
from npsflow.agents.platforms.signing import hmac_base64
from npsflow.agents.web.signatures import matches
from npsflow.streams.intake.mapping import FormMapping, Submission

_ANSWERED = ("response_created", "response_updated", "response_completed")
_COUNTS = ("completed", "partial")
_PREVIEWS = ("preview", "survey_preview")
_LIMITS = ("day", "minute")


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """HMAC-SHA1 of the body; a secret is the client id, `&`, and the client secret. SurveyMonkey signs no time."""
    given = delivery.headers.get("sm-signature", "")
    if not matches(given, secrets, lambda secret: hmac_base64(secret, delivery.body, "sha1")):
        raise Forged("Sm-Signature is missing or wrong")


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission | Asked]:
    """A deletion needs no answers: what the mapping makes of the response is gone."""
    event = json_object(delivery.body)
    kind = event.get("event_type")
    if kind != "response_deleted" and kind not in _ANSWERED:
        return
    survey, response = part(part(event, "resources", dict), "survey_id", str), part(event, "object_id", str)
    if kind == "response_deleted":
        at = part(event, "event_datetime", str)
        yield Submission(form=survey, response_id=response, submitted_at=None, updated_at=at, deleted=True)
    else:
        yield Asked(survey, part(event, "event_id", str), {"survey": survey, "response": response})


async def get(api: Api, ids: Mapping[str, str]) -> list[Submission]:
    """Paths lead to `answers.ID`, `texts.ID`, `weights.ID` and `choices.ID` of a question or row, to `custom.NAME`,
    `contact.NAME`, `custom_value`, `analyze_url` and `preview`. Nothing of one who was disqualified or over a quota.
    """
    path = ("surveys", ids.get("survey", ""), "responses", ids.get("response", ""), "details")
    sent = await api.get(*path, simple="true")
    if sent.get("response_status") not in _COUNTS:
        return []
    created, modified = sent.get("date_created"), sent.get("date_modified")
    if not isinstance(created, str) or not isinstance(modified, str):
        raise Later("its answer has no dates")
    content: dict[str, Any] = {"answers": {}, "texts": {}, "weights": {}, "choices": {}}
    for page in objects(sent, "pages"):
        for question in objects(page, "questions"):
            for answer in objects(question, "answers"):
                _note(content, question.get("id"), answer)
    content |= {
        "custom": maybe(sent, "custom_variables", dict),
        "contact": {name: sent.get(name) for name in ("email_address", "first_name", "last_name")},
        "custom_value": sent.get("custom_value"),
        "analyze_url": sent.get("analyze_url"),
        "preview": sent.get("collection_mode") in _PREVIEWS,
    }
    return [Submission(ids["survey"], ids["response"], submitted_at=created, updated_at=modified, content=content)]


def _note(content: dict[str, Any], question: Any, answer: Mapping[str, Any]) -> None:
    """Under its question and its row; of several the first. `answers` has the words of a choice, or the text."""
    found = {
        "answers": answer.get("simple_text", answer.get("text", answer.get("choice_id"))),
        "texts": answer.get("text"),
        "weights": maybe(answer, "choice_metadata", dict).get("weight"),
        "choices": answer.get("choice_id"),
    }
    names = [name for name in (question, answer.get("row_id")) if isinstance(name, str)]
    for kind, value in found.items():
        if value is not None:
            for name in names:
                content[kind].setdefault(name, value)


def used_up(headers: Mapping[str, str]) -> float:
    """Its requests are counted by day and by minute, with the seconds until each count begins again."""
    for limit in _LIMITS:
        left, reset = (headers.get(f"X-Ratelimit-App-Global-{limit}-{name}", "") for name in ("remaining", "reset"))
        if left == "0" and reset.isascii() and reset.isdigit():
            return float(reset)
    return 0.0


PLATFORM = Platform(verify, parse, Answers("https://api.surveymonkey.com/v3", 120, get, used_up=used_up))
