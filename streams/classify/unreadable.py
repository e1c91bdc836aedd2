"""Names what a value is that is no response, so that whoever sends it learns what to change.

Nothing here decides whether a value is refused: it is asked only once that is certain.
"""

from typing import Any

from npsflow.schemas import codec
from npsflow.schemas.errors import Reason, RefusedRecord

_Named = tuple[Reason, str]

_UTF_16: _Named = "not_utf8", "the value is UTF-16: send UTF-8"
_COMPRESSED: _Named = (
    "compressed",
    "the value is compressed: send it plain, and let the producer's compression.type do it",
)
_PREFIX: _Named = (
    "schema_prefix",
    "the value begins with a schema registry's prefix (a byte and the id of a schema): send JSON, with a serializer "
    "that knows no registry",
)
_BINARY: _Named = "binary", "the value is binary (Avro, Protobuf or the like), not text: send JSON"
_SEVERAL: _Named = "several_responses", "the value holds several JSON objects: send one response a record"
_DOUBLE: _Named = "double_encoded", "the value is a JSON text in which the JSON stands: encode it once"
_ENVELOPE: _Named = (
    "envelope",
    "the response stands inside an envelope: send it alone (Kafka Connect: value.converter.schemas.enable=false; "
    "Debezium: unwrap it; CloudEvents: binary mode)",
)

_BEGINNINGS: tuple[tuple[bytes, int, _Named], ...] = (
    *((begin, 2, _UTF_16) for begin in (b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{", b"[\0", b"\0[")),
    (b"\x1f\x8b", 18, _COMPRESSED),  # gzip
    (b"\x28\xb5\x2f\xfd", 4, _COMPRESSED),  # zstd
    (b"\x04\x22\x4d\x18", 4, _COMPRESSED),  # lz4
    (b"\xff\x06\0\0sNaPpY", 10, _COMPRESSED),
    (b"\x82SNAPPY\0", 8, _COMPRESSED),
    (b"x\x01", 8, _COMPRESSED),  # zlib
    (b"x\x9c", 8, _COMPRESSED),
    (b"x\xda", 8, _COMPRESSED),
    (b"\0", 6, _PREFIX),  # Confluent, Apicurio: the id of the schema is a number
    (b"\x01", 18, _PREFIX),  # Confluent: it is a GUID
    (b"\x03\0", 19, _PREFIX),  # AWS Glue: a UUID
    (b"\x03\x05", 19, _PREFIX),  # the same, compressed
    (b"Obj\x01", 4, _BINARY),  # a file of Avro
    (b"\xc3\x01", 10, _BINARY),  # a single object of Avro
)
"""How a value begins, how many bytes it has at least, and what it is; the first that fits counts."""

_ENVELOPES = ({"schema", "payload"}, {"specversion", "data"}, {"op", "after"})
"""Fields that Kafka Connect, CloudEvents and Debezium wrap a value in."""


def name_bytes(value: bytes) -> RefusedRecord | None:
    """What a value is that is no UTF-8; None where nothing is certain."""
    for begin, least, named in _BEGINNINGS:
        if value.startswith(begin) and len(value) >= least:
            return RefusedRecord(*named)
    if any(byte < 0x20 and byte not in b"\t\n\r" for byte in value[:2]):
        return RefusedRecord(*_BINARY)
    return None


def name_text(value: bytes) -> RefusedRecord | None:
    """What a value is that is no JSON; None where nothing is certain."""
    if (binary := name_bytes(value)) is not None:
        return binary
    lines = [line for line in value.split(b"\n") if line.strip()]
    if len(lines) > 1 and lines[1].lstrip().startswith(b"{") and _is_object(lines[0]):
        return RefusedRecord(*_SEVERAL)
    return None


def name_json(value: Any) -> RefusedRecord:
    """What JSON is that is no object."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return RefusedRecord(*_SEVERAL)
    if isinstance(value, str) and _is_object(value):
        return RefusedRecord(*_DOUBLE)
    return RefusedRecord("not_object", "the JSON is not an object")


def name_envelope(fields: dict[str, Any]) -> RefusedRecord | None:
    """The refusal of an object that holds the response inside; None for any other."""
    if "response_id" not in fields and any(names <= fields.keys() for names in _ENVELOPES):
        return RefusedRecord(*_ENVELOPE)
    return None


def _is_object(text: bytes | str) -> bool:
    try:
        return isinstance(codec.loads(text), dict)
    except codec.NotJson:
        return False
