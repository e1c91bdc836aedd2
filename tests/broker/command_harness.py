"""One installation on the broker, and the command line for it."""

import asyncio
import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from npsflow.agents.broker.embedded import Broker, free_port
from npsflow.agents.cli import main
from npsflow.agents.kafka import clients, reading
from npsflow.schemas.headers import Headers
from npsflow.streams.engine.installation import Installation
from npsflow.streams.stage import Record
from tests.support.responses import response

SECONDS = 30


class CommandHarness:
    """A prefix of its own, a settings file, and every command run with them."""

    def __init__(self, broker: Broker, prefix: str, folder: Path) -> None:
        self.installation = Installation(broker.bootstrap, prefix)
        self.folder = folder
        self.config = folder / "npsflow.toml"
        self.config.touch()
        self.environment = {
            "NPSFLOW_BROKERS": broker.bootstrap,
            "NPSFLOW_PREFIX": prefix,
            "NPSFLOW_CONFIG": str(self.config),
            "NPSFLOW_SESSION_MS": "2000",
        }

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(main, args, env=self.environment)

    def lines(self, *args: str) -> list[Any]:
        """What a command prints as JSON Lines."""
        result = self.run(*args)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    @contextmanager
    def started(self, *args: str, stderr: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """The command as a process of its own, killed at the end if it still runs."""
        command = [sys.executable, "-m", "npsflow.agents.entry", *args]
        with subprocess.Popen(
            command, env=os.environ | self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def file(self, *lines: bytes) -> str:
        """The path of a file with these lines."""
        path = self.folder / "lines.jsonl"
        path.write_bytes(b"\n".join(lines))
        return str(path)

    def records(self, topic: str, **options: Any) -> list[Record]:
        async def read() -> list[Record]:
            return [record async for record in reading.committed_records(self.installation, topic, **options)]

        return asyncio.run(read())

    def produce(self, topic: str, key: bytes | None, value: bytes, headers: Headers) -> None:
        """One record, as it is."""

        async def send() -> None:
            async with clients.producer(self.installation) as producer:
                await producer.send_and_wait(self.installation.topic(topic), value, key, partition=0, headers=headers)

        asyncio.run(send())

    def checked(self) -> dict[str, list[str]]:
        """Lines of the report by level."""
        result = self.run("check")
        levels: dict[str, list[str]] = {"ok": [], "warn": [], "fail": []}
        for line in result.stdout.splitlines():
            level, _, text = line.partition(" ")
            levels[level].append(text.strip())
        assert result.exit_code == bool(levels["fail"])
        return levels


@contextmanager
def working(harness: CommandHarness) -> Iterator[None]:
    """While a worker runs."""
    with harness.started("worker", "--web-port", str(free_port()), "--name", "one") as process:
        yield
        process.terminate()
        assert process.wait(SECONDS) == 0


def response_json(number: int, **fields: Any) -> bytes:
    """A response of a promoter, submitted now, unless `fields` say something else."""
    usual = {"source": "shop", "survey_id": "s", "score": 9, "submitted_at": datetime.now(UTC).isoformat()}
    return json.dumps(response(f"r{number}", **usual | fields)).encode()


def as_it_is(key: str | None, value: bytes | None) -> bytes:
    return json.dumps({"key": key, "value_base64": None if value is None else b64encode(value).decode()}).encode()
