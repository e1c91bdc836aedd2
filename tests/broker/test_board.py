"""The board on a real Kafka: cases and actions over HTTP, for those who have the token."""

import asyncio
import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from npsflow.agents.board.process import open_board
from npsflow.agents.board.server import MAX_BODY
from npsflow.agents.broker.embedded import HOST, Broker, free_port
from npsflow.agents.cases.reader import CaseReader
from npsflow.agents.cli import main
from npsflow.agents.kafka import clients
from npsflow.agents.web.limits import MAX_LINE, Limits
from npsflow.schemas.response import MAX_COMMENT
from npsflow.schemas.topics import ACTIONS, CASES
from tests.agents.intake.raw import connected, head
from tests.support.waiting import eventually

from .harness import Harness, response_line

TOKENS = ("new-token", "old-token")
CASE = {
    "case_id": "c-1", "kind": "recovery", "revision": 1, "status": "opened", "key": "C-1", "response_id": "r",
    "opened_at": "2026-03-02T09:00:00.000Z", "due_at": "2026-03-03T09:00:00.000Z", "source": "s",
    "finish_by": "2026-03-09T09:00:00.000Z", "metric": "nps", "score": 1, "category": "detractor",
    "submitted_at": "2026-03-02T09:00:00.000Z", "survey_id": "q",
}  # fmt: skip
LIMITS = Limits(whole_seconds=60.0)  # longer than the patience of these tests
HEADERS = {"Authorization": f"Bearer {TOKENS[0]}"}
Client = aiohttp.ClientSession


@asynccontextmanager
async def served(
    harness: Harness,
    patience: float = 30.0,
    begin: asyncio.Event | None = None,
    limits: Limits = LIMITS,
) -> AsyncIterator[tuple[Client, CaseReader]]:
    """The board as the command runs it, in this process. It reads from when `begin` is set, if that is given."""
    async with open_board(harness.installation, TOKENS, HOST, 0, limits=limits, patience=patience) as (reader, port):

        async def follow() -> None:
            if begin is not None:
                await begin.wait()
            await reader.follow()

        async with aiohttp.ClientSession(f"http://{HOST}:{port}", headers=HEADERS) as client:
            following = asyncio.create_task(follow())
            try:
                yield client, reader
            finally:
                following.cancel()
                await asyncio.wait([following])


async def port_of(client: Client) -> int:
    async with client.get("/health/live", headers={"Connection": "close"}) as answer:
        return answer.url.port or 0


def unhappy(number: int, **fields: Any) -> Any:
    fields = {"score": 2, "customer": {"id": f"C-{number}"}} | fields
    return response_line(number, submitted_at=datetime.now(UTC).isoformat(), **fields)


async def get(client: Client, path: str, **more: Any) -> tuple[int, Any]:
    async with client.get(path, **more) as answer:
        return answer.status, await answer.json()


async def post(client: Client, path: str, body: Any, **more: Any) -> tuple[int, Any]:
    async with client.post(
        path, data=body if isinstance(body, bytes | BytesIO) else json.dumps(body), **more
    ) as answer:
        return answer.status, await answer.json()


async def test_cases_and_actions(broker: Broker) -> None:
    async with Harness(broker, "board.") as harness, harness.worker(), served(harness) as served_by:
        client, _ = served_by
        harness.produce([unhappy(1, department="Support"), unhappy(2, score=4), response_line(3)])

        async def there() -> bool:
            return "total" in (found := (await get(client, "/cases"))[1]) and bool(found["total"] == 2)

        await eventually(there)
        _, found = await get(client, "/cases")
        _, some = await get(client, "/cases?open=1&department=support")
        (case,) = some["cases"]
        assert (case["customer_id"], case["status"]) == ("C-1", "opened")
        assert (await get(client, "/cases?overdue=1&owner=nobody&kind=ask"))[1] == {"cases": [], "total": 0}
        _, first = await get(client, "/cases?limit=1")
        _, second = await get(client, "/cases", params={"limit": "1", "after": first.pop("next")})
        assert (len(first["cases"]), first["total"], second["total"]) == (1, 2, 2)
        assert first["cases"] + second["cases"] == found["cases"]
        assert set(second) == {"cases", "total"}  # there is no more
        path = f"/cases/{case['case_id']}"
        assert await get(client, f"/cases/{case['alert_ids'][0]}") == (200, case)

        status, now = await post(client, f"{path}/actions?wait=1", {"action": "contact", "by": "anna"})
        assert (status, now["status"], now["history"][-1]["by"]) == (200, "contacted", "anna")
        status, refused = await post(client, f"{path}/actions?wait=1", {"action": "contact", "by": "anna"})
        assert (status, refused["reason"], refused["status"]) == (409, "is_contacted", "contacted")
        resolve = {"action": "resolve", "by": "anna", "root_cause": "no_complaint", "action_id": "mine"}
        assert await post(client, f"{path}/actions", resolve) == (202, {"action_id": "mine"})

        async def resolved() -> bool:
            return bool((await get(client, path))[1]["status"] == "resolved")

        await eventually(resolved)
        status, again = await post(client, f"{path}/actions?wait=1", resolve)  # the same action counts once
        assert (status, again["revision"]) == (200, (await get(client, path))[1]["revision"])

        for query, options in ("", ()), ("?department=SUPPORT&open=0", ("--department", "support")):
            cli = await asyncio.to_thread(
                CliRunner().invoke, main, ["cases", "--report", "--json", *options], env=harness.environment
            )
            status, reported = await get(client, f"/cases/report{query}")
            assert (status, reported) == (200, json.loads(cli.stdout))
            assert reported["overall"]["contacted_in_time"]["part"] == 1

        async with client.get("/metrics") as answer:
            metrics = await answer.text()
        assert 'npsflow_board_cases{kind="recovery",status="resolved"} 1.0' in metrics
        assert 'npsflow_board_first_contacts{when="in_time"} 1.0' in metrics
        assert "npsflow_board_overdue_cases 0.0" in metrics
        assert 'npsflow_board_requests_total{page="/cases/{id}/actions",status="409"} 1.0' in metrics
        assert "C-1" not in metrics


