"""The only place where JSON (and msgpack, for internal topics) is read or written.

msgspec decodes typed input and encodes our own types: 1.8 µs to decode and check a 400-byte response where orjson
alone needs 2.9 to build the dict. orjson loads foreign JSON whose shape is not known and writes plain dicts.
"""

import json
import re
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, TypeVar

import msgspec
import orjson

from npsflow.schemas.response import Response

T = TypeVar("T")

Undecodable = (msgspec.MsgspecError, RecursionError)
"""What `decode_response` raises for anything but a well-formed response (a too deep one included)."""

decode_response: Callable[[bytes], Response] = msgspec.json.Decoder(Response).decode
encode: Callable[[Any], bytes] = msgspec.json.Encoder(order="deterministic").encode
"""Typed events to JSON; keys of free dicts sorted, so that equal content gives equal bytes."""

pack: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
unpack: Callable[[bytes], Any] = msgspec.msgpack.Decoder().decode


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """From JSON to one of our types, unknown fields ignored; it raises `Undecodable`."""
    return msgspec.json.Decoder(kind).decode


def unpacker(kind: type[T]) -> Callable[[bytes], T]:
    """The same from msgpack."""
    return msgspec.msgpack.Decoder(kind).decode


class NotJson(ValueError):
    """Not JSON at all; `too_deep` when only its nesting is beyond what is read."""

    def __init__(self, too_deep: bool) -> None:
        super().__init__("nested too deep" if too_deep else "not JSON")
        self.too_deep = too_deep


def loads(data: bytes | str) -> Any:
    """JSON of any shape to Python. Duplicate keys: the last stands. Raises NotJson."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise NotJson("depth limit" in str(error)) from None


class NotFinite:
    """Stands for a number that JSON does not have, or that is too large for a double; `text` names it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def loads_lenient(data: bytes | str) -> Any:
    """JSON as others write it: `loads`, and what that refuses is mended where it can be.

    Half of a character becomes U+FFFD; NaN, Infinity and numbers beyond a double are NotFinite. Raises NotJson.
    """
    try:
        return loads(data)
    except NotJson as error:
        if error.too_deep:
            raise
    mended = with_whole_characters(data if isinstance(data, bytes) else data.encode())
    try:
        return loads(mended)
    except NotJson:
        if not _NOT_FINITE.search(mended):
            raise
    try:
        return _not_strict.decode(mended.decode())
    except RecursionError:
        raise NotJson(too_deep=True) from None
    except ValueError:
        raise NotJson(too_deep=False) from None


def with_whole_characters(data: bytes) -> bytes:
    """The same JSON, with U+FFFD for each escape that is half of a character."""
    return _LONE_SURROGATE.sub(lambda escape: escape[0] if escape[1] is None else rb"\ufffd", data)


# Platforms that cut a comment by UTF-16 units leave half of an emoji at its end, which is no JSON. A pair and any other
# escape are passed over; the group is a half alone.
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
_NOT_FINITE = re.compile(rb"NaN|Infinity|[eE]\+?\d{3}|\d{309}")  # without it, no number in JSON is beyond a double


def _integer(text: str) -> Any:
    return int(text) if len(text) < 20 else _float(text)


def _float(text: str) -> Any:
    number = float(text)
    return number if isfinite(number) else NotFinite("Infinity" if number > 0 else "-Infinity")


_not_strict = json.JSONDecoder(parse_constant=NotFinite, parse_float=_float, parse_int=_integer)


def dumps_lenient(value: Any) -> str:
    """The text that `loads_lenient` reads, on one line."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # of a number that JSON does not have, or a very large one
        return json.dumps(value, ensure_ascii=False, default=lambda number: float(number.text))


def dumps(value: Any, *, indent: bool = False) -> bytes:
    """Plain Python (or our types) to JSON, keys sorted."""
    options = orjson.OPT_SORT_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    return orjson.dumps(value, default=msgspec.to_builtins, option=options)


def joined(first: bytes, *others: bytes) -> bytes:
    """One flat JSON object with the fields of all these encoded objects, in their order.

    None may be empty, and no two may have a key in common: neither is checked.
    """
    for other in others:
        first = first[:-1] + b"," + other[1:]
    return first


def convert(value: Any, kind: Any) -> Any:
    """Check plain Python against a type, strictly. Raises msgspec.ValidationError."""
    return msgspec.convert(value, kind)


def parts(data: bytes, lists: Sequence[str]) -> list[bytes]:
    """The JSON of each item of a list, or of the list that an object has under one of these names, else of itself.

    These are views of `data`: as Python objects it would take several times its size. Raises NotJson.
    """
    try:
        if _is_list(data):
            return _raw_list(data)
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        for name in lists:
            if name in fields and _is_list(memoryview(fields[name])):
                return _raw_list(fields[name])
    except Undecodable as error:
        raise NotJson(isinstance(error, RecursionError)) from None
    return [data]


def items_of(value: Any, lists: Sequence[str]) -> list[Any]:
    """The same of a document that is read already."""
    if isinstance(value, list):
        return value
    listed = (value[name] for name in lists if name in value) if isinstance(value, dict) else ()
    return next((items for items in listed if isinstance(items, list)), [value])


def _is_list(data: bytes | memoryview) -> bool:
    return bytes(data[:100]).lstrip().startswith(b"[")


def _raw_list(data: bytes) -> list[bytes]:
    found: list[Any] = msgspec.json.decode(data, type=list[msgspec.Raw])
    return found
