"""What one record says: a version of a response, or why it is a dead letter."""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from .oracle_model import MINUTE, SCALES, Fields, Record, Version

_MAX_DEPTH = 1024
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_MAX_TEXT = 128
_SURVEY_KINDS = ("relationship", "transactional")
_TEXTS = (
    *("language", "channel", "journey_stage", "touchpoint", "department", "team", "agent_id", "product"),
    *("survey_name", "survey_version"),
)
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(("survey_kind", "comment", "question", "response_url", "invitation_id"), str),
    **dict.fromkeys(("contact_requested", "test", "internal"), bool),
    **dict.fromkeys(("customer", "attributes", "reference"), dict),
    "answers": list,
}
_CUSTOMER_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("id", "account_id", "tier", "renews_at", "primary_contact", "name", "email", "phone"), str),
    "value": (int, float),
    "contact_allowed": bool,
}


class DeadError(Exception):
    """The record is a dead letter; the reason is the only argument."""


def read(record: Record) -> Version:
    """Give the version that the record holds; raises DeadError."""
    fields = _decode(record.value)
    identity = f"{_identifier(fields, 'source')}/{_identifier(fields, 'response_id')}"
    origin = (record.timestamp, record.partition, record.offset)
    if fields.get("deleted") is True:
        updated: int = record.timestamp
        content: Fields = {"deleted": True}
        if fields.get("updated_at") is not None:
            updated = _not_ahead(_milliseconds(fields["updated_at"]), record)
            content["updated_at"] = updated
        return Version(identity, (updated, *origin), record.timestamp, content)
    content = _response(fields, record)
    submitted: int = content["submitted_at"]
    updated = content.get("updated_at", submitted)
    return Version(identity, (updated, *origin), submitted, content)


def _decode(value: bytes | None) -> Fields:
    """Give the JSON object in the value."""
    if not value:
        raise DeadError("null_value")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise DeadError("not_utf8") from None
    if _depth(text) > _MAX_DEPTH:
        raise DeadError("too_deep")
    try:
        fields = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise DeadError("too_deep") from None
    except ValueError:
        raise DeadError("not_json") from None
    if not isinstance(fields, dict):
        raise DeadError("not_object")
    return fields


def _depth(text: str) -> int:
    """How deep brackets outside strings are nested."""
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return 0
    depth = deepest = 0
    for bracket in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket, 0)
        deepest = max(deepest, depth)
    return deepest


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _identifier(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if value is None:
        raise DeadError("missing_field")
    if not isinstance(value, str) or not 1 <= len(value) <= 256 or (name == "source" and "/" in value):
        raise DeadError("invalid_identifier")
    return value


def _response(fields: Fields, record: Record) -> Fields:
    """Give all known fields of a response, what is wrong but not required left out."""
    if any(fields.get(name) is None for name in ("survey_id", "metric", "score", "submitted_at")):
        raise DeadError("missing_field")
    content = {"survey_id": _identifier(fields, "survey_id"), "metric": fields["metric"], "score": fields["score"]}
    if not isinstance(content["metric"], str) or content["metric"] not in SCALES:
        raise DeadError("unknown_metric")
    low, high = SCALES[content["metric"]]
    scale = fields.get("scale")
    if isinstance(scale, dict) and type(scale.get("min")) is int and type(scale.get("max")) is int:
        content["scale"] = (scale["min"], scale["max"])
        if content["scale"] != (low, high):
            raise DeadError("unknown_scale")
    if type(content["score"]) is not int:
        raise DeadError("invalid_score")
    if not low <= content["score"] <= high:
        raise DeadError("score_out_of_range")
    content["submitted_at"] = _not_ahead(_milliseconds(fields["submitted_at"]), record)
    with suppress(DeadError):
        content["updated_at"] = _not_ahead(_milliseconds(fields.get("updated_at")), record)
    content |= _cut(_of_type(fields, _TYPES), _TEXTS)
    if content.get("survey_kind") not in _SURVEY_KINDS:
        content.pop("survey_kind", None)
    if "comment" in content:
        content["comment"] = content["comment"].encode()[:16_384].decode(errors="ignore")
    if "customer" in content:
        content["customer"] = _cut(_of_type(content["customer"], _CUSTOMER_TYPES), ("tier", "renews_at"))
    if "reference" in content:
        content["reference"] = _cut(content["reference"], ("type",))
    if "answers" in content:
        content["answers"] = [_cut(item, ("topic",)) if isinstance(item, dict) else item for item in content["answers"]]
    if "attributes" in content:
        content["attributes"] = {name[:_MAX_TEXT]: value for name, value in content["attributes"].items()}
    return content


def _cut(fields: Fields, names: Iterable[str]) -> Fields:
    """The fields with the texts among them that are named cut to the longest allowed."""
    return fields | {name: fields[name][:_MAX_TEXT] for name in names if isinstance(fields.get(name), str)}


def _of_type(fields: Fields, types: Mapping[str, type | tuple[type, ...]]) -> Fields:
    """The fields that have the type they should have; no boolean is a number."""
    return {
        name: fields[name]
        for name, wanted in types.items()
        if isinstance(fields.get(name), wanted) and (wanted is bool or not isinstance(fields[name], bool))
    }


def _milliseconds(text: object) -> int:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise DeadError("invalid_time")
    try:
        return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    except ValueError:
        raise DeadError("invalid_time") from None


def _not_ahead(time: int, record: Record) -> int:
    return record.timestamp if time > record.timestamp + 10 * MINUTE else time
