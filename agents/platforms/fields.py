"""Readers of JSON that platforms share."""

from collections.abc import Mapping
from typing import Any, TypeVar

from npsflow.agents.platforms.protocol import FileOptions, InvalidEntry, Malformed
from npsflow.agents.platforms.times import InvalidTime
from npsflow.schemas import codec

T = TypeVar("T")


def json_object(body: bytes) -> dict[str, Any]:
    """Raises Malformed when the body is no JSON object."""
    try:
        value = codec.loads_lenient(body)
    except codec.NotJson:
        raise Malformed("the body is not JSON") from None
    if not isinstance(value, dict):
        raise Malformed("the JSON is not an object")
    return value


def json_or_none(body: bytes) -> Any:
    """The JSON in a body, None where it is none."""
    try:
        return codec.loads_lenient(body)
    except codec.NotJson:
        return None


def required(fields: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """A field of this type. Raises Malformed when there is none."""
    value = fields.get(name)
    if not isinstance(value, kind):
        raise Malformed(f"{name} is missing")
    return value


def identifier(fields: Mapping[str, Any], name: str) -> str:
    """An id, which may be a number. Raises Malformed when there is none."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise Malformed(f"{name} is missing")
    return str(value)


def optional(fields: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """A field of this type; an empty one if it is missing or of another type."""
    value = fields.get(name)
    return value if isinstance(value, kind) else kind()


def objects(fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in a list, which may be missing."""
    return [item for item in optional(fields, name, list) if isinstance(item, dict)]


def scalar(fields: Mapping[str, Any], name: str) -> str:
    """A text or a number, as text; empty if there is none."""
    value = fields.get(name)
    return "" if value is None or isinstance(value, dict | list | bool | codec.NotFinite) else str(value)


def time(fields: Mapping[str, Any], name: str, options: FileOptions) -> str | None:
    """A time of an export in RFC 3339, None if there is none. Raises InvalidEntry when it cannot be read."""
    if not (text := scalar(fields, name)):
        return None
    try:
        return options.times.parse(text)
    except InvalidTime as error:
        raise InvalidEntry("invalid_time", f"{name}: {error}") from None
