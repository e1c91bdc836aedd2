"""Whatever was answered with 2xx is in Kafka, however intake or Kafka end."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic

import aiohttp
import pytest

from npsflow.agents.broker.embedded import HOST, Broker, free_port
from npsflow.schemas.topics import RESPONSES
from npsflow.streams.engine.installation import Installation
from tests.agents.platforms.signing import SECRET, typeform
from tests.support.waiting import eventually

from .serving import TYPEFORM, install, records
from .test_commands import SETTINGS

SECONDS = 60.0
CLIENTS = 16
ENOUGH = 300  # webhooks that are accepted before anything happens


class Intake:
    """`npsflow intake` as a person starts it."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self.url, self._log = f"http://{HOST}:{free_port()}", folder / "intake.log"
        config = folder / "npsflow.toml"
        config.write_text(SETTINGS)
        names = {
            "NPSFLOW_BROKERS": installation.brokers,
            "NPSFLOW_PREFIX": installation.prefix,
            "NPSFLOW_CONFIG": str(config),
        }
        command = [sys.executable, "-m", "npsflow.agents.entry", "intake", "--rate=100000", f"--port={self.url[-5:]}"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=os.environ | names | {"NPSFLOW_SECRET_SHOP": SECRET}, stdout=log, stderr=log
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def ended(self) -> int:
        return await asyncio.to_thread(self.process.wait, SECONDS)


class Load:
    """Webhooks, each another response, from several clients that send again what was not accepted."""

    def __init__(self, intake: Intake, client: aiohttp.ClientSession) -> None:
        self.accepted: set[str] = set()
        self.statuses: set[int] = set()
        self.slowest = 0.0  # answer that is not 200
        self._intake, self._client = intake, client
        self._sent = 0

    async def send(self) -> None:
        while True:
            self._sent += 1
            token = f"r{self._sent}"
            body = TYPEFORM.good.replace(b"a3a12ec67a1365927098a606107fac15", token.encode())
            began = monotonic()
            with suppress(aiohttp.ClientError):
                async with self._client.post("/in/shop", data=body, headers=typeform(body, SECRET, 0)) as answer:
                    self.statuses.add(answer.status)
                    if answer.status == 200:
                        self.accepted.add(token)
                    else:
                        self.slowest = max(self.slowest, monotonic() - began)
                        assert answer.headers["Retry-After"] == "5"
            if self._intake.process.poll() is not None:
                return

    async def ready(self) -> bool:
        with suppress(aiohttp.ClientError):
            async with self._client.get("/health/ready") as answer:
                return answer.status == 200
        return False

    async def not_ready(self) -> bool:
        return not await self.ready()

    async def more(self, count: int) -> None:
        """Return when so many more are accepted."""
        enough = len(self.accepted) + count
        await eventually(lambda: len(self.accepted) >= enough)


@asynccontextmanager
async def load(installation: Installation, folder: Path) -> AsyncIterator[tuple[Intake, Load]]:
    intake = Intake(installation, folder)
    try:
        async with aiohttp.ClientSession(intake.url) as client:
            made = Load(intake, client)
            await eventually(lambda: "Intake is ready" in intake.log)
            sending = [asyncio.create_task(made.send()) for _ in range(CLIENTS)]
            yield intake, made
            for task in sending:
                task.cancel()
            ended = await asyncio.gather(*sending, return_exceptions=True)
            assert {type(result) for result in ended} <= {type(None), asyncio.CancelledError}
    finally:
        intake.process.kill()
        await intake.ended()


async def kept(installation: Installation) -> set[str]:
    return {json.loads(record.value or b"")["response_id"] for record in await records(installation, RESPONSES)}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_what_was_accepted_outlives_intake(broker: Broker, tmp_path: Path, number: signal.Signals) -> None:
    installation = Installation(broker.bootstrap, f"intake-{number.name.lower()}.")
    await install(installation)
    async with load(installation, tmp_path) as (intake, sent):
        await sent.more(ENOUGH)
        intake.process.send_signal(number)
        status = await intake.ended()
    assert sent.accepted <= await kept(installation)
    assert "Traceback" not in intake.log
    if number == signal.SIGTERM:  # what was under way has its answer
        assert status == 0
        assert sent.statuses == {200}


@pytest.mark.faults  # it takes long
async def test_what_was_accepted_outlives_kafka(tmp_path: Path) -> None:
    """It starts while Kafka is away, says so, and goes on when it comes; then Kafka is killed under load."""
    broker = Broker(tmp_path / "kafka", free_port(), brief=True)
    broker.start()
    try:
        installation = Installation(broker.bootstrap, "intake-broker.")
        await install(installation)
        await asyncio.to_thread(broker.kill)
        async with load(installation, tmp_path) as (intake, sent):
            await eventually(lambda: sent.statuses == {503})
            assert await sent.not_ready()
            await asyncio.to_thread(broker.start)
            await eventually(sent.ready)
            await sent.more(ENOUGH)
            await asyncio.to_thread(broker.kill)
            await eventually(sent.not_ready)
            await asyncio.to_thread(broker.start)
            await sent.more(ENOUGH)
            await eventually(sent.ready)
        assert sent.statuses == {200, 503}
        assert sent.slowest < 5
        assert sent.accepted <= await kept(installation)
        assert not re.search("Traceback|example.com|C-1042", intake.log)
    finally:
        await asyncio.to_thread(broker.stop)
