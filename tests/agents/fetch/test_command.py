"""`npsflow fetch` as a process of its own."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from npsflow.agents.broker.embedded import Broker, free_port
from npsflow.agents.cli import main
from tests.broker.harness import SECONDS
from tests.support.waiting import eventually

from .fetching import Installed, event
from .standin import TOKEN, SurveyMonkey


async def test_the_process(broker: Broker, tmp_path: Path) -> None:
    standin, port = SurveyMonkey(), free_port()
    async with (
        standin.running() as address,
        Installed(broker, "fetch-process.", tmp_path, "surveymonkey", address) as shop,
    ):
        await shop.ask(event(1))
        environment = os.environ | shop.commands.environment | {"NPSFLOW_TOKEN_SHOP": TOKEN}
        command = [sys.executable, "-m", "npsflow.agents.entry", "fetch", "--port", str(port)]
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=STDOUT)
        try:
            await eventually(partial(all_fetched, shop))
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                async with session.get("/health/live") as answer:
                    assert await answer.json() == {"status": "live"}
                async with session.get("/health/ready") as answer:
                    assert (answer.status, await answer.json()) == (200, {"status": "ready"})
                async with session.get("/metrics") as answer:
                    metrics = await answer.text()
            process.send_signal(signal.SIGTERM)
            printed, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, printed
    assert 'npsflow_fetches_total{entrance="shop",outcome="fetched"} 1.0' in metrics
    assert 'npsflow_fetch_pending{entrance="shop"} 0.0' in metrics
    assert TOKEN not in printed.decode()
    assert len(await shop.responses()) == 2


async def all_fetched(shop: Installed) -> bool:
    return not await shop.standing()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "no [intake.NAME] in npsflow.toml is of a platform whose answers are fetched"),
        ("[intake.shop]\nplatform = 'typeform'", "no [intake.NAME] in npsflow.toml is of a platform"),
        ("[intake.shop]\nplatform = 'surveymonkey'", "intake.shop has no token: set NPSFLOW_TOKEN_SHOP"),
    ],
)
def test_it_does_not_start_without_what_it_needs(tmp_path: Path, settings: str, message: str) -> None:
    config = tmp_path / "npsflow.toml"
    config.write_text(settings)
    result = CliRunner().invoke(main, ["fetch"], env={"NPSFLOW_CONFIG": str(config)})
    assert result.exit_code == 2
    assert message in result.stderr
