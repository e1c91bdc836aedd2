"""What npsflow relies on of the inside of Faust, which hosts it: an app that never touches Kafka."""

from prometheus_client import CollectorRegistry

from npsflow.streams.engine.app import Host
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.metrics import Metrics


async def test_a_host_starts_and_ends_without_kafka() -> None:
    """Nobody listens there; Faust's own consumer would wait for it. Nothing is left open behind it."""
    host = Host(Installation(brokers="127.0.0.1:1"), [], Metrics(CollectorRegistry()))
    async with host.app:
        assert host.app.flow_control.is_active()
        assert not host.app.consumer.started
        assert host.ready
    assert host.app.consumer._thread.thread_loop.is_closed()  # type: ignore[attr-defined]
