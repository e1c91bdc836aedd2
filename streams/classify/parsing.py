"""From the bytes of one record to a response or a deletion, or a refusal with its reason.

A good record takes the fast path: decoded and checked in one step. Whatever that step does not like is read again here,
field by field: only an unusable identity, metric, score or time refuses a record; any other trouble costs the one
field, which is dropped and named in `warnings`.
"""

import re
from collections.abc import Callable
from typing import Any, get_args

import msgspec

from npsflow.schemas import codec
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.response import (
    MAX_COMMENT,
    MAX_IDENTIFIER,
    MAX_TEXT,
    Answer,
    Comment,
    Customer,
    Deletion,
    Metric,
    Reference,
    Response,
    Text,
    Time,
)
from npsflow.schemas.response import Scale as AnsweredScale
from npsflow.schemas.topics import MAX_INPUT
from npsflow.streams.scoring.scores import Scale, Scales

_METRICS = frozenset(get_args(Metric))
_REQUIRED = ("survey_id", "metric", "score", "submitted_at")
_TYPES = {f.name: f.type for f in msgspec.structs.fields(Response)}
_MAX_ATTRIBUTES = 20
_IDENTIFIERS = ("source", "response_id", "survey_id")

# Platforms that cut a comment by UTF-16 units leave half of an emoji at its end, which is no JSON. A pair and any other
# escape are passed over; the group is a half alone.
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_REPLACEMENT = "\ufffd"


Read = tuple[Response | Deletion, Scale | None, tuple[str, ...]]
"""What a record says; its scale, None for a deletion; and the names of fields that were dropped or cut."""


def read(value: bytes | None, scales: Scales) -> Read:
    """The response or deletion in `value`. Raises RefusedRecord."""
    if not value:
        raise RefusedRecord("null_value", "the record has no value")
    if len(value) > MAX_INPUT:
        raise RefusedRecord("too_large", f"{len(value)} bytes are more than {MAX_INPUT}")
    if not value.isascii():
        try:
            str(value, "utf-8")
        except UnicodeDecodeError as error:
            raise RefusedRecord("not_utf8", f"byte {error.start} is not UTF-8") from None
    try:
        response = codec.decode_response(value)
    except codec.Undecodable:
        return _read_leniently(value, scales)
    if response.deleted or "/" in response.source or len(value) > MAX_COMMENT:
        return _read_leniently(value, scales)
    scale = scales.defaults[response.metric]
    if response.scale is not None:
        scale = _scale(response.metric, response.scale, scales, response.source)
    if not scale.low <= response.score <= scale.high:
        raise _out_of_range(scale, response.source)
    return response, scale, ()


def _scale(metric: str, answered: AnsweredScale, scales: Scales, source: str) -> Scale:
    found = scales.find(metric, answered.min, answered.max)
    if found is None:
        message = f"no thresholds are set for {metric} on {answered.min}-{answered.max}"
        raise RefusedRecord("unknown_scale", message, source)
    return found


def _out_of_range(scale: Scale, source: str) -> RefusedRecord:
    return RefusedRecord("score_out_of_range", f"score is not within {scale.name}", source)


def _read_leniently(value: bytes, scales: Scales) -> Read:
    warnings: list[str] = []
    try:
        try:
            fields = codec.loads(value)
        except codec.NotJson:
            fields = codec.loads(_LONE_SURROGATE.sub(_replace_lone, value))
            warnings.append("lone_surrogate")
    except codec.NotJson as error:
        raise RefusedRecord("too_deep" if error.too_deep else "not_json", str(error)) from None
    if not isinstance(fields, dict):
        raise RefusedRecord("not_object", "the JSON is not an object")
    if warnings:
        for name in _IDENTIFIERS:
            if _REPLACEMENT in str(fields.get(name)):
                raise RefusedRecord("invalid_identifier", f"{name} holds half of a character")
    source = _identifier(fields, "source", None)
    if "/" in source:
        raise RefusedRecord("invalid_identifier", "source contains a slash")
    response_id = _identifier(fields, "response_id", source)
    if fields.get("deleted") is True:
        updated_at = fields.get("updated_at")
        if updated_at is not None and (updated_at := _LENIENT["updated_at"](updated_at, "updated_at", [])) is None:
            warnings.append("updated_at")
        return Deletion(response_id, source, updated_at), None, tuple(warnings)
    for name in _REQUIRED:
        if fields.get(name) is None:
            raise RefusedRecord("missing_field", f"{name} is missing", source)
    survey_id = _identifier(fields, "survey_id", source)
    metric = fields["metric"]
    if not isinstance(metric, str) or metric not in _METRICS:
        raise RefusedRecord("unknown_metric", "metric is not one of " + ", ".join(sorted(_METRICS)), source)
    kept: dict[str, Any] = {}
    for name, lenient in _LENIENT.items():
        given = fields.get(name)
        if given is not None:
            before = len(warnings)
            kept[name] = lenient(given, name, warnings)
            if kept[name] is None and len(warnings) == before:
                warnings.append(name)
    answered = kept.get("scale")
    scale = _scale(metric, answered, scales, source) if answered is not None else scales.defaults[metric]
    score = fields["score"]
    if not isinstance(score, int) or isinstance(score, bool):
        raise RefusedRecord("invalid_score", f"score is a {type(score).__name__}, not an integer", source)
    if not scale.low <= score <= scale.high:
        raise _out_of_range(scale, source)
    submitted_at = _time(fields["submitted_at"], "submitted_at", source)
    response = Response(response_id, source, survey_id, metric, score, submitted_at, **kept)  # type: ignore[arg-type]
    return response, scale, tuple(warnings)


