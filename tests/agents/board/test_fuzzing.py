"""Whatever the board is asked, it answers as documented, shows nothing without the token, and loses no action."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import StringIO
from itertools import count as numbers
from random import Random
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.agents.board.process import open_board
from npsflow.agents.broker.embedded import HOST, Broker
from npsflow.agents.kafka import clients, reading
from npsflow.agents.web.limits import Limits
from npsflow.schemas.topics import ACTIONS, CASES
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.logs import JsonFormatter
from tests.agents.intake.serving import install
from tests.support.fuzzing import AT_ONCE, answers, anything, count, requests_at_once
from tests.support.waiting import eventually

from .fuzzing import Asked, request

REQUESTS = 500
STATUSES = {200, 202, 400, 401, 404, 405, 413, 417}
TOKEN = "qzqz-the-token-of-this-board"
PRIVATE = "qwx leaks and nobody comes"
OPEN = {"/health/live", "/health/ready", "/metrics"}
CASE = {
    "case_id": "c-1", "kind": "recovery", "revision": 1, "status": "opened", "key": "qwx-customer", "response_id": "r",
    "opened_at": "2026-03-02T09:00:00.000Z", "due_at": "2026-03-03T09:00:00.000Z", "source": "s",
    "finish_by": "2026-03-09T09:00:00.000Z", "metric": "nps", "score": 1, "category": "detractor", "survey_id": "q",
    "submitted_at": "2026-03-02T09:00:00.000Z", "alert_ids": ["a-1"], "comment": PRIVATE, "department": "Support",
}  # fmt: skip
IDS = ("c-1", "c-2", "a-1")


class Asking:
    """A board, what it was asked, and its log."""

    def __init__(self, loop: asyncio.AbstractEventLoop, installation: Installation, port: int, log: StringIO) -> None:
        self.loop, self.installation, self.port, self.log = loop, installation, port, log
        self.statuses: Counter[int] = Counter()
        self.accepted: list[str] = []
        self.number = numbers()

    def ask(self, all_: list[Asked]) -> None:
        found = self.loop.run_until_complete(answers(self.port, [asked.sent for asked in all_]))
        for asked, (status, answer) in zip(all_, found, strict=True):
            self.statuses[status] += 1
            assert status in STATUSES or (asked.sent.broken and status in (0, 100)), (status, asked.sent.data)
            assert TOKEN.encode() not in answer
            if not asked.allowed:
                assert b"qwx" not in answer, asked.sent.data
            if status == 202:
                self._accept(asked, answer)

    def _accept(self, asked: Asked, answer: bytes) -> None:
        assert asked.allowed or asked.sent.broken, asked.sent.data
        if answer:
            self.accepted.append(json.loads(answer)["action_id"])

    async def _written(self) -> list[Any]:
        return [json.loads(r.value or b"") async for r in reading.committed_records(self.installation, ACTIONS)]

    def written(self) -> list[Any]:
        return self.loop.run_until_complete(self._written())


@asynccontextmanager
async def board(installation: Installation) -> AsyncIterator[int]:
    await install(installation)
    async with clients.producer(installation) as producer:
        for case_id in ("c-1", "c-2"):
            case = CASE | {"case_id": case_id, "alert_ids": ["a-1"] if case_id == "c-1" else []}
            value = json.dumps(case).encode()
            await producer.send_and_wait(installation.topic(CASES), value, case_id.encode(), 0)
    limits = Limits(rate=1e9, connections=10 * AT_ONCE, connections_of_one=10 * AT_ONCE)
    async with open_board(installation, [TOKEN], HOST, 0, limits=limits) as (reader, port):
        following = asyncio.create_task(reader.follow())

        async def loaded() -> bool:
            return len(reader.cases) == 2

        await eventually(loaded)
        async with clients.producer(installation) as producer:
            await producer.send_and_wait(installation.topic(CASES), None, b"\xff", 0)  # no text, and ends no board
        try:
            yield port
        finally:
            assert not following.done()
            following.cancel()
            await asyncio.wait([following])


@pytest.fixture(scope="module")
def asking(broker: Broker) -> Iterator[Asking]:
    log = StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    with asyncio.Runner() as runner:
        installation = Installation(broker.bootstrap, "board-fuzz.")
        opened = board(installation)
        yield Asking(runner.get_loop(), installation, runner.run(opened.__aenter__()), log)
        runner.run(opened.__aexit__(None, None, None))
    logging.getLogger().removeHandler(handler)


def test_nothing_about_customers_without_the_token(asking: Asking) -> None:
    """Whatever the path and the method; a new path is among those tried."""

    async def ask() -> list[tuple[str, str, int]]:
        paths = ["/", "/cases", "/cases/report", "/cases/c-1", "/cases/a-1", "/cases/c-1/actions", "/elsewhere"]
        found = []
        async with aiohttp.ClientSession(f"http://{HOST}:{asking.port}") as client:
            for path in paths:
                for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
                    for shown in ("", "Bearer", "Bearer ", f"Bearer {TOKEN}x", TOKEN, f"Basic {TOKEN}", "Bearer \xff"):
                        async with client.request(method, path, headers={"Authorization": shown}) as answer:
                            assert "qwx" not in await answer.text()
                            found.append((method, path, answer.status))
            for path in OPEN:
                async with client.get(path) as answer:
                    assert "qwx" not in await answer.text()
                    assert answer.status == 200
        return found

    assert {status for *_, status in asking.loop.run_until_complete(ask())} == {401}
    assert asking.written() == []


@requests_at_once(REQUESTS)
@given(random=st.randoms(use_true_random=True), some=st.lists(anything, min_size=1, max_size=5))
def test_whatever_is_asked_gets_a_documented_answer(asking: Asking, random: Random, some: list[Any]) -> None:
    numbered = [next(asking.number) for _ in range(AT_ONCE)]
    asking.ask([request(random, number, random.choice(some), TOKEN, IDS) for number in numbered])


def test_no_action_is_lost_or_made_up_and_nothing_failed(asking: Asking) -> None:
    """Behind the test above."""
    assert sum(asking.statuses.values()) >= count(REQUESTS)
    assert asking.statuses.keys() >= {200, 202, 400, 401, 404, 405}
    written = Counter(action["action_id"] for action in asking.written())
    assert Counter(asking.accepted) <= written
    assert {action["case_id"] for action in asking.written()} <= {"c-1", "c-2"}
    assert {action["action"] for action in asking.written()}.isdisjoint({"forget", "fixed"})
    assert "Traceback" not in asking.log.getvalue()
    assert "please report this" not in asking.log.getvalue()
    for text in (TOKEN, "qwx"):
        assert text not in asking.log.getvalue()
