"""What fuzzing of several doors shares: how much of it, spoilt bytes, requests as bytes, and their answers."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.agents.intake.raw import connected

AT_ONCE = 25
SECONDS = 30.0

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
"""What may stand in a JSON, and NaN and Infinity, which many write into one."""


def count(usual: int) -> int:
    """How many inputs: `usual` in every run, as many as NPSFLOW_TEST_FUZZ says in `make fuzz`."""
    return int(os.environ.get("NPSFLOW_TEST_FUZZ", usual))


def fuzzed(usual: int) -> settings:
    """Of a property of one input: the same inputs in every run, others each time in `make fuzz`."""
    everywhere = "NPSFLOW_TEST_FUZZ" in os.environ
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=count(usual), derandomize=not everywhere, database=None, deadline=None, suppress_health_check=slow
    )


def requests_at_once(usual: int) -> settings:
    """Of a property of AT_ONCE requests: others in each run."""
    return settings(
        max_examples=count(usual) // AT_ONCE,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def spoilt(random: Random, data: bytes) -> bytes:
    """Some bytes gone, doubled or replaced."""
    made = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        at, length = random.randrange(len(made) + 1), random.choice((1, 1, 2, 8, 50))
        instead = random.choice((b"", random.randbytes(length), made[at : at + length]))
        made[at : at + random.choice((0, length))] = instead
    return bytes(made)


def put(body: Any, random: Callable[[], float], value: Any) -> None:
    """Replace something within."""
    while isinstance(body, dict | list) and body:
        at = list(body)[int(random() * len(body))] if isinstance(body, dict) else int(random() * len(body))
        if not isinstance(body[at], dict | list) or not body[at] or random() < 0.2:
            body[at] = deepcopy(value)
            return
        body = body[at]


ODD_VALUES: tuple[Any, ...] = (
    [],
    ["a", {}],
    {"a": []},
    float("nan"),
    10**400,
    5,
    -1.5,
    True,
    None,
    "",
    "9" * 5_000,
    "\ud83d",
)
"""Of each kind that something in a JSON can be."""


def with_each_replaced(body: Any, value: Any) -> Iterator[Any]:
    """Copies of a JSON value, in each of which another part of it is the given value."""
    for at in list(body) if isinstance(body, dict) else range(len(body)) if isinstance(body, list) else ():
        for inner in (value, *with_each_replaced(body[at], value)):
            made = dict(body) if isinstance(body, dict) else list(body)
            made[at] = inner
            yield made


# Requests.

Header = tuple[bytes, bytes]
_WAITED_FOR = (b"Content-Length", b"Transfer-Encoding", b"Upgrade", b"Expect", b"Host")


@dataclass(frozen=True)
class Sent:
    """The bytes of one request; `broken` where they may be no whole one, so that no answer has to come."""

    data: bytes
    broken: bool


def request(
    random: Random, method: str, path: str, headers: Sequence[Header], body: bytes, odd: Sequence[Header]
) -> Sent:
    """A request; now and then in chunks, with one of these `odd` headers, or spoilt."""
    whole = list(headers)
    if chunked := random.random() < 0.2:
        whole.append((b"Transfer-Encoding", b"chunked"))
    elif method == "POST" or body:
        whole.append((b"Content-Length", b"%d" % len(body)))
    broken = method in ("CONNECT", "")  # aiohttp waits for what is no HTTP any more
    if random.random() < 0.25:
        added = random.choice(odd)
        whole.insert(random.randrange(len(whole) + 1), added)
        broken = broken or added[0] in _WAITED_FOR
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: x", *(name + b": " + value for name, value in whole)]
    data = b"\r\n".join([*lines, b"", b""]) + (_chunks(random, body) if chunked else body)
    if random.random() < 0.15:
        return Sent(spoilt(random, data), broken=True)
    return Sent(data, broken)


def _chunks(random: Random, body: bytes) -> bytes:
    at, made = 0, b""
    while at < len(body):
        part = body[at : at + random.randrange(1, 400) + len(body) // 40]
        made, at = made + b"%x\r\n%s\r\n" % (len(part), part), at + len(part)
    return made + b"0\r\n\r\n"


async def answers(port: int, all_: Sequence[Sent]) -> list[tuple[int, bytes]]:
    """Status and body of each answer; (0, b"") or an interim one where a broken request got none."""
    others, loop = asyncio.Event(), asyncio.get_running_loop()
    asked = [loop.create_task(_broken(port, sent, others) if sent.broken else _whole(port, sent)) for sent in all_]
    deadline = loop.time() + SECONDS
    if whole := [task for task, sent in zip(asked, all_, strict=True) if not sent.broken]:
        await asyncio.wait(whole, timeout=SECONDS)
    others.set()
    await asyncio.wait(asked, timeout=max(1.0, deadline - loop.time()))
    assert [sent for task, sent in zip(asked, all_, strict=True) if not task.done()] == []
    return [task.result() for task in asked]


async def _whole(port: int, sent: Sent) -> tuple[int, bytes]:
    async with connected(port) as raw:
        raw.send(sent.data)
        return await raw.answer(has_body=not sent.data.startswith(b"HEAD"))


async def _broken(port: int, sent: Sent, others: asyncio.Event) -> tuple[int, bytes]:
    """The server may wait for the rest of it; when it has answered all others, it hears that there is none."""
    async with connected(port) as raw:
        raw.send(sent.data)
        await others.wait()
        with suppress(OSError):
            raw.writer.write_eof()
        return await raw.answer(has_body=False)
