"""SurveyMonkey: its webhooks say that a response has come, changed or gone; the answers are fetched from its API.

Sources: api.surveymonkey.com/v3/docs (webhook callbacks, response details, headers, error codes, limits) and
github.com/SurveyMonkey/public_api_docs. Third-hand: what `simple` adds, `simple_text` and `choice_metadata.weight`.
If it does not come, or is not the score, let `choices.QUESTION` be the score question: `words` maps ids of choices.

The export: JSON of "surveys/{id}/responses/bulk", whose items are what is fetched for a webhook, or the CSV "all
individual responses". Not documented, seen in files: the CSV has two rows of titles (the question above; the row, the
choice or the kind of answer below), `Respondent ID` is the id of the response, and times have no zone and begin with
the month or the day.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from npsflow.agents.platforms.fields import json_object, objects, optional, required, scalar
from npsflow.agents.platforms.protocol import (
    Answers,
    Api,
    Delivery,
    Export,
    ExportItem,
    FileOptions,
    Forged,
    Header,
    Platform,
    Table,
    Transient,
    Webhook,
)
from npsflow.agents.platforms.signing import hmac_base64
from npsflow.agents.platforms.webhook_bridge import parse_as_answer
from npsflow.agents.web.signatures import matches
from npsflow.streams.intake.mapping import FetchRequest, FormMapping, Submission

_ANSWERED = ("response_created", "response_updated", "response_completed")
_COUNTS = ("completed", "partial")
_PREVIEWS = ("preview", "survey_preview")
_LIMITS = ("day", "minute")


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """HMAC-SHA1 of the body; a secret is the client id, `&`, and the client secret. SurveyMonkey signs no time."""
    signature = delivery.headers.get("sm-signature", "")
    if not matches(signature, secrets, lambda secret: hmac_base64(secret, delivery.body, "sha1")):
        raise Forged("Sm-Signature is missing or wrong")


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission | FetchRequest]:
    """A deletion needs no answers: what the mapping makes of the response is gone."""
    event = json_object(delivery.body)
    kind = event.get("event_type")
    if kind != "response_deleted" and kind not in _ANSWERED:
        return
    survey = required(required(event, "resources", dict), "survey_id", str)
    response = required(event, "object_id", str)
    if kind == "response_deleted":
        at = required(event, "event_datetime", str)
        yield Submission(form=survey, response_id=response, submitted_at=None, updated_at=at, deleted=True)
    else:
        yield FetchRequest(survey, required(event, "event_id", str), {"survey": survey, "response": response})


async def fetch(api: Api, ids: Mapping[str, str]) -> list[Submission]:
    """Paths: `answers.ID`, `texts.ID`, `weights.ID` and `choices.ID` of a question or row, `custom.NAME`,
    `contact.NAME`, `custom_value`, `analyze_url`, `preview`. Who was disqualified or over a quota gives nothing.
    """
    path = ("surveys", ids.get("survey", ""), "responses", ids.get("response", ""), "details")
    sent = await api.get(*path, simple="true")
    if sent.get("response_status") not in _COUNTS:
        return []
    created, modified = sent.get("date_created"), sent.get("date_modified")
    if not isinstance(created, str) or not isinstance(modified, str):
        raise Transient("its answer has no dates")
    content: dict[str, Any] = {"answers": {}, "texts": {}, "weights": {}, "choices": {}}
    for page in objects(sent, "pages"):
        for question in objects(page, "questions"):
            for answer in objects(question, "answers"):
                _add_answer(content, question.get("id"), answer)
    content |= {
        "custom": optional(sent, "custom_variables", dict),
        "contact": {name: sent.get(name) for name in ("email_address", "first_name", "last_name")},
        "custom_value": sent.get("custom_value"),
        "analyze_url": sent.get("analyze_url"),
        "preview": sent.get("collection_mode") in _PREVIEWS,
    }
    finished, test = sent["response_status"] == "completed", content["preview"]
    submission = Submission(
        ids["survey"], ids["response"], created, modified, content=content, finished=finished, test=test
    )
    return [submission]


def _add_answer(content: dict[str, Any], question: Any, answer: Mapping[str, Any]) -> None:
    """Under its question and its row. `answers` has the words of a choice, or else the text.

    Several choices are a list. Of several rows, and of texts beside a choice, the question has the first.
    """
    values = {
        "answers": answer.get("simple_text", answer.get("text", answer.get("choice_id"))),
        "texts": answer.get("text"),
        "weights": optional(answer, "choice_metadata", dict).get("weight"),
        "choices": answer.get("choice_id"),
    }
    row, chosen = answer.get("row_id"), answer.get("choice_id") is not None
    for kind, value in values.items():
        if value is None:
            continue
        if isinstance(row, str):
            _add_choice(content[kind], row, value)
        if not isinstance(question, str):
            continue
        if chosen and not isinstance(row, str):
            _add_choice(content[kind], question, value)
        else:
            content[kind].setdefault(question, value)


def _add_choice(values: dict[str, Any], name: str, value: Any) -> None:
    before = values.get(name)
    values[name] = value if before is None else [*before, value] if isinstance(before, list) else [before, value]


def used_up(headers: Mapping[str, str]) -> float:
    """Requests are counted by day and by minute; the headers have the seconds until each count begins again."""
    for limit in _LIMITS:
        left, reset = (headers.get(f"X-Ratelimit-App-Global-{limit}-{name}", "") for name in ("remaining", "reset"))
        if left == "0" and reset.isascii() and reset.isdigit():
            return float(reset)
    return 0.0


# The export.


def items(fields: dict[str, Any], form: FormMapping, options: FileOptions) -> Iterable[ExportItem]:
    """An item is what is fetched for a webhook."""
    ids = {"survey": scalar(fields, "survey_id") or options.form, "response": scalar(fields, "id")}
    return parse_as_answer(fetch, fields, ids)


def titles(header: Header) -> Header:
    """The question's title if it has one column; `question / choice` for each column if it has several.

    Somebody may have removed the second row.
    """
    above, below = header[0], header[1] if len(header) > 1 else [""] * len(header[0])
    names, title = [], ""
    for at, (upper, lower) in enumerate(zip(above, below, strict=True)):
        title = upper.strip() or title
        alone = bool(upper.strip()) and (at + 1 == len(above) or bool(above[at + 1].strip()))
        both = [f"{title} / {lower.strip()}"] if lower.strip() else []
        names.append([title, *both] if alone or not both else both)
    return names


_EXPORT = Export(
    table=Table(
        response_id=["Respondent ID"],
        submitted_at=["Start Date", "Date Created"],
        updated_at=["End Date", "Date Modified"],
        paths={
            "email address": "contact.email_address",
            "first name": "contact.first_name",
            "last name": "contact.last_name",
        },
        header=2,
        titles=titles,
    ),
    items=items,
    lists=["data"],
)

PLATFORM = Platform(
    webhook=Webhook(verify, parse),
    answers=Answers("https://api.surveymonkey.com/v3", 120, fetch, used_up=used_up),
    export=_EXPORT,
)
