"""Lines of the sample, and how they are written for `npsflow produce`."""

import base64
import json
from dataclasses import dataclass
from typing import Any, NoReturn

Fields = dict[str, Any]

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Line:
    """One record to produce; `kind` names what was planted."""

    key: bytes | None
    value: bytes | None
    kind: str


def line_to_json(line: Line) -> bytes:
    """Give the line as `npsflow produce` reads it: the response where that says all, else key and bytes."""
    if line.value is not None and b"\n" not in line.value and _contract_key(line.value) == line.key is not None:
        return line.value
    key = None if line.key is None else line.key.decode()
    value = None if line.value is None else base64.b64encode(line.value).decode()
    return json.dumps({"key": key, "value_base64": value}, ensure_ascii=False).encode()


def _contract_key(value: bytes) -> bytes | None:
    """The key of these bytes, None where the value is no JSON object with an identity."""
    try:
        fields = json.loads(value.decode(), parse_constant=_refuse)
        return key_of(fields) if isinstance(fields["source"], str) and isinstance(fields["response_id"], str) else None
    except (ValueError, RecursionError, KeyError, TypeError):
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def key_of(fields: Fields) -> bytes:
    """The key that the contract asks for."""
    return f"{fields['source']}/{fields['response_id']}".encode()


def dump(fields: Fields) -> bytes:
    """Compact JSON, as most platforms send it."""
    return _ENCODER.encode(fields).encode()
