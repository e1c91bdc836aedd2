"""Formbricks: `responseCreated`, `responseUpdated`, `responseFinished`, signed as Standard Webhooks.

Source: github.com/formbricks/formbricks, its webhook pipeline, response types and export (lib/response).

The export: JSON of the API, whose items are the `data` of a webhook, or the CSV of the responses page. The CSV has
times by the clock of the server or the browser, to the second, and no time of a change: if a webhook came as well, the
webhook's version stands.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from npsflow.agents.platforms.fields import json_object, json_or_none, optional, required
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
from npsflow.agents.platforms.signing import standard_webhooks
from npsflow.agents.platforms.times import parse_iso
from npsflow.agents.platforms.webhook_bridge import parse_as_webhook
from npsflow.streams.intake.mapping import FormMapping, Submission

_AS_THEY_ARE = ("variables", "finished", "singleUseId", "displayId", "endingId")
_MADE_UP = "ai-generated example response"
_EVENTS = {"responseCreated", "responseUpdated", "responseFinished"}
_TEST = {"event": "testEndpoint"}
_MAX_TEST = 100  # bytes
_LATE, _OLD = timedelta(days=1), timedelta(days=30)


def handshake(delivery: Delivery) -> bool:
    """The test before a webhook is made: unsigned, or signed with a secret that is shown to nobody until then."""
    return len(delivery.body) <= _MAX_TEST and json_or_none(delivery.body) == _TEST


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """Standard Webhooks."""
    standard_webhooks(delivery, secrets, now)


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission]:
    """Paths: `answers.ID`, `contact.userId`, `attributes.NAME`, `meta.NAME`, `survey.title`, `language`.

    And `tags` (their names), `variables.ID`, `finished`, `singleUseId`, `displayId`, `endingId`.
    """
    event = json_object(delivery.body)
    if str(event.get("event")) not in _EVENTS:
        return
    sent = required(event, "data", dict)
    created, updated = required(sent, "createdAt", str), sent.get("updatedAt")
    if updated is not None and not isinstance(updated, str):
        raise Malformed("updatedAt is no text")
    shown = optional(sent, "ttc", dict).keys() - {"_total"}  # time to complete, by question
    attributes, tags = optional(sent, "contactAttributes", dict), _tags(sent)
    user_id = optional(sent, "contact", dict).get("userId") or attributes.get("userId")  # API v2 has no `contact`
    yield Submission(
        form=required(sent, "surveyId", str),
        response_id=required(sent, "id", str),
        submitted_at=created if updated is None else _answered_at(created, updated),
        updated_at=updated,
        test=_is_made_up({"tags": tags}),
        content={
            "answers": dict.fromkeys(sorted(shown)) | optional(sent, "data", dict),
            "contact": {"userId": user_id},  # not `id`: that is Formbricks' own
            "attributes": attributes,
            "meta": optional(sent, "meta", dict),
            "survey": optional(sent, "survey", dict),
            "language": sent.get("language"),
            **({"tags": tags} if "tags" in sent else {}),
            **{name: sent[name] for name in _AS_THEY_ARE if sent.get(name) is not None},
        },
        finished=event["event"] == "responseFinished" or sent.get("finished") is True,
    )


def _answered_at(created: str, updated: str) -> str:
    """When the score was given, as far as Formbricks tells: it has no times of single answers.

    A response is created with its first answer, or opened and left, and may be gone on with days later. What was
    changed more than a day after that is taken as answered then, so that it counts in the windows of that day; after a
    month it is an old response that was edited.
    """
    begun, changed = parse_iso(created), parse_iso(updated)
    if begun is None or changed is None:  # refused further on
        return created
    return updated if _LATE < changed - begun < _OLD else created


def _tags(sent: dict[str, Any]) -> list[str]:
    """The names of the tags."""
    tags = (tag.get("name") if isinstance(tag, dict) else tag for tag in optional(sent, "tags", list))
    return [tag for tag in tags if isinstance(tag, str)]


def _is_made_up(content: Mapping[str, Any]) -> bool:
    """Whether it is one of the example responses that Formbricks lets a language model write."""
    return any(isinstance(tag, str) and tag.casefold() == _MADE_UP for tag in optional(content, "tags", list))


# The export.


def items(fields: dict[str, Any], form: FormMapping, options: FileOptions) -> Iterable[ExportItem]:
    """An item is what a webhook holds as `data`."""
    return parse_as_webhook(parse, {"event": "responseFinished", "data": fields}, form)


_EXPORT = Export(
    table=Table(
        response_id=["Response ID"],
        submitted_at=["Timestamp"],
        form=["Survey ID"],
        paths={
            "user id": "contact.userId",
            "url": "meta.url",
            "source": "meta.source",
            "country": "meta.country",
            "action": "meta.action",
            "useragent - browser": "meta.userAgent.browser",
            "useragent - os": "meta.userAgent.os",
            "useragent - device": "meta.userAgent.device",
            "tags": "tags",
            "finished": "finished",
        },
        prefixes={"person.": "attributes"},  # since 5.1.0
        cells={"tags": lambda cell: cell.split(", "), "finished": lambda cell: cell == "Yes"},
        is_test=_is_made_up,
        rest=["answers", "attributes"],  # hidden fields, attributes of the contact
    ),
    items=items,
    lists=["data"],
)

PLATFORM = Platform(webhook=Webhook(verify, parse, handshake), export=_EXPORT)
