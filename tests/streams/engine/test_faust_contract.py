"""What npsflow relies on of the inside of Faust, which hosts it: an app that never touches Kafka."""

import subprocess
import sys

from prometheus_client import CollectorRegistry

from npsflow.streams.engine.app import Host
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.metrics import Metrics

NOWHERE = Installation(brokers="127.0.0.1:1")
"""Nobody listens there; Faust's own consumer would wait for it."""


async def test_a_host_starts_and_ends_without_kafka() -> None:
    """Nothing is left open behind it."""
    host = Host(NOWHERE, [], Metrics(CollectorRegistry()))
    async with host.app:
        assert host.app.flow_control.is_active()
        assert not host.app.consumer.started
        assert host.ready
    assert host.app.consumer._thread.thread_loop.is_closed()  # type: ignore[attr-defined]


def test_a_worker_does_not_load_the_tables_of_faust() -> None:
    """Each megabyte counts where many workers rest."""
    program = """
import asyncio, sys
from prometheus_client import CollectorRegistry
from npsflow.streams.engine.app import Host
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.metrics import Metrics

async def main():
    host = Host(Installation(brokers="127.0.0.1:1"), [], Metrics(CollectorRegistry()))
    async def agent(batches): pass
    host.app.agent(host.app.channel(), name="t")(agent)
    async with host.app:
        print(*sys.modules)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert "faust.app.base" in loaded
    assert not {"faust.tables", "faust.tables.recovery", "faust.assignor", "faust.worker"} & loaded
