"""Requests to the board that nobody would write: good ones, of which a part is something else."""

import json
from collections.abc import Sequence
from itertools import product
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote

from npsflow.agents.board.server import MAX_BODY
from tests.support import fuzzing
from tests.support.fuzzing import Sent, put, spoilt

METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get", "")
ACTION = {
    "action": "note", "by": "anna", "comment": "she was called", "at": "2026-03-02T10:00:00+01:00", "assignee": "ben",
    "root_cause": "late", "action_id": "mine", "case_id": "c-2", "alert_id": "a-1",
}  # fmt: skip
ELSEWHERE = ("/", "/cases/", "//cases", "/cases/../metrics", "/cases/%00", "/cases/%ff", "/cases/%2e%2e", "/metrics",
    "/health/ready", "/cases/c-1/actions/more", "*", "http://x/cases", "/cases/" + "x" * 5000)  # fmt: skip
_WORDS = ("", "0", "1", "true", "2", "-1", "none", "ask", "unhappy", "1000", "9" * 19, "9" * 30, "1.c-1", ".", ".c",
    "99999999999999999.c", "\u00b2", "\ud83d\ude00", "%", "a&b=c", "support", "x" * 3000)  # fmt: skip
_NAMES = ("open", "overdue", "owner", "department", "kind", "limit", "after", "wait", "colour", "")
_ODD = [(name.encode(), value) for name, value in product(
    ("Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", "Expect", "Upgrade", "Authorization",
     "Cookie", "Range", "Accept", "Host", "X-Forwarded-For"),
    (b"", b"gzip", b"chunked", b"-1", b"99", b"9999999", b"100-continue", b"close", b"websocket", b"\xff\xfe",
     b"Bearer x", b"Bearer", b"text/html", b"a" * 5000, b"\x00", b"application/json; charset=nonsense"),
)]  # fmt: skip


class Asked(NamedTuple):
    """A request. `action_id`: of the action in it, "" where that may be none. `allowed`: whether it shows the token."""

    sent: Sent
    action_id: str
    allowed: bool


def request(random: Random, number: int, some: Any, token: str, ids: Sequence[str]) -> Asked:
    """One request; `some`: what is put somewhere into its JSON; `ids`: of cases and alerts that are there."""
    allowed = random.random() < 0.8
    shown = token if allowed else random.choice(("", token[:-1], f"{token}x", token.upper(), "x"))
    method, path, body, action_id = _what(random, number, some, ids)
    headers = [(b"Authorization", f"Bearer {shown}".encode())] if allowed or random.random() < 0.8 else []
    return Asked(fuzzing.request(random, method, path, headers, body, _ODD), action_id, allowed)


def _what(random: Random, number: int, some: Any, ids: Sequence[str]) -> tuple[str, str, bytes, str]:
    """Method, path, body, and the id of the action."""
    case = quote(random.choice((*ids, "c-9", "\u00e9", "%", ""))[:2000], safe="")
    match random.randrange(10):
        case 0:
            return random.choice(METHODS), random.choice(ELSEWHERE), b"", ""
        case 1:
            return random.choice(METHODS), f"/cases/{case}/actions", _body(random, some, {})[0], ""
        case 2 | 3:
            return "GET", random.choice(("/cases", "/cases/report")) + _query(random), b"", ""
        case 4:
            return "GET", f"/cases/{case}" + _query(random), b"", ""
        case _:
            own = {"action_id": f"fuzz-{number}"}
            body, whole = _body(random, some, own)
            wait = random.choice(("", "", "", "?wait=0", "?wait=x", "?wait"))
            return "POST", f"/cases/{case}/actions{wait}", body, own["action_id"] if whole else ""


def _query(random: Random) -> str:
    pairs = [f"{random.choice(_NAMES)}={quote(random.choice(_WORDS), errors='replace')}" for _ in range(2)]
    return random.choice(("", "?", "?" + pairs[0], "?" + "&".join(pairs), "?%ED%A0%80=%ff", "?open"))


def _body(random: Random, some: Any, own: dict[str, str]) -> tuple[bytes, bool]:
    """A body, and whether it is an action with the id of its own."""
    names = random.sample(sorted(ACTION.keys() - {"action", "by"}), random.randrange(4))
    fields = {name: ACTION[name] for name in ("action", "by", *names)} | own
    good = json.dumps(fields).encode()
    match random.randrange(8):
        case 0:
            return random.randbytes(random.randrange(200)), False
        case 1:
            return json.dumps(some).encode(errors="surrogatepass"), False
        case 2:
            return spoilt(random, good), False
        case 3:
            return random.choice((b"", b"[" * 100_000, b"{" * 9, b"null", b"\xef\xbb\xbf{}", b'{"by":1e999}')), False
        case 4:
            return good.ljust(MAX_BODY + random.choice((0, 1))) if random.random() < 0.05 else good, bool(own)
        case _:
            put(fields, random.random, some)
            made = json.dumps(fields, ensure_ascii=random.random() < 0.5).encode(errors="surrogatepass")
            return made, bool(own) and fields.get("action_id") == own["action_id"]
