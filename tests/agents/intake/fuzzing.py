"""Requests that nobody would write: good ones of every platform, signed or not, of which a part is something else."""

import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

from npsflow.agents.intake.limits import MAX_BODY
from tests.agents.platforms.conformance import platform
from tests.agents.platforms.signing import SECRET, SIGN

METHODS = ("POST",) * 12 + ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "post", "")
ELSEWHERE = ("/", "/in", "/in/", "/in/nowhere", "/in/%00", "/in/%ff", "/in/../metrics", "//in/a", "*", "http://x/in/a")
UNMAPPED = "-unmapped"
"""Behind the name of a platform: an entrance of it that nobody has mapped."""

ENTRANCES = {name: platform(name) for name in sorted(SIGN)}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
"""What may stand in a JSON."""

_NAMES = ("Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", "Expect", "Connection", "Upgrade",
    "Authorization", "X-Forwarded-For", "Cookie", "Range", "Accept", "Host", "webhook-id", "webhook-timestamp",
    "webhook-signature", "Typeform-Signature", "X-Zendesk-Webhook-Signature", "Sm-Signature")  # fmt: skip
_VALUES = (b"", b"gzip", b"chunked", b"-1", b"0", b"99", b"9999999", b"100-continue", b"close", b"websocket",
    b"\xff\xfe", b"v1,AAAA", b"sha256=", b"Bearer x", b"127.0.0.1, ::1", b"\xc3\xa9", b"a" * 5000, b"bytes=5-1",
    b"\x00", b"application/json; charset=nonsense", b"multipart/form-data; boundary=",
    b"1772377331")  # fmt: skip
_TIMES = (0.0, -1e3, 1e3, 1e6)


@dataclass(frozen=True)
class Sent:
    """The bytes of one request; `broken` where they may be no whole one, so that no answer has to come."""

    data: bytes
    broken: bool


def request(random: Random, some: Any) -> Sent:
    """One request; `some`: what is put somewhere into its JSON."""
    name = random.choice(list(ENTRANCES))
    under = ENTRANCES[name]
    body = _body(random, under.good, some)
    if random.random() < 0.01:
        body = body.ljust(MAX_BODY + random.choice((0, 1, 5000)))
    secret = SECRET if random.random() < 0.8 else "d3Jvbmc="
    now = time.time() + (0.0 if random.random() < 0.8 else random.choice(_TIMES))
    signed = under.delivery(body, secret, now)
    body, signature = signed.body, signed.headers if random.random() < 0.9 else {}
    headers = [(name.encode(), value.encode()) for name, value in signature.items()]
    query = f"?{urlencode(signed.query)}" if signed.query else ""
    mapped, unmapped = f"/in/{name}{query}", f"/in/{name}{UNMAPPED}{query}"
    (path,) = random.choices((mapped, unmapped, random.choice(ELSEWHERE)), (80, 8, 12))
    method = random.choice(METHODS)
    if chunked := random.random() < 0.2:
        headers.append((b"Transfer-Encoding", b"chunked"))
    elif method == "POST" or body:
        headers.append((b"Content-Length", b"%d" % len(body)))
    broken = method in ("CONNECT", "")  # aiohttp waits for what is no HTTP any more
    if random.random() < 0.25:
        added = random.choice(_NAMES).encode()
        headers.insert(random.randrange(len(headers) + 1), (added, random.choice(_VALUES)))
        broken = broken or added in (b"Content-Length", b"Transfer-Encoding", b"Upgrade", b"Expect", b"Host")
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: x", *(n + b": " + v for n, v in headers)]
    data = b"\r\n".join([*lines, b"", b""]) + (_chunks(random, body) if chunked else body)
    if random.random() < 0.15:
        return Sent(_spoilt(random, data), broken=True)
    return Sent(data, broken)


def _body(random: Random, good: bytes, some: Any) -> bytes:
    match random.randrange(10):
        case 0:
            return random.randbytes(random.randrange(200))
        case 1:
            return json.dumps(some).encode(errors="surrogatepass")
        case 2:
            return _spoilt(random, good)
        case 3:
            return b""
        case 4:
            return good
        case _:
            try:
                body = json.loads(good)
            except ValueError:
                return _spoilt(random, good)  # a platform that sends something else
            for _ in range(random.choice((1, 1, 1, 3))):
                put(body, random.random, some)
            return json.dumps(body, ensure_ascii=random.random() < 0.5).encode(errors="surrogatepass")


def _spoilt(random: Random, data: bytes) -> bytes:
    """Some bytes gone, doubled or replaced."""
    made = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        at, length = random.randrange(len(made) + 1), random.choice((1, 1, 2, 8, 50))
        instead = random.choice((b"", random.randbytes(length), made[at : at + length]))
        made[at : at + random.choice((0, length))] = instead
    return bytes(made)


def _chunks(random: Random, body: bytes) -> bytes:
    at, made = 0, b""
    while at < len(body):
        part = body[at : at + random.randrange(1, 400) + len(body) // 40]
        made, at = made + b"%x\r\n%s\r\n" % (len(part), part), at + len(part)
    return made + b"0\r\n\r\n"


def put(body: Any, random: Callable[[], float], value: Any) -> None:
    """Replace something within."""
    while isinstance(body, dict | list) and body:
        at = list(body)[int(random() * len(body))] if isinstance(body, dict) else int(random() * len(body))
        if not isinstance(body[at], dict | list) or not body[at] or random() < 0.2:
            body[at] = deepcopy(value)
            return
        body = body[at]
