"""No sender can hold a connection, fill the memory or keep others out: each limit against a raw socket."""

import asyncio
import gzip
import json
import logging
import re
import socket
from contextlib import AsyncExitStack

import msgspec
import pytest
from click.testing import CliRunner

from npsflow.agents.broker.embedded import HOST, Broker
from npsflow.agents.cli import main
from npsflow.agents.intake.limits import MAX_BODY
from npsflow.agents.web.limits import MAX_HEADERS, MAX_LINE, Limits
from npsflow.schemas.topics import DEAD_LETTERS
from npsflow.streams.engine.installation import Installation
from tests.agents.platforms.conformance import endpoint
from tests.agents.platforms.signing import SECRET, typeform
from tests.support.waiting import eventually

from .raw import SECONDS, connected, head
from .serving import FORMBRICKS, PATH, TYPEFORM, install, records, serving, signed

BRIEF = Limits(rate=1e6, head_seconds=0.3, body_seconds=0.3, idle_seconds=0.3, whole_seconds=1.0)
BRIEF_HEAD = Limits(rate=1e6, head_seconds=0.3)


@pytest.fixture(scope="module")
def installation(broker: Broker) -> Installation:
    found = Installation(broker.bootstrap, "intake-limits.")
    asyncio.run(install(found))
    return found


async def test_a_head_that_never_ends_is_cut(installation: Installation) -> None:
    async with serving(installation, BRIEF_HEAD) as intake, connected(intake.port) as raw:
        raw.send(head()[:-2])
        await raw.drip(b"X-More: of it\r\n")
        assert intake.total("connections_cut") == 1


async def test_a_head_that_never_ends_is_cut_behind_a_good_request_too(installation: Installation) -> None:
    async with serving(installation, BRIEF_HEAD) as intake, connected(intake.port) as raw:
        raw.send(head("GET"))
        assert (await raw.answer())[0] == 200
        raw.send(head()[:-2])
        await raw.drip(b"X-More: of it\r\n")
        assert intake.total("connections_cut") == 1


@pytest.mark.parametrize("before", [b"", head("GET")])
async def test_a_connection_that_nobody_uses_is_cut(installation: Installation, before: bytes) -> None:
    async with serving(installation, BRIEF) as intake, connected(intake.port) as raw:
        raw.send(before)
        await raw.ended()
        assert intake.total("connections_cut") == 1


async def ask_on(lazy: socket.socket) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(lazy, head("GET", "/metrics") * 100)
        await asyncio.sleep(0.001)


async def test_who_does_not_take_answers_is_cut(installation: Installation) -> None:
    async with serving(installation, BRIEF) as intake:
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.setblocking(False)
            await asyncio.get_running_loop().sock_connect(lazy, (HOST, intake.port))
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(ask_on(lazy), SECONDS)
        assert intake.total("connections_cut") == 1


@pytest.mark.parametrize(
    "begun",
    [head(Content_Length=100) + b"{", head(Transfer_Encoding="chunked") + b"1\r\n{\r\n", head(Content_Length=1)],
)
async def test_a_slow_body_is_cut(installation: Installation, begun: bytes) -> None:
    async with serving(installation, BRIEF) as intake, connected(intake.port) as raw:
        raw.send(begun)
        assert (await raw.answer())[0] == 408
        assert intake.counted("feedback", "slow") == 1
        await raw.ended()


@pytest.mark.parametrize(
    "large",
    [
        head(path="/in/" + "x" * MAX_LINE),
        head(X_Large="x" * (MAX_LINE + 1)),
        head(**{f"X-{n}": str(n) for n in range(MAX_HEADERS)}),
        head(**{"X" * (MAX_LINE + 1): "name"}),
    ],
    ids=["line", "header", "headers", "name"],
)
async def test_a_large_head_is_turned_down(installation: Installation, large: bytes) -> None:
    async with serving(installation) as intake, connected(intake.port) as raw:
        raw.send(large)
        assert (await raw.answer())[0] == 400
        assert intake.counted("unknown", "malformed") == 1
        await raw.ended()


async def test_a_body_has_at_most_a_mebibyte(installation: Installation) -> None:
    async with serving(installation) as intake:
        async with connected(intake.port) as raw:
            raw.send(head(Content_Length=MAX_BODY + 1))  # and nothing of it
            assert (await raw.answer())[0] == 413
        async with connected(intake.port) as raw:
            raw.send(head(Transfer_Encoding="chunked"))
            for _ in range(MAX_BODY // 4096 + 1):
                raw.send(b"1000\r\n" + bytes(4096) + b"\r\n")
            assert (await raw.answer())[0] == 413
        assert intake.counted("feedback", "too_large") == 2

        filled = json.loads(TYPEFORM.good)
        filled["form_response"]["form_id"] = "other"
        for body in (TYPEFORM.good, json.dumps(filled).encode()):  # it becomes a response, or is kept as it is
            largest = body.ljust(MAX_BODY)
            async with intake.client.post("/in/typed", data=largest, headers=typeform(largest, SECRET, 0)) as answer:
                assert answer.status == (200 if body is TYPEFORM.good else 202)
        assert [len(record.value or b"") for record in await records(installation, DEAD_LETTERS)] == [MAX_BODY]


async def test_what_becomes_larger_than_kafka_takes_is_kept_as_it_came(installation: Installation) -> None:
    """A long text that a mapping leads to more than once."""
    sent = json.loads(FORMBRICKS.good)
    sent["data"]["meta"]["url"] = "x" * (MAX_BODY // 2)
    thrice = {f"attributes.{name}": "meta.url" for name in "abc"}
    form = msgspec.structs.replace(FORMBRICKS.form, fields=thrice)
    endpoints = {"feedback": endpoint(form, name="feedback")}
    async with (
        serving(installation, endpoints=endpoints) as intake,
        intake.client.post(PATH, **signed(json.dumps(sent).encode())) as answer,
    ):
        assert answer.status == 202
        assert intake.counted("feedback", "unmapped") == 1
    assert json.dumps(sent).encode() in [record.value for record in await records(installation, DEAD_LETTERS)]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "Gzip", "identity, gzip"])
