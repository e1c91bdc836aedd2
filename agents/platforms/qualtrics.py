"""Qualtrics: an event subscription says that a response is complete; its answers are fetched from the API.

Source: api.qualtrics.com (event subscriptions, retrieve a survey response). Third-hand: the body of an event, its HMAC
(github.com/kyma-incubator/connector-tools, qualtrics-event-gw: a body captured there has the HMAC computed here), the
names in `values`, and how often the API may be called. A subscription without `sharedKey` is not signed and is
rejected; one with `encrypt` cannot be read. `Topic` is not signed: it can only make an event be ignored.

The export: JSON of the export API, or the CSV with three rows of titles (qualtrics.com/support, "Understanding Your
Dataset"): the names of the fields, their texts, and as JSON the ids by which they are imported and the zone of times.
The older format has no third row, and who works with a file may have removed the second.
"""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import tzinfo
from hashlib import sha512
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from npsflow.agents.platforms.fields import json_object, optional, required, scalar
from npsflow.agents.platforms.protocol import (
    Answers,
    Api,
    Delivery,
    Export,
    ExportItem,
    FileOptions,
    Forged,
    Header,
    Malformed,
    Platform,
    Table,
    Transient,
    Webhook,
)
from npsflow.agents.platforms.webhook_bridge import parse_as_answer
from npsflow.agents.web.signatures import matches
from npsflow.schemas import codec
from npsflow.streams.intake.mapping import FetchRequest, FormMapping, Submission

_MOST_FIELDS = 20
_NO_ANSWER_STATUS = 1 | 2 | 8  # preview, test and spam, also as bits of 9, 17 or 40
_NUMBERED = re.compile(r"V\d{1,2}", re.ASCII)
_STATUS_WORDS = ("preview", "test", "spam")


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """The hexadecimal HMAC-SHA512 of `MSG`; a secret is the subscription's `sharedKey`. No time is signed."""
    fields = _fields(delivery.body)
    message = fields.get("MSG", b"")
    signature = fields.get("HMAC", b"").decode("latin-1").lower()
    if not matches(signature, secrets, lambda secret: hmac.digest(secret.encode(), message, sha512).hex()):
        raise Forged("HMAC is missing or wrong")


def parse(delivery: Delivery, form: FormMapping) -> Iterable[FetchRequest]:
    """Events have no id of their own: a response that is completed at another time is another event."""
    fields = _fields(delivery.body)
    event = json_object(fields.get("MSG", b""))
    if b".completedResponse." not in fields.get("Topic", b""):
        return
    survey, response = required(event, "SurveyID", str), required(event, "ResponseID", str)
    event_id = f"{response} {optional(event, 'CompletedDate', str)}"
    yield FetchRequest(survey, event_id, {"survey": survey, "response": response})


async def fetch(api: Api, ids: Mapping[str, str]) -> list[Submission]:
    """Paths: `values.QID` and `values.NAME` (questions, embedded data), `labels.QID`, `labels.NAME`, `preview`."""
    answer = await api.get("surveys", ids.get("survey", ""), "responses", ids.get("response", ""))
    sent = optional(answer, "result", dict)
    values = optional(sent, "values", dict)
    submitted, recorded = values.get("endDate"), values.get("recordedDate")
    if not isinstance(submitted, str) or not isinstance(recorded, str):
        raise Transient("its answer has no dates")
    labels = optional(sent, "labels", dict)
    preview = values.get("distributionChannel") == "preview"
    content = {"values": values, "labels": labels, "preview": preview}
    test = preview or _is_test(values.get("status")) or _is_test(labels.get("status"))
    finished = values.get("finished") not in (0, False)
    submission = Submission(
        ids["survey"], ids["response"], submitted, recorded, content=content, finished=finished, test=test
    )
    return [submission]


def _is_test(status: Any) -> bool:
    """Whether a response's status, its number or its word, is that of a preview, a test or spam."""
    text = str(status).strip().lower()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text) & _NO_ANSWER_STATUS != 0
    return any(word in text.split() for word in _STATUS_WORDS)


def token(secret: str) -> dict[str, str]:
    """A header of its own."""
    return {"X-API-TOKEN": secret}


def _fields(body: bytes) -> dict[str, bytes]:
    """The fields of an URL-encoded form, the first of each name, byte for byte."""
    try:
        pairs = parse_qsl(body.decode("latin-1"), encoding="latin-1", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Malformed("too many fields") from None
    return {name: value.encode("latin-1") for name, value in reversed(pairs)}


# The export.


def items(fields: dict[str, Any], form: FormMapping, options: FileOptions) -> Iterable[ExportItem]:
    """An item is the `result` that the API answers."""
    return parse_as_answer(
        fetch, {"result": fields}, {"survey": options.form, "response": scalar(fields, "responseId")}
    )


def titles(header: Header) -> Header:
    """The name that the survey's maker chose, and the id by which the API knows it.

    In the oldest format the first columns are called V1 to V10, and their names stand in the second row.
    """
    below = header[1] if len(header) > 1 else header[0]
    names = [text if _NUMBERED.fullmatch(name) else name for name, text in zip(header[0], below, strict=True)]
    return [[name, str(column.get("ImportId") or "")] for name, column in zip(names, _import_ids(header), strict=True)]


def zone(header: Header) -> tzinfo | None:
    """The zone of all times, None if the file does not name one."""
    zones = {column["timeZone"] for column in _import_ids(header) if isinstance(column.get("timeZone"), str)}
    try:
        return ZoneInfo(zones.pop()) if len(zones) == 1 else None
    except (KeyError, ValueError, OSError):  # it is named in another way
        return None


def _import_ids(header: Header) -> list[dict[str, Any]]:
    """The JSON of each column, which may be written with apostrophes; empty where the file has no such row."""
    for row in header[1:]:
        if any("ImportId" in cell for cell in row):
            return [_import_id(cell) for cell in row]
    return [{} for _ in header[0]]


def _import_id(cell: str) -> dict[str, Any]:
    for text in (cell, cell.replace("'", '"')):
        with suppress(codec.NotJson):
            return column if isinstance(column := codec.loads(text), dict) else {}
    return {}


def _is_test_row(content: Mapping[str, Any]) -> bool:
    values = content.get("values", {})
    channel = values.get("distributionChannel", values.get("DistributionChannel"))
    return channel == "preview" or any(_is_test(values.get(name)) for name in ("Status", "status"))


_EXPORT = Export(
    table=Table(
        response_id=["ResponseId", "ResponseID"],
        submitted_at=["EndDate"],
        updated_at=["RecordedDate"],
        header=3,
        titles=titles,
        zone=zone,
        is_test=_is_test_row,
        reads=["values.Status", "values.status", "values.DistributionChannel", "values.distributionChannel"],
        rest=["values"],
    ),
    items=items,
    lists=["responses"],
)

PLATFORM = Platform(webhook=Webhook(verify, parse), answers=Answers("", 300, fetch, token=token), export=_EXPORT)
