"""Reads one record: a version of a response, or why it is a dead letter."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from .model import MINUTE, SCALES, Fields, Record, Version

_MAX_DEPTH = 1024
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(?:(:\d\d)(\.\d+)?)?([Zz]|[+-]\d\d:?[0-5]\d)(?:\[[A-Za-z0-9_/+:-]{1,64}\])?"
)
_MAX_IDENTIFIER, _MAX_TEXT, _MAX_COMMENT, _MAX_ATTRIBUTES = 256, 128, 16_384, 20
_BEGINNINGS = (
    ("not_utf8", rb"\xff\xfe|\xfe\xff|[{\[]\0|\0[{\[]", 2),  # UTF-16
    ("compressed", rb"\x1f\x8b", 18),
    ("compressed", rb"\x28\xb5\x2f\xfd|\x04\x22\x4d\x18", 4),
    ("compressed", rb"\xff\x06\0\0sNaPpY", 10),
    ("compressed", rb"\x82SNAPPY\0|x[\x01\x9c\xda]", 8),
    ("schema_prefix", rb"\0", 6),
    ("schema_prefix", rb"\x01", 18),
    ("schema_prefix", rb"\x03[\0\x05]", 19),
    ("binary", rb"Obj\x01", 4),
    ("binary", rb"\xc3\x01", 10),
    ("binary", rb".?[\0-\x08\x0b\x0c\x0e-\x1f]", 1),
)
_ENVELOPES = ({"schema", "payload"}, {"specversion", "data"}, {"op", "after"})
_HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")
_DROPPED = object()


class DeadError(Exception):
    """The record is a dead letter; the reason is the only argument."""


def read(record: Record) -> Version:
    """Give the version that the record holds; raises DeadError."""
    fields = _decode(record.value)
    identity = f"{_identifier(fields, 'source')}/{_identifier(fields, 'response_id')}"
    origin = (record.timestamp, record.partition, record.offset)
    if fields.get("deleted") is True:
        updated, content = record.timestamp + 10 * MINUTE, Fields(deleted=True)
        time = _updated(fields.get("updated_at"))
        if isinstance(time, datetime):
            updated, content["updated_at"] = _not_ahead(_milliseconds(time), record), time.isoformat()
        return Version(identity, (updated, *origin), record.timestamp, content)
    content = _response(fields)
    times: list[datetime] = [content[name] for name in ("submitted_at", "updated_at") if name in content]
    submitted, *later = (_not_ahead(_milliseconds(time), record) for time in times)
    sent = {}
    for name, time, ms in zip(("submitted_at", "updated_at"), times, (submitted, *later), strict=False):
        sent[name] = time.isoformat()
        ahead = ms != _milliseconds(time)
        content[name] = (datetime.fromtimestamp(ms / 1000, UTC) if ahead else time).isoformat()
    return Version(identity, ((later or [submitted])[0], *origin), submitted, content, sent)


def _decode(value: bytes | None) -> Fields:
    """Give the JSON object in the value."""
    if not value:
        raise DeadError("null_value")
    if len(value) > 1_048_576:
        raise DeadError("too_large")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise DeadError(_binary(value) or "not_utf8") from None
    text = text.removeprefix("\ufeff")
    if _depth(text) > _MAX_DEPTH:
        raise DeadError("too_deep")
    try:
        fields = json.loads(text, parse_constant=_not_finite, parse_float=_finite)
    except RecursionError:
        raise DeadError("too_deep") from None
    except ValueError:
        raise DeadError(_binary(text.encode()) or _lines(text) or "not_json") from None
    if not isinstance(fields, dict):
        raise DeadError(_not_object(fields))
    if "response_id" not in fields and any(fields.keys() >= names for names in _ENVELOPES):
        raise DeadError("envelope")
    return _whole(fields) if "\\ud" in text.lower() else fields


def _binary(value: bytes) -> str | None:
    """What a value is that is no text."""
    for reason, begin, least in _BEGINNINGS:
        if len(value) >= least and re.match(begin, value, re.DOTALL):
            return reason
    return None


def _lines(text: str) -> str | None:
    """Whether a value is JSON Lines."""
    lines = [line for line in text.split("\n") if line.strip()]
    return "several_responses" if len(lines) > 1 and _is_object(lines[0]) and lines[1].lstrip()[0] == "{" else None


def _not_object(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "several_responses"
    return "double_encoded" if isinstance(value, str) and _is_object(value) else "not_object"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, parse_constant=_refuse), dict)
    except (ValueError, RecursionError):
        return False


def _whole(fields: Fields) -> Fields:
    """Give the fields with a replacement character for each half of one; an identifier may hold none."""
    text = json.dumps(fields, ensure_ascii=False, default=lambda _: float("nan"))
    if not _HALF_A_CHARACTER.search(text):
        return fields
    whole: Fields = json.loads(_HALF_A_CHARACTER.sub("\ufffd", text), parse_constant=_not_finite)
    if any("\ufffd" in str(whole.get(name)) for name in ("source", "response_id", "survey_id")):
        raise DeadError("invalid_identifier")
    return whole


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


def _not_finite(constant: str) -> object:
    """Of a type that no field has: it costs the field that it is in."""
    return object()


def _finite(text: str) -> object:
    number = float(text)
    return number if abs(number) < float("inf") else object()


def _identifier(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if value is None:
        raise DeadError("missing_field")
    if not isinstance(value, str) or not 1 <= len(value) <= 256 or (name == "source" and "/" in value):
        raise DeadError("invalid_identifier")
    return value


def _response(fields: Fields) -> Fields:
    """Give all known fields of a response, what is wrong but not required left out; times are datetimes."""
    if any(fields.get(name) is None for name in ("survey_id", "metric", "score", "submitted_at")):
        raise DeadError("missing_field")
    content = {"survey_id": _identifier(fields, "survey_id"), "metric": fields["metric"]}
    content["score"] = _integer(fields["score"])
    if not isinstance(content["metric"], str) or content["metric"] not in SCALES:
        raise DeadError("unknown_metric")
    low, high = SCALES[content["metric"]]
    scale = fields.get("scale")
    if scale is not None:
        ends = [_integer(scale.get(end)) for end in ("min", "max")] if isinstance(scale, dict) else [None]
        if None in ends:
            raise DeadError("invalid_scale")
        content["scale"] = tuple(ends)
        if content["scale"] != (low, high):
            raise DeadError("unknown_scale")
    if content["score"] is None:
        raise DeadError("invalid_score")
    if not low <= content["score"] <= high:
        raise DeadError("score_out_of_range")
    content["submitted_at"] = _time(fields["submitted_at"])
    return content | _parts(fields, _OPTIONAL)


def _integer(raw: Any) -> int | None:
    """The whole number, 9.0 is 9; None for anything else."""
    return int(raw) if type(raw) is int or (type(raw) is float and raw == int(raw)) else None


def _parts(fields: Fields, readers: dict[str, Callable[[Any], object]]) -> Fields:
    """The known fields among these, without those that have to be dropped."""
    kept = {name: readers[name](raw) for name, raw in fields.items() if raw is not None and name in readers}
    return {name: value for name, value in kept.items() if value is not _DROPPED}


# Readers of optional fields: the value as it was sent -> what is kept of it, or _DROPPED.


def _text(raw: Any) -> object:
    return raw[:_MAX_TEXT] if isinstance(raw, str) else _DROPPED


def _short(raw: Any) -> object:
    return raw if isinstance(raw, str) and 1 <= len(raw) <= _MAX_IDENTIFIER else _DROPPED


def _long(raw: Any) -> object:
    return raw.encode()[:_MAX_COMMENT].decode(errors="ignore") if isinstance(raw, str) else _DROPPED


def _number(raw: Any) -> object:
    return raw if type(raw) in (int, float) else _DROPPED


def _score(raw: Any) -> object:
    """Of an answer: whole numbers are integers, as long as a double can tell them apart."""
    return int(raw) if type(raw) is float and abs(raw) <= 2**53 and raw == int(raw) else _number(raw)


def _flag(raw: Any) -> object:
    return raw if isinstance(raw, bool) else _DROPPED


def _kind(raw: Any) -> object:
    return raw if raw in ("relationship", "transactional") else _DROPPED


def _updated(raw: Any) -> object:
    """A time of change; one up to 1970 was never set."""
    try:
        time = _time(raw)
    except DeadError:
        return _DROPPED
    return time if _milliseconds(time) > 0 else _DROPPED


def _object(**readers: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda raw: _parts(raw, readers) if isinstance(raw, dict) else _DROPPED


def _answers(raw: Any) -> object:
    if not isinstance(raw, list):
        return _DROPPED
    return [_ANSWER(item) for item in raw if isinstance(item, dict)]


def _attributes(raw: Any) -> object:
    if not isinstance(raw, dict):
        return _DROPPED
    flat = {name[:_MAX_TEXT]: value for name, value in raw.items() if isinstance(value, str | int | float | bool)}
    return dict(list(flat.items())[:_MAX_ATTRIBUTES])


def _each(reader: Callable[[Any], object], names: str) -> dict[str, Callable[[Any], object]]:
    return dict.fromkeys(names.split(), reader)


_ANSWER = _object(question_id=_short, topic=_text, score=_score, text=_long)
_OPTIONAL = {
    **_each(_text, "language channel journey_stage touchpoint department team agent_id product"),
    **_each(_text, "survey_name survey_version"),
    **_each(_long, "comment question response_url"),
    **_each(_flag, "deleted contact_requested test internal"),
    "updated_at": _updated,
    "survey_kind": _kind,
    "invitation_id": _short,
    "answers": _answers,
    "attributes": _attributes,
    "reference": _object(type=_text, id=_short, url=_long),
    "customer": _object(
        **_each(_short, "id account_id primary_contact name email phone"),
        **_each(_text, "tier renews_at"),
        value=_number,
        contact_allowed=_flag,
    ),
}


def _time(text: object) -> datetime:
    """A moment with its offset, rounded to microseconds.

    RFC 3339; a blank for the T, no colon in the offset, no seconds and the name of a zone behind it will do, too.
    """
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise DeadError("invalid_time")
    day, minute, second, fraction, zone = match.groups()
    digits = (fraction or ".")[1:8].ljust(7, "0")
    try:
        return datetime.fromisoformat(f"{day}T{minute}{second or ':00'}{zone.upper()}") + timedelta(
            microseconds=int(digits[:6]) + (digits[6] >= "5")
        )
    except (ValueError, OverflowError):
        raise DeadError("invalid_time") from None


def _milliseconds(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _not_ahead(time: int, record: Record) -> int:
    return record.timestamp if time > record.timestamp + 10 * MINUTE else time
