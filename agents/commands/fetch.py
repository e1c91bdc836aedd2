"""`npsflow fetch`: fetches the answers of platforms whose webhooks hold none."""

import os

import click

from npsflow.agents.fetch.process import run
from npsflow.agents.kafka import clients
from npsflow.agents.runtime.process import prepare
from npsflow.streams.config.settings import load
from npsflow.streams.engine import logs
from npsflow.streams.engine.installation import read_installation


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
    clients.run(run(read_installation(), settings, os.environ, host, port))
