"""From the bytes of one record to a response or a deletion, or a refusal with its reason.

A good record takes the fast path: decoded and checked in one step. Whatever that step does not like is read again here,
field by field: only an unusable identity, metric, score or time refuses a record; any other trouble costs the one
field, which is dropped and named in `warnings`.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
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
    Identifier,
    Metric,
    Reference,
    Response,
    Text,
    Time,
)
from npsflow.schemas.response import Scale as AnsweredScale
from npsflow.schemas.sealed import is_sealed
from npsflow.schemas.times import to_datetime
from npsflow.schemas.topics import MAX_INPUT
from npsflow.streams.classify import unreadable
from npsflow.streams.scoring.scores import Scale, Scales

_METRICS = frozenset(get_args(Metric))
_REQUIRED = ("survey_id", "metric", "score", "submitted_at")
_TYPES = {f.name: f.type for f in msgspec.structs.fields(Response)}
_MAX_ATTRIBUTES = 20
_IDENTIFIERS = ("source", "response_id", "survey_id")

_NEVER = to_datetime(0)  # Go writes the year 1 for a time that is not set, others 1970
_NOT_FINITE = {"nan", "inf", "infinity"}
_JAVA = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d)(:\d\d(?:\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)(?:\[[\w/+:-]{1,64}\])?", re.ASCII
)
_REPLACEMENT = "\ufffd"
_TOMBSTONE = (
    "the record has no value: where producers delete responses by that, set topics.tombstones_delete = true, then "
    "replay it"
)

Lenient = Callable[[Any, str, list[str]], Any]
"""Reads one optional field: (value, name, warnings) -> what is kept, or None where it has to be dropped."""

Read = tuple[Response | Deletion, Scale | None, tuple[str, ...]]
"""What a record says; its scale, None for a deletion; and the names of fields that were dropped or cut."""


def read(value: bytes | None, scales: Scales) -> Read:
    """The response or deletion in `value`. Raises RefusedRecord."""
    if not value:
        raise RefusedRecord("null_value", "the value is empty" if value is not None else _TOMBSTONE)
    if len(value) > MAX_INPUT:
        raise RefusedRecord("too_large", f"{len(value)} bytes are more than {MAX_INPUT}")
    if not value.isascii():
        try:
            str(value, "utf-8")
        except UnicodeDecodeError as error:
            plain = RefusedRecord("not_utf8", f"byte {error.start} is not UTF-8")
            raise unreadable.name_bytes(value) or plain from None
    try:
        response = codec.decode_response(value)
    except codec.Undecodable:
        return _read_leniently(value, scales)
    if response.deleted or "/" in response.source or len(value) > MAX_COMMENT:
        return _read_leniently(value, scales)
    if (response.answers is not None or response.updated_at is not None) and _is_odd(response):
        return _read_leniently(value, scales)
    scale = scales.defaults[response.metric]
    if response.scale is not None:
        scale = _scale(response.metric, response.scale, scales, response.source)
    if not scale.low <= response.score <= scale.high:
        raise _out_of_range(scale, response.source)
    return response, scale, ()


def read_record(key: bytes | None, value: bytes | None, scales: Scales, tombstones_delete: bool) -> Read:
    """The same, and where the settings say so the deletion that a record without a value is. Raises RefusedRecord."""
    return read_tombstone(key) if value is None and tombstones_delete else read(value, scales)


def _scale(metric: str, answered: AnsweredScale, scales: Scales, source: str) -> Scale:
    scale = scales.find(metric, answered.min, answered.max)
    if scale is None:
        message = f"no thresholds are set for {metric} on {answered.min}-{answered.max}"
        raise RefusedRecord("unknown_scale", message, source)
    return scale


def _out_of_range(scale: Scale, source: str) -> RefusedRecord:
    return RefusedRecord("score_out_of_range", f"score is not within {scale.name}", source)


def read_tombstone(key: bytes | None) -> Read:
    """The deletion that a record without a value is. Raises RefusedRecord."""
    try:
        source, _, response_id = (key or b"").decode().partition("/")
    except UnicodeDecodeError:
        source = response_id = ""
    if not (1 <= len(source) <= MAX_IDENTIFIER and 1 <= len(response_id) <= MAX_IDENTIFIER):
        raise RefusedRecord("null_value", "the record has no value, and its key is not source/response_id")
    return Deletion(response_id=response_id, source=source), None, ()


def _is_odd(response: Response) -> bool:
    """Whether a score may be a whole float, which is taken as an integer, or the time of change was never set."""
    if response.updated_at is not None and response.updated_at <= _NEVER:
        return True
    return response.answers is not None and float in [type(answer.score) for answer in response.answers]


# The lenient path, field by field.


def _read_leniently(value: bytes, scales: Scales) -> Read:
    fields, warnings = _json_object(value)
    source = _identifier(fields, "source", None)
    if "/" in source:
        raise RefusedRecord("invalid_identifier", "source contains a slash")
    response_id = _identifier(fields, "response_id", source)
    if fields.get("deleted") is True:
        optional = _keep_readable(fields, _LENIENT_DELETION, "", warnings)
        return Deletion(response_id=response_id, source=source, **optional), None, tuple(warnings)
    response, scale = _lenient_response(fields, source, response_id, scales, warnings)
    return response, scale, tuple(warnings)


def _json_object(value: bytes) -> tuple[dict[str, Any], list[str]]:
    """The fields of a JSON object, and the warnings so far: what was mended in it before it could be read."""
    warnings: list[str] = []
    if value.startswith(BOM_UTF8):
        value = value.removeprefix(BOM_UTF8)
        warnings.append("byte_order_mark")
    try:
        try:
            fields = codec.loads(value)
        except codec.NotJson:
            fields = _loads_mended(value, warnings)
    except codec.NotJson as error:
        if error.too_deep:
            raise RefusedRecord("too_deep", str(error)) from None
        raise unreadable.name_text(value) or RefusedRecord("not_json", str(error)) from None
    if not isinstance(fields, dict):
        raise unreadable.name_json(fields)
    if (envelope := unreadable.name_envelope(fields)) is not None:
        raise envelope
    if "lone_surrogate" in warnings:
        for name in _IDENTIFIERS:
            if _REPLACEMENT in str(fields.get(name)):
                raise RefusedRecord("invalid_identifier", f"{name} holds half of a character")
    return fields, warnings


def _loads_mended(value: bytes, warnings: list[str]) -> Any:
    """JSON that is not strict: with halves of characters, or with numbers that are none. Raises codec.NotJson."""
    mended = codec.with_whole_characters(value)
    if mended != value:
        warnings.append("lone_surrogate")
    return codec.loads_lenient(mended)


def _lenient_response(
    fields: dict[str, Any], source: str, response_id: str, scales: Scales, warnings: list[str]
) -> tuple[Response, Scale]:
    """The response and its scale; adds to `warnings`. What is wrong first refuses it, in the order below."""
    for name in _REQUIRED:
        if fields.get(name) is None:
            raise RefusedRecord("missing_field", f"{name} is missing", source)
    survey_id = _identifier(fields, "survey_id", source)
    metric = fields["metric"]
    if not isinstance(metric, str) or metric not in _METRICS:
        raise RefusedRecord("unknown_metric", "metric is not one of " + ", ".join(sorted(_METRICS)), source)
    optional = _keep_readable(fields, _LENIENT, "", warnings)
    answered = None if fields.get("scale") is None else _answered_scale(fields["scale"], source)
    scale = scales.defaults[metric] if answered is None else _scale(metric, answered, scales, source)
    response = Response(
        response_id=response_id,
        source=source,
        survey_id=survey_id,
        metric=metric,  # type: ignore[arg-type]
        score=_score(fields["score"], scale, source),
        submitted_at=_time(fields["submitted_at"], "submitted_at", source),
        scale=answered,
        **optional,
    )
    return response, scale


def _keep_readable(
    fields: dict[str, Any], readers: Mapping[str, Lenient], prefix: str, warnings: list[str]
) -> dict[str, Any]:
    """What each reader makes of its field, None for a field that is dropped; each is named in `warnings` once."""
    kept = {}
    for name, reader in readers.items():
        value = fields.get(name)
        if value is not None:
            before = len(warnings)
            kept[name] = reader(value, prefix + name, warnings)
            if kept[name] is None and len(warnings) == before:
                warnings.append(prefix + name)
    return kept


def _identifier(fields: dict[str, Any], name: str, source: str | None) -> str:
    value = fields.get(name)
    if value is None:
        raise RefusedRecord("missing_field", f"{name} is missing", source)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_IDENTIFIER:
        raise RefusedRecord("invalid_identifier", f"{name} is not a text of 1 to {MAX_IDENTIFIER} characters", source)
    return value


def _whole(value: Any) -> int | None:
    """The integer that a number is, 9 of 9.0 too; None of anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _answered_scale(value: Any, source: str) -> AnsweredScale:
    """A scale that cannot be read says that the score means something else than on the metric's own: it is refused."""
    if isinstance(value, dict):
        low, high = _whole(value.get("min")), _whole(value.get("max"))
        if low is not None and high is not None:
            return AnsweredScale(min=low, max=high)
    raise RefusedRecord("invalid_scale", 'scale is not {"min": an integer, "max": an integer}', source)


