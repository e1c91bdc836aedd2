"""A disk is full: commits stop, and all goes on, with nothing lost and nothing twice, when there is room again."""

import asyncio
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from npsflow.agents.broker.download import fetch_kafka
from npsflow.agents.broker.embedded import Broker, free_port
from tests.conftest import SHORT_SESSIONS
from tests.support.waiting import eventually

from .scenario import PATIENCE, Scenario

_SIZE = "192m"
_PIECE = b"\0" * 65_536


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


async def test_the_disk_of_the_broker(small_disk: Path, tmp_path: Path) -> None:
    """Kafka ends when it cannot write; a person makes room and starts it again."""
    fetch_kafka(print)
    broker = Broker(small_disk / "kafka", free_port(), SHORT_SESSIONS, brief=True)
    broker.start()
    try:
        async with Scenario(broker, "full.", tmp_path, "disk of the broker full", session_ms=6_000) as load:
            workers = [load.worker() for _ in range(2)]
            for _ in range(3):
                await load.committed(300)
                ballast = small_disk / "ballast"
                fill(ballast)
                await eventually(partial(ended, broker), PATIENCE)
                load.injected()
                ballast.unlink()
                await asyncio.to_thread(broker.start)
                await eventually(load.recovered, PATIENCE)
            assert [worker.running for worker in workers] == [True, True]
    finally:
        broker.stop()


def fill(file: Path) -> None:
    """Until nothing is left."""
    with file.open("wb", buffering=0) as ballast:
        while True:
            try:
                ballast.write(_PIECE)
            except OSError:
                return


async def ended(broker: Broker) -> bool:
    return not broker.running
