"""`npsflow broker`: a real Kafka for trying things out, in the foreground."""

import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from npsflow.agents.broker.download import BrokerError, fetch_kafka
from npsflow.agents.broker.embedded import Broker
from npsflow.agents.runtime.terminal import shows_progress, status


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=9092, show_default=True, help="Port on 127.0.0.1.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for all that Kafka keeps; used again, it continues. Without it: a temporary one, removed at the end.",
)
def broker(port: int, data: Path | None) -> None:
    """Run a real Kafka, one node on the loopback address, until Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as for Ctrl-C
    with ExitStack() as cleanup:
        try:
            _fetch()
            if data is None:
                data = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="npsflow-broker-")))
            kafka = Broker(data, port)
            cleanup.callback(kafka.stop)
            click.echo(f"Kafka starts, data in {data}")
            kafka.start()
            click.echo(f"Kafka is ready: NPSFLOW_BROKERS={kafka.bootstrap} (process {kafka.pid}; Ctrl-C stops it)")
            kafka.wait()
            raise BrokerError(f"Kafka ended by itself. The end of {kafka.log}:\n{kafka.tail()}")
        except KeyboardInterrupt:
            click.echo("Kafka stops")


def _fetch() -> None:
    """One line that changes on a terminal, else a line for each step."""
    if not shows_progress():
        fetch_kafka(click.echo)
        return
    steps = [""]
    with status(lambda: steps[-1]):
        fetch_kafka(steps.append)
