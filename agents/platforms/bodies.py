"""Bodies of webhooks: JSON, URL-encoded or multipart. The body itself tells which, as a dead letter has no headers."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from npsflow.agents.platforms.protocol import Malformed
from npsflow.schemas import codec

_MOST_FIELDS = 1_000
_BOUNDARY = re.compile(rb"--[\x21-\x7e]([\x20-\x7e]{0,68}[\x21-\x7e])?(?=\r\n)")  # RFC 2046, 5.1.1
_NAME = re.compile(rb';\s*name="((?:[^"\\\r\n]|\\.)*)"', re.IGNORECASE)
_FILE = re.compile(rb";\s*filename\*?=", re.IGNORECASE)
_MARK = b"\xef\xbb\xbf"


def read(body: bytes) -> Any:
    """The JSON, or the fields of a form: text by name, a list of texts where a name is there twice, no files.

    Raises Malformed when it is neither.
    """
    body = body.removeprefix(_MARK).strip()
    if body.startswith((b"{", b"[")):
        return _json(body)
    if boundary := _BOUNDARY.match(body):
        return _fields(_multipart(body, boundary[0]))
    if b"=" in body:
        return _fields(_encoded(body))
    return _json(body)


def _json(body: bytes) -> Any:
    try:
        return codec.loads_lenient(body)
    except codec.NotJson:
        raise Malformed("the body is not JSON, and no form") from None


def _fields(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def _encoded(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise Malformed("the body is not URL-encoded") from None


def _multipart(body: bytes, boundary: bytes) -> Iterable[tuple[str, str]]:
    """The texts of RFC 7578."""
    delimiter = b"\r\n" + boundary
    if body.count(delimiter) > _MOST_FIELDS:
        raise Malformed(f"the form has over {_MOST_FIELDS:,} fields")
    for part in (b"\r\n" + body).split(delimiter)[1:]:
        if part.startswith(b"--"):
            return
        head, blank, content = part.partition(b"\r\n\r\n")
        if not blank or (name := _NAME.search(head)) is None:
            raise Malformed("a part of the form has no name")
        if _FILE.search(head):
            continue
        try:
            yield re.sub(r"\\(.)", r"\1", name[1].decode()).replace("%22", '"'), content.decode()
        except UnicodeDecodeError:
            raise Malformed("a field of the form is not UTF-8") from None
    raise Malformed("the form has no end")