def _score(value: Any, scale: Scale, source: str) -> int:
    whole = _whole(value)
    if whole is None:
        raise RefusedRecord("invalid_score", f"score is {_kind(value)}, not an integer", source)
    if not scale.low <= whole <= scale.high:
        raise _out_of_range(scale, source)
    return whole


def _kind(value: Any) -> str:
    """What it is instead of a number; NaN, also of a producer that made a text of it, by that name."""
    text = str(value).strip() if isinstance(value, codec.NotFinite | str) else ""
    return text if text.lstrip("+-").lower() in _NOT_FINITE else f"a {type(value).__name__}"


def _time(value: Any, name: str, source: str) -> Any:
    try:
        return _moment(value)
    except msgspec.ValidationError:
        raise RefusedRecord("invalid_time", f"{name} is not an RFC 3339 time with an offset", source) from None


def _moment(value: Any) -> Any:
    """RFC 3339; as Java prints it too: without seconds that are zero, and with the name of the zone behind the offset.

    Raises msgspec.ValidationError.
    """
    if isinstance(value, str) and (java := _JAVA.fullmatch(value)):
        value = f"{java[1]}{java[2] or ':00'}{java[3]}"
    return codec.convert(value, Time)


def _time_of_change(value: Any, name: str, warnings: list[str]) -> Any:
    """None where it is no time, or nobody has set it: any other version would be newer than that."""
    try:
        moment = _moment(value)
    except msgspec.ValidationError:
        return None
    return moment if moment > _NEVER else None


