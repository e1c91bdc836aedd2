"""Every process of an installation beside the others, each used as its users do, and what has to come of it.

Responses come to intake as webhooks, and as fetches whose answers a stand-in has. Each unhappy one has to become one
alert (worker), one case on the board that takes an action, and one message of the notifier.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, Producer, TopicPartition

from npsflow.agents.broker.embedded import HOST, free_port
from npsflow.schemas import codec, topics
from npsflow.schemas.fetch import Fetch
from npsflow.schemas.partitioner import partition_of
from tests.agents.fetch.standin import FIXTURES, TOKEN
from tests.broker.harness import Harness
from tests.support.waiting import eventually

SECRET = "a-secret-of-some-length-that-nobody-guesses"
SESSION_MS = 6_000
PARTITIONS = 4
CONTINUES = 30.0
"""Seconds after the end of a fault within which every process has to be at work again."""

PATIENCE = 150.0
_EVERY = 0.5  # seconds from one webhook to the next, and four times that from one fetch to the next
_AGAIN = 0.5
_OPENED, _RAISED = "npsflow.case.opened.v1", "npsflow.alert.raised.v1"

SETTINGS = """
[topics]
replication = 1
[intake.kiosk]
platform = "generic"
source = "kiosk"
verification = "bearer"
[[intake.kiosk.scores]]
question = "score"
metric = "nps"
[intake.kiosk.paths]
response_id = "id"
submitted_at = "time"
form = "form"
[intake.kiosk.fields]
"customer.id" = "customer"
[intake.asked]
platform = "surveymonkey"
source = "asked"
api = "{api}"
api_per_minute = 60000
[[intake.asked.scores]]
question = "weights.319352786"
metric = "nps"
[intake.asked.fields]
"customer.id" = "custom.customer"
[notify.desk]
kind = "webhook"
events = ["opened"]
to = {{ "*" = "{desk}" }}
options = {{ internal = true }}
"""
_COMMANDS = {
    "intake": ("intake", "--port"),
    "fetch": ("fetch", "--port"),
    "notify": ("notify", "desk", "--port"),
    "board": ("board", "--port"),
    "worker": ("worker", "--web-port"),
}


class Fleet:
    """`bootstrap` is where the test itself reaches the cluster, `environment` what the processes have beside it."""

    def __init__(self, harness: Harness, folder: Path, session: aiohttp.ClientSession) -> None:
        self.harness, self._folder, self._session = harness, folder, session
        self.ports = {name: free_port() for name in _COMMANDS}
        self.load = asyncio.Event()
        self.load.set()
        self.taken: set[str] = set()
        """Responses that intake has acknowledged, by id."""
        self.alerts = Counter[str]()
        """How often an alert was raised, by the id of its response."""
        self.cases: dict[str, str] = {}
        """The case of each response that has one, and in `opened` the ids of the events that say so."""
        self.opened: dict[str, str] = {}
        self.delivered = Counter[str]()
        """How often a message came to the desk, by its id."""
        self.asked: set[str] = set()
        self._numbers, self._tasks, self._sending = count(1), set[asyncio.Task[Any]](), set[str]()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    # What its users do.

    async def webhook(self, name: str) -> bool:
        """Send the response `name`, of an unhappy customer; whether it was acknowledged."""
        body = {"id": name, "form": "exit", "time": datetime.now(UTC).isoformat(), "customer": f"c-{name}", "score": 1}
        url, headers = f"http://{HOST}:{self.ports['intake']}/in/kiosk", {"Authorization": f"Bearer {SECRET}"}
        try:
            async with self._session.post(url, json=body, headers=headers) as answer:
                good = answer.status in (200, 202)
        except (aiohttp.ClientError, TimeoutError):
            return False
        if good:
            self.taken.add(name)
        return good

    def fetch(self, name: str) -> None:
        """Put the response `name` on the queue of those to be fetched."""
        fetch = Fetch("asked", name, {"survey": "105724755", "response": name}, int(time.time() * 1000))
        key = fetch.key()
        topic, partition = self.harness.installation.topic(topics.FETCHES), partition_of(key, PARTITIONS)
        self._producer.produce(topic, codec.dumps(fetch), key, partition)
        self._producer.poll(0)
        self.asked.add(name)

    async def acts(self, name: str) -> bool:
        """Whether the board shows the case of a response, and an action on it has an outcome."""
        if (case := self.cases.get(name)) is None:
            return False
        url = f"http://{HOST}:{self.ports['board']}/cases/{case}/actions?wait=1"
        action = {"action": "contact", "by": "anna", "action_id": name}
        headers = {"Authorization": f"Bearer {SECRET}"}
        try:
            async with self._session.post(url, json=action, headers=headers) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def fresh(self) -> list[str]:
        """Names of one response for each partition of the topic that intake writes to."""
        found: dict[int, str] = {}
        while len(found) < PARTITIONS:
            name = f"r{next(self._numbers)}"
            found.setdefault(partition_of(f"kiosk/{name}".encode(), PARTITIONS), name)
        return list(found.values())

    # After a fault.

    async def at_work(self) -> dict[str, float]:
        """Seconds until each process had done something new, all partitions included."""
        began, names, fetched = time.monotonic(), self.fresh(), f"f{next(self._numbers)}"
        self.fetch(fetched)

        async def back(name: str, condition: Callable[[], object]) -> float:
            with suppress(pytest.fail.Exception):  # how long is judged by whoever asked
                await eventually(condition, PATIENCE)
            print(f"{name}: {time.monotonic() - began:.1f} s")
            return time.monotonic() - began

        async def taken(name: str) -> bool:
            return name in self.taken or await self.webhook(name)

        async def every(name: str, condition: Callable[[str], object]) -> float:
            return max(await asyncio.gather(*(back(name, partial(condition, one)) for one in names)))

        works = {
            "intake": every("intake", taken),
            "worker": every("worker", lambda name: self.alerts[name]),
            "notify": every("notify", lambda name: self.delivered[self.opened.get(name, "")]),
            "board": every("board", self.acts),
            "fetch": back("fetch", lambda: self.alerts[fetched]),
        }
        return dict(zip(works, await asyncio.gather(*works.values()), strict=True))

    async def settle(self) -> list[str]:
        """End the load, wait until all has come of it, and give what is wrong, in words."""
        self.load.clear()

        def delivered(name: str) -> int:
            return self.delivered[self.opened.get(name, "")]

        def all_there() -> bool:
            expected = self.taken | self.asked
            return not self._sending and expected <= self.alerts.keys() and all(map(delivered, expected))

        with suppress(pytest.fail.Exception):  # what is missing is named below
            await eventually(all_there, PATIENCE)
        return [
            *(f"never taken, lost: {name}" for name in self._sending),
            *(f"alert lost: {name}" for name in self.taken | self.asked if not self.alerts[name]),
            *(f"alert repeated: {name}" for name, times in self.alerts.items() if times > 1),
            *(f"message lost: {name}" for name in self.taken | self.asked if not delivered(name)),
            *(f"{name} has ended" for name, process in self._processes.items() if process.poll() is not None),
        ]

    @property
    def repeated(self) -> int:
        """Messages that came more than once under one id."""
        return sum(times - 1 for times in self.delivered.values())

    # The frame.

    async def start(self, stack: AsyncExitStack, environment: Mapping[str, str]) -> None:
        self._producer = Producer(
            self.harness.client | {"enable.idempotence": True, "topic.metadata.refresh.interval.ms": 5_000}
        )
        config = self._folder / "npsflow.toml"
        names = {
            "NPSFLOW_CONFIG": str(config), "NPSFLOW_SECRET_KIOSK": SECRET, "NPSFLOW_SECRET_ASKED": SECRET,
            "NPSFLOW_TOKEN_ASKED": TOKEN, "NPSFLOW_SECRET_BOARD": SECRET,
            "NPSFLOW_SECRET_NOTIFY_DESK": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        }  # fmt: skip
        for name, (command, *options) in _COMMANDS.items():
            log = stack.enter_context((self._folder / f"{name}.log").open("wb"))
            words = [sys.executable, "-m", "npsflow.agents.entry", command, *options, str(self.ports[name])]
            every = os.environ | self.harness.environment | names | dict(environment)
            process = subprocess.Popen(  # noqa: ASYNC220, it is not waited for
                words, env=every, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            self._processes[name] = process
        self._begin(stack, self._watch())
        await eventually(self.ready, PATIENCE)
        assert max((await self.at_work()).values()) < PATIENCE
        self._begin(stack, self._send())

    async def ready(self) -> bool:
        """Whether all of them say so."""
        for name, port in self.ports.items():
            assert self._processes[name].poll() is None, f"{name} has ended"
            try:
                async with self._session.get(f"http://{HOST}:{port}/health/ready") as answer:
                    if answer.status != 200:
                        return False
            except (aiohttp.ClientError, TimeoutError):
                return False
        return True

    def _begin(self, stack: AsyncExitStack, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        stack.callback(task.cancel)

    async def _send(self) -> None:
        for number in count():
            await self.load.wait()
            task = asyncio.create_task(self._deliver(f"r{next(self._numbers)}"))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            if number % 4 == 0:
                self.fetch(f"f{next(self._numbers)}")
            await asyncio.sleep(_EVERY)

    async def _deliver(self, name: str) -> None:
        """As platforms do: again and again until it is taken."""
        self._sending.add(name)
        while not await self.webhook(name):  # noqa: ASYNC110, intake sends no event
            await asyncio.sleep(_AGAIN)
        self._sending.discard(name)

    async def _watch(self) -> None:
        """Take in what is committed on `service-recovery`."""
        consumer = Consumer(
            self.harness.client
            | {
                "group.id": f"{self.harness.installation.prefix}watch", "auto.offset.reset": "earliest",
                "isolation.level": "read_committed", "enable.auto.commit": False,
                "topic.metadata.refresh.interval.ms": 5_000,
            }
        )  # fmt: skip
        # No group: its own recovery is not what is measured.
        topic = self.harness.installation.topic(topics.SERVICE_RECOVERY)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
        try:
            while True:
                with suppress(KafkaException):
                    for message in await asyncio.to_thread(consumer.consume, 100, 0.2):
                        if message.error() is None:
                            self._take(headers_of(message), json.loads(message.value() or b""))
        finally:
            consumer.close()

    def _take(self, headers: Mapping[str, bytes], value: Mapping[str, Any]) -> None:
        kind = headers["ce_type"].decode()
        if kind == _RAISED:
            self.alerts[value["response_id"]] += 1
        elif kind == _OPENED:
            self.cases[value["response_id"]] = value["case_id"]
            self.opened[value["response_id"]] = headers["ce_id"].decode()


def headers_of(message: Message) -> dict[str, bytes]:
    headers: Any = message.headers()
    return dict(headers or ())


@asynccontextmanager
async def fleet(
    cluster: Any, prefix: str, folder: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Fleet]:
    """One whose processes are at work, under load."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)))
        running: list[Fleet] = []

        async def answer(request: web.Request) -> web.Response:
            return web.json_response(_answered(request.match_info["name"]))

        async def message(request: web.Request) -> web.Response:
            running[0].delivered[request.headers["webhook-id"]] += 1
            return web.Response()

        app = web.Application()
        app.router.add_get("/surveys/{survey}/responses/{name}/details", answer)
        app.router.add_post("/desk", message)
        server = await stack.enter_async_context(TestServer(app))
        settings = SETTINGS.format(api=str(server.make_url("/")).rstrip("/"), desk=server.make_url("/desk"))
        harness = await stack.enter_async_context(Harness(cluster, prefix, settings, SESSION_MS))
        (folder / "npsflow.toml").write_text(settings)
        made = Fleet(harness, folder, session)
        running.append(made)
        await made.start(stack, environment or {})
        yield made


def _answered(name: str) -> Any:
    """What the platform has of a response: of a customer of its own, given just now."""
    (response,) = json.loads((FIXTURES / "surveymonkey" / "answers.json").read_text()).values()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return response | {
        "id": name, "date_created": now, "date_modified": now, "custom_variables": {"customer": f"c-{name}"},
    }  # fmt: skip