def _replace_lone(escape: re.Match[bytes]) -> bytes:
    return escape[0] if escape[1] is None else b"\\ufffd"


def _identifier(fields: dict[str, Any], name: str, source: str | None) -> str:
    given = fields.get(name)
    if given is None:
        raise RefusedRecord("missing_field", f"{name} is missing", source)
    if not isinstance(given, str) or not 1 <= len(given) <= MAX_IDENTIFIER:
        raise RefusedRecord("invalid_identifier", f"{name} is not a text of 1 to {MAX_IDENTIFIER} characters", source)
    return given


def _time(given: Any, name: str, source: str) -> Any:
    try:
        return codec.convert(given, Time)
    except msgspec.ValidationError:
        raise RefusedRecord("invalid_time", f"{name} is not an RFC 3339 time with an offset", source) from None


# One reader for each optional field: (given, name, warnings) -> value, or None where it has to be dropped.
Lenient = Callable[[Any, str, list[str]], Any]


def _of_type(kind: Any) -> Lenient:
    def reader(given: Any, name: str, warnings: list[str]) -> Any:
        try:
            return codec.convert(given, kind)
        except msgspec.ValidationError:
            return None

    return reader


def _text(given: Any, name: str, warnings: list[str]) -> str | None:
    if isinstance(given, str) and len(given) > MAX_TEXT:
        warnings.append(name)
        return given[:MAX_TEXT]
    return given if isinstance(given, str) else None


def _comment(given: Any, name: str, warnings: list[str]) -> str | None:
    if not isinstance(given, str):
        return None
    if len(encoded := given.encode()) > MAX_COMMENT:
        warnings.append(name)
        return encoded[:MAX_COMMENT].decode(errors="ignore")
    return given


def _parts(kind: type[msgspec.Struct]) -> Lenient:
    readers = {f.name: _reader(f.type) for f in msgspec.structs.fields(kind)}

    def reader(given: Any, name: str, warnings: list[str]) -> Any:
        if not isinstance(given, dict):
            return None
        kept = {}
        for part, lenient in readers.items():
            if (inner := given.get(part)) is not None:
                before = len(warnings)
                kept[part] = lenient(inner, f"{name}.{part}", warnings)
                if kept[part] is None and len(warnings) == before:
                    warnings.append(f"{name}.{part}")
        return kind(**kept)

    return reader


def _answers(given: Any, name: str, warnings: list[str]) -> Any:
    if not isinstance(given, list):
        return None
    answers = [answer for item in given if (answer := _answer(item, name, warnings)) is not None]
    if len(answers) < len(given) and name not in warnings:
        warnings.append(name)
    return answers


def _attributes(given: Any, name: str, warnings: list[str]) -> Any:
    if not isinstance(given, dict):
        return None
    flat = {k[:MAX_TEXT]: v for k, v in given.items() if isinstance(v, str | int | float | bool)}
    kept = dict(list(flat.items())[:_MAX_ATTRIBUTES])
    if kept != given:
        warnings.append(name)
    return kept


def _reader(kind: Any) -> Lenient:
    options = get_args(kind)
    if Text in options:
        return _text
    if Comment in options:
        return _comment
    return _of_type(kind)


_answer = _parts(Answer)
_LENIENT: dict[str, Lenient] = {
    name: _reader(kind) for name, kind in _TYPES.items() if name not in (*_REQUIRED, "source", "response_id")
} | {"customer": _parts(Customer), "reference": _parts(Reference), "answers": _answers, "attributes": _attributes}
