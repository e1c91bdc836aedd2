"""The composition root of `npsflow fetch`: HTTP and Kafka clients, fetcher and metrics, until it is stopped."""

import time
from collections.abc import Mapping

import aiohttp
import click
from aiohttp import web
from prometheus_client import CollectorRegistry

from npsflow.agents.fetch.fetcher import Fetcher, Writer
from npsflow.agents.fetch.metrics import Metrics
from npsflow.agents.fetch.sources import sources
from npsflow.agents.kafka import reading
from npsflow.agents.kafka.renewed_consumer import renewed_consumer
from npsflow.agents.kafka.renewed_producer import renewed_producer
from npsflow.agents.sealing.sealer import open_sealing
from npsflow.agents.web.serving import beside, serve, stop_signal
from npsflow.schemas import topics
from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.settings import Settings, described, settings_file
from npsflow.streams.engine.health import Health, routes
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.contact import Contact


async def run(
    installation: Installation,
    settings: Settings,
    environment: Mapping[str, str],
    host: str,
    port: int,
) -> None:
    """Fetch answers until Ctrl-C or SIGTERM.

    Raises SettingsError when there is nothing to fetch from, KafkaFailed when Kafka cannot be used, click.UsageError
    when the port is taken.
    """
    stopping = stop_signal()
    async with aiohttp.ClientSession() as session:
        found = sources(settings.intake, environment, session, time.time)
        if not found:
            raise SettingsError("no [intake.NAME] in npsflow.toml is of a platform whose answers are fetched")
        partitions = len(await reading.partitions(installation, topics.FETCHES))
        group = installation.group("fetch")
        async with (
            renewed_consumer(installation, group, installation.session_ms, at_rest=True) as consumer,
            renewed_producer(installation) as producer,
            open_sealing(settings, installation, environment) as sealing,
        ):
            await sealing.sealer.start()
            metrics, app = Metrics(CollectorRegistry()), web.Application()
            fetcher = Fetcher(found, consumer, Writer(producer, installation, partitions, sealing.sealer), metrics)
            contact = Contact(consumer, topic := installation.topic(topics.FETCHES))
            health = Health(fetcher.ready, "reading", installation.session_ms / 1000, contact.silent_for)
            app.router.add_routes(routes(metrics.registry, health))
            async with serve(app, host, port), beside(contact.keep()):
                where = f"http://{host}:{port}/metrics; settings: {described(settings_file())}"
                click.echo(f"Fetching for {', '.join(sorted(found))}; {where}")
                await fetcher.run(topic, stopping)
