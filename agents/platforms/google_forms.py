"""Google Forms: a Pub/Sub topic pushes that something was submitted (a watch publishes it there); answers are fetched.

Sources: developers.google.com/workspace/forms/api (push notifications, forms.responses.list, usage limits) and
cloud.google.com/pubsub/docs/push. A notification names only the form and may stand for many submissions: all since the
hour before are fetched, and those that were known already count as repeated. A deleted response is never reported.

The secret is `token` in the address that Pub/Sub pushes to, as in Google's examples for App Engine: let no proxy write
it to its log. Signed push tokens (OIDC) are not verified. The API needs an OAuth access token with the scope
forms.responses.readonly, which lasts an hour: keep it in a file (`@FILE`) that something else renews.

The export: JSON of forms.responses.list, or the CSV of the responses page. The CSV has no ids, one `Timestamp` (named
in `[intake.NAME.columns]` if it is in another language) and questions by title. Without ids, what also came by webhook
would be counted twice: hence `--make-ids`, or better the JSON.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from npsflow.agents.platforms.fields import json_object, objects, optional, required, scalar
from npsflow.agents.platforms.protocol import (
    Answers,
    Api,
    Delivery,
    Export,
    ExportItem,
    FileOptions,
    Malformed,
    Platform,
    Table,
    Transient,
    Webhook,
)
from npsflow.agents.platforms.signing import in_query
from npsflow.agents.platforms.webhook_bridge import parse_as_answer
from npsflow.streams.intake.mapping import FetchRequest, FormMapping, Submission

_BEFORE = timedelta(hours=1)  # notifications come within minutes; one every thirty seconds at most
_PAGE = "1000"
_MOST_PAGES = 1000


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """The secret is in the address."""
    in_query(delivery, "token", secrets)


def parse(delivery: Delivery, form: FormMapping) -> Iterable[FetchRequest]:
    """Notifications of one hour ask for the same: those that wait are fetched at once."""
    message = required(json_object(delivery.body), "message", dict)
    attributes = required(message, "attributes", dict)
    if attributes.get("eventType") != "RESPONSES":
        return
    form_id, event_id = required(attributes, "formId", str), required(message, "messageId", str)
    yield FetchRequest(form_id, event_id, {"form": form_id, "since": _since(required(message, "publishTime", str))})


def _since(published: str) -> str:
    try:
        hour = datetime.fromisoformat(published).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return (hour - _BEFORE).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        raise Malformed("publishTime is no time") from None


async def fetch(api: Api, ids: Mapping[str, str]) -> list[Submission]:
    """Paths: `answers.QUESTION_ID` (several answers to one question are joined by commas), `email`."""
    form, submissions = ids.get("form", ""), list[Submission]()
    query = {"filter": f"timestamp >= {ids.get('since', '')}", "pageSize": _PAGE}
    for _ in range(_MOST_PAGES):
        page = await api.get("forms", form, "responses", **query)
        submissions += [_submission(form, sent) for sent in objects(page, "responses")]
        if not (more := optional(page, "nextPageToken", str)):
            return submissions
        query["pageToken"] = more
    raise Transient("its pages do not end")


def _submission(form: str, sent: Mapping[str, Any]) -> Submission:
    id_, created, last = (sent.get(name) for name in ("responseId", "createTime", "lastSubmittedTime"))
    if not (isinstance(id_, str) and isinstance(created, str) and isinstance(last, str)):
        raise Transient("a response has no id or no dates")
    answers = {name: _text(answer) for name, answer in optional(sent, "answers", dict).items()}
    content = {"answers": answers, "email": sent.get("respondentEmail")}
    return Submission(form, id_, submitted_at=created, updated_at=last, content=content)


def _text(answer: Any) -> str | None:
    answers = optional(answer, "textAnswers", dict) if isinstance(answer, dict) else {}
    texts = [text["value"] for text in objects(answers, "answers") if isinstance(text.get("value"), str)]
    return ", ".join(texts) if texts else None


# The export.


def items(fields: dict[str, Any], form: FormMapping, options: FileOptions) -> Iterable[ExportItem]:
    """An item is one of the responses on a page of the API."""
    return parse_as_answer(fetch, {"responses": [fields]}, {"form": scalar(fields, "formId") or options.form})


_EXPORT = Export(
    table=Table(submitted_at=["Timestamp"], paths={"email address": "email", "username": "email"}),
    items=items,
    lists=["responses"],
)

PLATFORM = Platform(
    webhook=Webhook(verify, parse), answers=Answers("https://forms.googleapis.com/v1", 180, fetch), export=_EXPORT
)
