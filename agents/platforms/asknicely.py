"""AskNicely: one webhook for every score and every change of it; it carries a header of your own and no signature.

Source: asknicely.zendesk.com, articles 47782734299540 (Triggering Webhooks) and 47819959059092.

The export: JSON of the API `responses`, or CSV with the same names (demo.asknice.ly/help/apidocs/responses).
Third-hand: that the score is `answer` there; name another column in `[intake.NAME.columns]`. An export has no count of
changes: if a webhook came with one, the webhook's version stands.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from npsflow.agents.platforms import times
from npsflow.agents.platforms.fields import identifier, json_object, optional, required
from npsflow.agents.platforms.protocol import (
    Delivery,
    Export,
    ExportItem,
    FileOptions,
    Malformed,
    Platform,
    Table,
    Webhook,
)
from npsflow.agents.platforms.signing import static
from npsflow.agents.platforms.webhook_bridge import parse_as_webhook
from npsflow.streams.intake.mapping import FormMapping, Submission


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """The header named in `header`, as it was typed in on AskNicely's page; `Authorization: Bearer` if none is."""
    static(delivery, form.header, secrets)


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission]:
    """Paths: `question.NAME`, `person.NAME`. A form is what AskNicely calls a survey template.

    A change has no time, only a `count` that goes up by one: it counts as so many seconds later than the answer.
    """
    sent = json_object(delivery.body)
    question, count = required(sent, "question", dict), sent.get("count", 1)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 1_000_000:
        raise Malformed("count is no number")
    responded = question.get("responded")
    if not responded:  # sent or opened, not answered
        return
    if not isinstance(responded, str | int | float):
        raise Malformed("responded is no time")
    person = {name: value for name, value in optional(sent, "person", dict).items() if name != "id"}  # AskNicely's own
    yield Submission(
        form=optional(question, "survey_template", str),
        response_id=identifier(question, "id"),
        submitted_at=times.from_seconds(responded),
        updated_at=times.from_seconds(responded, count - 1) if count > 1 else None,
        content={"question": question, "person": person},
    )


# The export.


def items(fields: dict[str, Any], form: FormMapping, options: FileOptions) -> Iterable[ExportItem]:
    """All fields stand both where a webhook has its `question` and where it has its `person`."""
    id_ = str(fields.get("response_id") or fields.get("id") or "")
    question = {"score": fields.get("answer")} | fields | {"id": id_}
    return parse_as_webhook(parse, {"question": question, "person": fields}, form)


_EXPORT = Export(
    table=Table(
        response_id=["response_id"],
        submitted_at=["responded"],
        form=["survey_template"],
        paths={"answer": "question.score"},
        rest=["question", "person"],
    ),
    items=items,
    lists=["data"],
)

PLATFORM = Platform(webhook=Webhook(verify, parse), export=_EXPORT, settings=lambda form: ["header"])
