"""The composition root of `npsflow intake`: producer and web server, until it is stopped."""

from collections.abc import Mapping

import click
from prometheus_client import CollectorRegistry

from npsflow.agents.intake.endpoint import Endpoint
from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.intake.producer import open_producer
from npsflow.agents.intake.server import Server
from npsflow.agents.sealing.sealer import open_sealing
from npsflow.agents.web.connections import ConnectionLimiter
from npsflow.agents.web.limits import Limits
from npsflow.agents.web.senders import Senders
from npsflow.agents.web.serving import stop_signal
from npsflow.streams.config.settings import Settings, described, settings_file
from npsflow.streams.engine.installation import Installation


async def run(
    installation: Installation,
    endpoints: Mapping[str, Endpoint],
    host: str,
    port: int,
    limits: Limits,
    senders: Senders,
    settings: Settings,
) -> None:
    """Accept webhooks until Ctrl-C or SIGTERM.

    `settings`: whether what is written is sealed. Raises KafkaFailed when Kafka is there but cannot be used,
    click.UsageError when the port is taken.
    """
    stopping = stop_signal()
    metrics = Metrics(CollectorRegistry())
    limiter = ConnectionLimiter(limits, senders, metrics)
    async with (
        open_sealing(settings, installation) as sealing,
        open_producer(installation, metrics, sealing.sealer) as producer,
        Server(endpoints, producer, limiter).serve(host, port),
    ):
        where = f"http://{host}:{port}/in/NAME for {', '.join(sorted(endpoints))}"
        click.echo(f"Intake is ready: {where}; settings: {described(settings_file())}")
        await stopping.wait()
