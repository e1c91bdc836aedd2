"""Formbricks: `responseCreated`, `responseUpdated`, `responseFinished`, signed as Standard Webhooks.

Source: github.com/formbricks/formbricks, its webhook pipeline and response types.
"""

from collections.abc import Iterable, Sequence

from npsflow.agents.intake.delivery import Delivery, Malformed, Platform, json_object, maybe, part
from npsflow.agents.platforms.signing import standard_webhooks
from npsflow.streams.intake.mapping import FormMapping, Submission

_EVENTS = {"responseCreated", "responseUpdated", "responseFinished"}


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    standard_webhooks(delivery, secrets, now)


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission]:
    """`answers.ID`, `contact.userId`, `attributes.NAME`, `meta.NAME`, `survey.title` and `language` for paths."""
    event = json_object(delivery.body)
    if str(event.get("event")) not in _EVENTS:
        return
    sent = part(event, "data", dict)
    created, updated = part(sent, "createdAt", str), sent.get("updatedAt")
    if updated is not None and not isinstance(updated, str):
        raise Malformed("updatedAt is no text")
    yield Submission(
        form=part(sent, "surveyId", str),
        response_id=part(sent, "id", str),
        submitted_at=created,
        updated_at=updated,
        content={
            "answers": maybe(sent, "data", dict),
            "contact": {"userId": maybe(sent, "contact", dict).get("userId")},  # not `id`: that is Formbricks' own
            "attributes": maybe(sent, "contactAttributes", dict),
            "meta": maybe(sent, "meta", dict),
            "survey": maybe(sent, "survey", dict),
            "language": sent.get("language"),
        },
    )


PLATFORM = Platform(verify, parse)
