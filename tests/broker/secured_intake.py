"""Intake and fetch as processes of their own: what comes in, what becomes of it, and what cannot."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from npsflow.agents.broker.embedded import free_port
from npsflow.schemas.topics import DEAD_LETTERS, FETCHES
from tests.agents.fetch.standin import FIXTURES, TOKEN, SurveyMonkey
from tests.agents.platforms.signing import SECRET, surveymonkey, typeform
from tests.support.waiting import eventually

from .harness import Harness
from .secured import SECONDS, SECRETS

_SETTINGS = """
[intake.typed]
platform = "typeform"
scores = [{ question = "answers.nps", metric = "nps" }]
[intake.shop]
platform = "surveymonkey"
api = "%s"
scores = [{ question = "weights.319352786", metric = "nps" }]
comment = ["texts.319352788"]
"""


async def take_in_and_fetch(
    harness: Harness, intake: dict[str, str], fetch: dict[str, str], folder: Path, settings: str = ""
) -> None:
    """One response comes with its answers, one is fetched, one cannot be, and one is not understood."""
    config = folder / "intake.toml"
    own = {"NPSFLOW_CONFIG": str(config), "NPSFLOW_SECRET_TYPED": SECRET, "NPSFLOW_SECRET_SHOP": SECRET}
    async with SurveyMonkey().running() as address:
        config.write_text(settings + _SETTINGS % address)
        port = free_port()
        async with _running(["intake", f"--port={port}"], intake | own):
            good, event = ((FIXTURES / name / "good.json").read_bytes() for name in ("typeform", "surveymonkey"))
            gone = json.dumps(json.loads(event) | {"object_id": "404", "event_id": "404"}).encode()
            other = good.replace(b'"nps"', b'"other"')
            bodies = [("typed", good, 200), ("typed", other, 202), ("shop", event, 200), ("shop", gone, 200)]
            for name, body, status in bodies:
                sign = typeform if name == "typed" else surveymonkey
                assert await _posted(f"http://127.0.0.1:{port}/in/{name}", body, sign(body, SECRET, 0)) == status
        async with _running(["fetch", f"--port={free_port()}"], fetch | own | {"NPSFLOW_TOKEN_SHOP": TOKEN}):

            async def fetched() -> bool:
                newest = {record.key: record.value for record in await harness.read(FETCHES)}
                return len(newest) == 2 and not any(newest.values())

            await eventually(fetched)
    reasons = [dict(letter.headers)["npsflow_dlq_reason"] for letter in await harness.read(DEAD_LETTERS)]
    assert (reasons.count(b"unmapped"), reasons.count(b"unfetched")) == (1, 1)


async def _posted(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status, once somebody listens."""
    found = list[int]()

    async def posted() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
                found.append(answer.status)
                return True
        except aiohttp.ClientConnectorError:
            return False

    await eventually(posted)
    return found[-1]


@asynccontextmanager
async def _running(words: list[str], environment: Mapping[str, str]) -> AsyncIterator[None]:
    """A process that ends well when it is told."""
    command = [sys.executable, "-m", "npsflow.agents.entry", *words]
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | environment, stdout=PIPE, stderr=STDOUT)
    try:
        yield
        process.send_signal(signal.SIGTERM)
        printed, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, printed
    assert not [secret for secret in (*SECRETS, SECRET, TOKEN) if secret in printed.decode()]
