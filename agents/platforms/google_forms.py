"""Google Forms: a watch tells a Pub/Sub topic that something was submitted, which pushes it here; answers are fetched.

Source: developers.google.com/workspace/forms/api (push notifications, forms.responses.list, usage limits) and
cloud.google.com/pubsub/docs/push. A notification names the form alone and may stand for many submissions: all since the
hour before are fetched, and what was known already is counted as repeated. Nothing tells of a response that is deleted.

The secret is `token` in the address that Pub/Sub pushes to, as Google's examples for App Engine have it: let no proxy
write it to its log. Signed push tokens (OIDC) are not looked at. The API wants an OAuth access token with the scope
forms.responses.readonly, which lasts an hour: keep it in a file (`@FILE`) that something else renews.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from npsflow.agents.intake.api import Answers, Api, Later
from npsflow.agents.intake.delivery import (
    Asked,
    Delivery,
    Forged,
    Malformed,
    Platform,
    json_object,
    maybe,
    objects,
    part,
)
from npsflow.agents.web.signatures import matches
from npsflow.streams.intake.mapping import FormMapping, Submission

_BEFORE = timedelta(hours=1)  # notifications come within minutes; one every thirty seconds at most
_PAGE = "1000"
_MOST_PAGES = 1000


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    if not matches(delivery.query.get("token", ""), secrets, lambda secret: secret):
        raise Forged("token is missing or wrong")


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Asked]:
    """Notifications of one hour are about the same: those that wait are fetched at once."""
    message = part(json_object(delivery.body), "message", dict)
    attributes = part(message, "attributes", dict)
    if attributes.get("eventType") != "RESPONSES":
        return
    form_id, event_id = part(attributes, "formId", str), part(message, "messageId", str)
    yield Asked(form_id, event_id, {"form": form_id, "since": _since(part(message, "publishTime", str))})


def _since(published: str) -> str:
    try:
        hour = datetime.fromisoformat(published).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return (hour - _BEFORE).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        raise Malformed("publishTime is no time") from None


async def get(api: Api, ids: Mapping[str, str]) -> list[Submission]:
    """Paths lead to `answers.QUESTION_ID` (several answers to one question with commas between) and `email`."""
    form, found = ids.get("form", ""), list[Submission]()
    query = {"filter": f"timestamp >= {ids.get('since', '')}", "pageSize": _PAGE}
    for _ in range(_MOST_PAGES):
        page = await api.get("forms", form, "responses", **query)
        found += [_submission(form, sent) for sent in objects(page, "responses")]
        if not (more := maybe(page, "nextPageToken", str)):
            return found
        query["pageToken"] = more
    raise Later("its pages do not end")


def _submission(form: str, sent: Mapping[str, Any]) -> Submission:
    id_, created, last = (sent.get(name) for name in ("responseId", "createTime", "lastSubmittedTime"))
    if not (isinstance(id_, str) and isinstance(created, str) and isinstance(last, str)):
        raise Later("a response has no id or no dates")
    answers = {name: _given(answer) for name, answer in maybe(sent, "answers", dict).items()}
    content = {"answers": answers, "email": sent.get("respondentEmail")}
    return Submission(form, id_, submitted_at=created, updated_at=last, content=content)


def _given(answer: Any) -> str | None:
    texts = maybe(answer, "textAnswers", dict) if isinstance(answer, dict) else {}
    given = [text["value"] for text in objects(texts, "answers") if isinstance(text.get("value"), str)]
    return ", ".join(given) if given else None


PLATFORM = Platform(verify, parse, Answers("https://forms.googleapis.com/v1", 180, get))
