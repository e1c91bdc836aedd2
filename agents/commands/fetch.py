"""`npsflow fetch`: fetches the answers of platforms whose webhooks hold none."""

import os
import time

import aiohttp
import click
from aiohttp import web
from prometheus_client import CollectorRegistry

from npsflow.agents.fetch.fetcher import Fetcher
from npsflow.agents.fetch.metrics import Metrics
from npsflow.agents.fetch.sources import sources
from npsflow.agents.kafka import clients
from npsflow.agents.runtime.process import prepare
from npsflow.agents.web.serving import served, until_told
from npsflow.schemas import topics
from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.settings import Settings, load
from npsflow.streams.engine import logs
from npsflow.streams.engine.health import routes
from npsflow.streams.engine.installation import Installation, read_installation


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to serve /health and /metrics.")
@click.option("--port", type=click.IntRange(1, 65535), default=6081, show_default=True, help="Port for them.")
def fetch(host: str, port: int) -> None:
    """Fetch answers for events that came without, from the APIs of their platforms, until Ctrl-C.

    The token of [intake.NAME] is NPSFLOW_TOKEN_NAME, or stands in a file that it names behind an @. As many processes
    as there are partitions share the work.
    """
    settings = load()
    logs.set_up("INFO")
    prepare()
    clients.run(_fetch(read_installation(), settings, host, port))


async def _fetch(installation: Installation, settings: Settings, host: str, port: int) -> None:
    stopping = until_told()
    async with aiohttp.ClientSession() as session:
        found = sources(settings.intake, os.environ, session, time.time)
        if not found:
            raise SettingsError("no [intake.NAME] in npsflow.toml is of a platform whose answers are fetched")
        partitions = len(await clients.partitions(installation, topics.FETCHES))
        group = installation.group("fetch")
        async with (
            clients.reader(installation, group, installation.session_ms) as consumer,
            clients.producer(installation) as producer,
        ):
            metrics, app = Metrics(CollectorRegistry()), web.Application()
            fetcher = Fetcher(found, consumer, producer, installation, partitions, metrics)
            app.router.add_routes(routes(metrics.registry, fetcher.ready, "reading"))
            async with served(app, host, port):
                click.echo(f"Fetching for {', '.join(sorted(found))}; http://{host}:{port}/metrics")
                await fetcher.run(stopping)
