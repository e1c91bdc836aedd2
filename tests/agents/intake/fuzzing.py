"""Requests that nobody would write: good ones of every platform, signed or not, of which a part is something else."""

import json
import time
from itertools import product
from random import Random
from typing import Any
from urllib.parse import urlencode

from npsflow.agents.intake.limits import MAX_BODY
from tests.agents.platforms.conformance import platform
from tests.agents.platforms.signing import SECRET, SIGN
from tests.support import fuzzing
from tests.support.fuzzing import Sent, put, spoilt

METHODS = ("POST",) * 12 + ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "post", "")
ELSEWHERE = ("/", "/in", "/in/", "/in/nowhere", "/in/%00", "/in/%ff", "/in/../metrics", "//in/a", "*", "http://x/in/a")
UNMAPPED = "-unmapped"
"""Behind the name of a platform: an entrance of it that nobody has mapped."""

ENTRANCES = {name: platform(name) for name in sorted(SIGN)}

_NAMES = ("Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", "Expect", "Connection", "Upgrade",
    "Authorization", "X-Forwarded-For", "Cookie", "Range", "Accept", "Host", "webhook-id", "webhook-timestamp",
    "webhook-signature", "Typeform-Signature", "X-Zendesk-Webhook-Signature", "Sm-Signature")  # fmt: skip
_VALUES = (b"", b"gzip", b"chunked", b"-1", b"0", b"99", b"9999999", b"100-continue", b"close", b"websocket",
    b"\xff\xfe", b"v1,AAAA", b"sha256=", b"Bearer x", b"127.0.0.1, ::1", b"\xc3\xa9", b"a" * 5000, b"bytes=5-1",
    b"\x00", b"application/json; charset=nonsense", b"multipart/form-data; boundary=",
    b"1772377331")  # fmt: skip
ODD = [(name.encode(), value) for name, value in product(_NAMES, _VALUES)]
_TIMES = (0.0, -1e3, 1e3, 1e6)


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
    return fuzzing.request(random, random.choice(METHODS), path, headers, body, ODD)


def _body(random: Random, good: bytes, some: Any) -> bytes:
    match random.randrange(10):
        case 0:
            return random.randbytes(random.randrange(200))
        case 1:
            return json.dumps(some).encode(errors="surrogatepass")
        case 2:
            return spoilt(random, good)
        case 3:
            return b""
        case 4:
            return good
        case _:
            try:
                body = json.loads(good)
            except ValueError:
                return spoilt(random, good)  # a platform that sends something else
            for _ in range(random.choice((1, 1, 1, 3))):
                put(body, random.random, some)
            return json.dumps(body, ensure_ascii=random.random() < 0.5).encode(errors="surrogatepass")