def _of_type(kind: Any) -> Lenient:
    def reader(value: Any, name: str, warnings: list[str]) -> Any:
        try:
            return codec.convert(value, kind)
        except msgspec.ValidationError:
            return None

    return reader


def _number(value: Any, name: str, warnings: list[str]) -> int | float | None:
    """The score of an answer: a whole one is an integer, as far as a double tells one from the next."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= 1 << 53 else value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any, name: str, warnings: list[str]) -> str | None:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        warnings.append(name)
        return value[:MAX_TEXT]
    return value if isinstance(value, str) else None


def _comment(value: Any, name: str, warnings: list[str]) -> str | None:
    if not isinstance(value, str):
        return None
    if is_sealed(value):  # the text was cut before
        return value
    if len(encoded := value.encode()) > MAX_COMMENT:
        warnings.append(name)
        return encoded[:MAX_COMMENT].decode(errors="ignore")
    return value


def _contact(value: Any, name: str, warnings: list[str]) -> str | None:
    sealed = isinstance(value, str) and is_sealed(value)
    return str(value) if sealed else _identifier_reader(value, name, warnings)


def _parts(kind: type[msgspec.Struct], **more: Lenient) -> Lenient:
    """A reader of a struct; `more`: readers of fields that are not read by their type."""
    readers = {f.name: _reader(f.type) for f in msgspec.structs.fields(kind)} | more

    def reader(value: Any, name: str, warnings: list[str]) -> Any:
        return kind(**_keep_readable(value, readers, f"{name}.", warnings)) if isinstance(value, dict) else None

    return reader


def _answers(value: Any, name: str, warnings: list[str]) -> Any:
    if not isinstance(value, list):
        return None
    answers = [answer for item in value if (answer := _answer(item, name, warnings)) is not None]
    if len(answers) < len(value) and name not in warnings:
        warnings.append(name)
    return answers


def _attributes(value: Any, name: str, warnings: list[str]) -> Any:
    if not isinstance(value, dict):
        return None
    flat = {k[:MAX_TEXT]: v for k, v in value.items() if isinstance(v, str | int | float | bool)}
    kept = dict(list(flat.items())[:_MAX_ATTRIBUTES])
    if kept != value:
        warnings.append(name)
    return kept


def _reader(kind: Any) -> Lenient:
    options = get_args(kind)
    if Text in options:
        return _text
    if Comment in options:
        return _comment
    return _of_type(kind)


_identifier_reader = _of_type(Identifier)
_answer = _parts(Answer, score=_number)
_customer = _parts(Customer, name=_contact, email=_contact, phone=_contact)
_LENIENT: dict[str, Lenient] = {
    name: _reader(kind) for name, kind in _TYPES.items() if name not in (*_REQUIRED, "source", "response_id", "scale")
} | {"customer": _customer, "reference": _parts(Reference), "answers": _answers, "attributes": _attributes}
_LENIENT["updated_at"] = _time_of_change
_LENIENT_DELETION = {"updated_at": _LENIENT["updated_at"]}