async def test_nothing_is_unpacked(installation: Installation, encoding: str) -> None:
    bomb = gzip.compress(bytes(64 << 20), 9)
    async with serving(installation) as intake, connected(intake.port) as raw:
        raw.send(head(Content_Length=len(bomb), Content_Encoding=encoding) + bomb)
        assert (await raw.answer())[0] == 415
        assert intake.counted("feedback", "compressed") == 1


async def test_connections_are_limited(installation: Installation) -> None:
    limits = Limits(rate=1e6, connections=5, connections_of_one=3)
    for trusted, most in (((), 3), ((HOST,), 5)):  # behind a proxy all come from one address
        async with serving(installation, limits, trusted) as intake, AsyncExitStack() as open_:
            for _ in range(most):
                raw = await open_.enter_async_context(connected(intake.port))
                raw.send(head("GET"))
                assert (await raw.answer())[0] == 200
            async with connected(intake.port) as refused:
                refused.send(head("GET"))
                assert await refused.answer() == (0, b"")
            assert intake.total("connections_refused") == 1
            await open_.aclose()

            async def accepted(port: int = intake.port) -> bool:
                async with connected(port) as raw:
                    raw.send(head("GET"))
                    return (await raw.answer())[0] == 200

            await eventually(accepted)


async def test_requests_at_once_are_limited(installation: Installation) -> None:
    async with serving(installation, Limits(rate=1e6, at_once=1)) as intake, connected(intake.port) as first:
        first.send(head(Content_Length=2))
        statuses = set()
        async with connected(intake.port) as second:
            while 503 not in statuses:  # the first may not have been seen yet
                second.send(head("GET"))
                statuses.add((await second.answer())[0])
        assert intake.counted("feedback", "busy") == 1
        first.send(b"{}")
        assert (await first.answer())[0] == 401


@pytest.mark.parametrize("trusted", [(), ("127.0.0.0/8",)])
async def test_only_a_trusted_proxy_says_who_sends(installation: Installation, trusted: tuple[str, ...]) -> None:
    async with serving(installation, Limits(rate=1), trusted) as intake:
        statuses = []
        for number in range(6):
            headers = {"X-Forwarded-For": f"203.0.113.9, 198.51.100.{number}"}
            async with intake.client.get(PATH, headers=headers) as answer:
                statuses.append(answer.status)
    assert statuses == [200] * 6 if trusted else statuses[:2] == [200, 200] and statuses[-1] == 429


async def test_what_cannot_be_read_is_neither_logged_nor_said(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    private = b"someone@example.com"
    bad = [
        private + b" / HTTP/1.1\r\n\r\n",
        b"POST " + private + b" HTTP/9.9\r\n\r\n",
        head()[:-2] + private + b": \x00\r\n\r\n",
        head()[:-2] + b"X: " + private + b"\x01\r\n\r\n",
        head(Content_Length="someone@example.com"),
        head(Transfer_Encoding="someone@example.com"),
        head(Transfer_Encoding="chunked") + private + b"\r\n",
        head(Transfer_Encoding="chunked") + b"1\r\n{" + private,
        head(Expect="someone@example.com"),
        head("TRACE", "/someone", Expect="\xff").replace(b"\xc3\xbf", b"\xff"),  # its answer would be UTF-8
        b"\x16\x03\x01\x02\x00" + private,
    ]
    async with serving(installation) as intake:
        for sent in bad:
            async with connected(intake.port) as raw:
                raw.send(sent)
                status, answer = await raw.answer()
                assert 400 <= status < 500, (sent, status)
                assert b"someone" not in answer
        async with connected(intake.port) as raw:
            raw.send(head(Content_Length=100) + private)
        await eventually(lambda: intake.counted("feedback", "gone"))
        assert intake.counted("feedback", "failed") == 0
    assert "someone" not in caplog.text
    assert "127.0.0.1" not in "".join(r.getMessage() for r in caplog.records if r.name.startswith("aiohttp"))
    assert "Traceback" not in caplog.text


async def test_a_sender_may_ask_before_it_sends(installation: Installation) -> None:
    body = FORMBRICKS.good
    headers = signed(body)["headers"] | {"Content-Length": len(body), "Expect": "100-continue"}
    async with serving(installation) as intake, connected(intake.port) as raw:
        raw.send(head(**headers))
        assert (await raw.answer())[0] == 100
        raw.send(body)
        assert (await raw.answer())[0] == 200


async def test_there_is_nothing_else(installation: Installation) -> None:
    async with serving(installation) as intake:
        for path in ("/", "/in", "/in/", "/in/x%2f..%2ffeedback", "/../in/feedback/x", "/favicon.ico"):
            async with intake.client.get(path) as answer:
                assert (path, answer.status) == (path, 404)


def test_it_listens_to_this_machine_and_trusts_nobody_unless_told_otherwise() -> None:
    text = CliRunner().invoke(main, ["intake", "--help"]).output
    assert re.search(r"--host TEXT .*\[default: 127\.0\.0\.1\]", text)
    assert CliRunner().invoke(main, ["intake", "--trust", "my proxy"]).exit_code == 2