async def test_who_may_not_and_what_cannot(broker: Broker) -> None:
    async with Harness(broker, "board-no.") as harness, served(harness) as served_by:
        client, book = served_by
        async with clients.producer(harness.installation) as producer:
            await producer.send_and_wait(harness.installation.topic(CASES), json.dumps(CASE).encode(), b"c-1", 0)

        async def there() -> bool:
            return book.cases.find("c-1") is not None

        await eventually(there)
        for headers in ({"Authorization": ""}, {"Authorization": "Bearer other"}, {"Authorization": TOKENS[0]}):
            for path in ("/cases", "/cases/c-1", "/cases/none", "/cases/c-1/actions", "/cases/report", "/"):
                assert (await get(client, path, headers=headers))[0] == 401
            assert (await post(client, "/cases/c-1/actions", {}, headers=headers))[0] == 401
        assert (await get(client, "/cases", headers={"Authorization": f"Bearer {TOKENS[1]}"}))[0] == 200
        refused = (await get(client, "/cases", headers={"Authorization": ""}))[1]
        assert refused["error"] == "the bearer token is missing or wrong"
        assert "send the header Authorization: Bearer TOKEN" in refused["help"]
        browser = {"Authorization": "", "Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        async with client.get("/", headers=browser) as answer:
            assert (answer.status, answer.content_type) == (401, "text/html")
            assert "curl -H &quot;Authorization" in (page := await answer.text()).replace('"', "&quot;")
            assert "npsflow cases" in page

        good = {"action": "contact", "by": "anna"}
        actions = "/cases/c-1/actions"
        for path, body, status in (
            ("/cases/c-9/actions", good, 404),
            ("/elsewhere", good, 404),
            ("/cases", good, 405),
            (actions, b"", 400),
            (actions, b"[]", 400),
            (actions, {"by": "anna"}, 400),
            (actions, {"action": "contact"}, 400),
            (actions, good | {"action": "dance"}, 400),
            (actions, good | {"action": "forget"}, 400),
            (actions, good | {"action": "fixed", "root_cause": "late"}, 400),
            (actions, good | {"at": "yesterday"}, 400),
            (actions, good | {"case_id": "c-2"}, 400),
            (actions, good | {"colour": "red"}, 400),
            (actions + "?wait=maybe", good, 400),
            (actions, BytesIO(bytes(MAX_BODY + 1)), 413),
            (actions, gzip.compress(json.dumps(good).encode()), 400),
        ):
            found, answer = await post(client, path, body)
            assert (path, body, found) == (path, body, status)
            assert set(answer) == {"error"}
        for query in (
            "limit=0", "limit=x", "limit=1001", "limit=000019999", "open=2", "kind=none", "colour=red", "a=1&b=2",
            "after=1", "after=x.c", "after=²",
        ):  # fmt: skip
            assert (query, (await get(client, f"/cases?{query}"))[0]) == (query, 400)
        for query in ("limit=1", "after=1.c", "colour=red"):
            assert (query, (await get(client, f"/cases/report?{query}"))[0]) == (query, 400)
        assert (await get(client, "/elsewhere"))[0] == 404
        assert await harness.read(ACTIONS) == []

    begin = asyncio.Event()
    async with Harness(broker, "board-no.") as harness, served(harness, 0.2, begin) as (client, book):
        assert (await get(client, "/cases"))[0] == 503
        assert (await get(client, "/health/ready"))[0] == 503
        assert await get(client, "/health/live") == (200, {"status": "live"})
        begin.set()

        async def ready() -> bool:
            return (await get(client, "/health/ready"))[0] == 200

        await eventually(ready)
        status, answer = await post(client, actions + "?wait=1", good)  # and no worker
        assert (status, answer["status"]) == (202, "nothing came of it yet")
        (sent,) = await harness.read(ACTIONS)
        assert (sent.key, json.loads(sent.value or b"")["action_id"]) == (b"C-1", answer["action_id"])


async def test_a_comment_may_be_as_long_as_any(broker: Broker) -> None:
    async with Harness(broker, "board-long.") as harness, harness.worker(), served(harness) as it:
        client, book = it
        harness.produce([unhappy(1)])

        async def there() -> bool:
            return len(book.cases) == 1

        await eventually(there)
        note = {"action": "note", "by": "anna", "comment": "\N{WHITE SMILING FACE}" * MAX_COMMENT}
        (one,) = book.cases
        status, now = await post(client, f"/cases/{one.case_id}/actions?wait=1", note)
        assert (status, now["history"][-1]["comment"]) == (200, note["comment"])


async def test_nobody_holds_it_up(broker: Broker) -> None:
    brief = Limits(head_seconds=0.3, idle_seconds=0.3, whole_seconds=1.0, connections=3, connections_of_one=2)
    async with Harness(broker, "board-raw.") as harness, served(harness, limits=brief) as (client, book):

        async def ready() -> bool:
            return book.ready

        async def counted(line: str) -> bool:
            async with client.get("/metrics", headers={"Connection": "close"}) as answer:
                return line in (await answer.text()).splitlines()

        await eventually(ready)
        port = await port_of(client)
        async with connected(port) as raw:
            raw.send(head("GET", "/cases")[:-2])
            await raw.drip(b"X-More: of it\r\n")
        await eventually(partial(counted, "npsflow_board_connections_cut_total 1.0"))
        async with connected(port) as raw:
            raw.send(head("GET", "/" + "x" * MAX_LINE))
            assert (await raw.answer())[0] == 400
        async with connected(port), connected(port), connected(port) as third:
            await third.ended()
        await eventually(partial(counted, "npsflow_board_connections_refused_total 1.0"))


async def test_who_hangs_up_is_no_mistake_of_ours(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    async with Harness(broker, "board-gone.") as harness, served(harness) as (client, book):
        async with clients.producer(harness.installation) as producer:
            await producer.send_and_wait(harness.installation.topic(CASES), json.dumps(CASE).encode(), b"c-1", 0)

        async def there() -> bool:
            return book.cases.find("c-1") is not None

        await eventually(there)
        async with connected(await port_of(client)) as raw:
            raw.send(head("POST", "/cases/c-1/actions", **HEADERS, Content_Length=100) + b"{")

        async def counted() -> bool:
            async with client.get("/metrics") as answer:
                return 'page="/cases/{id}/actions"' in await answer.text()

        await eventually(counted)
        assert "please report this" not in caplog.text


async def test_a_case_of_another_version_is_not_passed_over(broker: Broker) -> None:
    async with Harness(broker, "board-version.") as harness:
        async with clients.producer(harness.installation) as producer:
            strange = json.dumps(CASE | {"status": "pondered"}).encode()
            await producer.send_and_wait(harness.installation.topic(CASES), strange, b"c-1", 0)
        found = await asyncio.to_thread(CliRunner().invoke, main, ["cases"], env=harness.environment)
        assert (found.exit_code, "c-1 is no case that this version" in found.stderr) == (2, True)


async def test_the_command(broker: Broker) -> None:
    async with Harness(broker, "board-command.") as harness:
        port = free_port()
        command = [sys.executable, "-m", "npsflow.agents.entry", "board", "--port", str(port)]
        environment = os.environ | harness.environment
        bare = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True)
        assert (bare.returncode, "NPSFLOW_SECRET_BOARD is not set" in bare.stderr) == (2, True)
        environment |= {"NPSFLOW_SECRET_BOARD": TOKENS[1], "NPSFLOW_SECRET_BOARD_NEXT": TOKENS[0]}
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            assert re.match(rb"The board is there: http://127.0.0.1:\d+/cases\n", await process.stdout.readline())
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=HEADERS) as client:

                async def answers() -> bool:
                    async with client.get("/cases") as answer:
                        return answer.status == 200 and await answer.json() == {"cases": [], "total": 0}

                await eventually(answers)
            process.send_signal(signal.SIGTERM)
            output, logged = await process.communicate()
            assert (process.returncode, output, logged) == (0, b"", b"")
        finally:
            if process.returncode is None:
                process.kill()
