"""`npsflow intake`: survey platforms send webhooks here; `npsflow intake try` shows what one would become."""

import os
import time
from typing import BinaryIO

import click
from prometheus_client import CollectorRegistry

from npsflow.agents import kafka
from npsflow.agents.intake.delivery import Delivery, TurnedDown
from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.intake.server import Server
from npsflow.agents.intake.turning import Entrance, entrances, unsigned
from npsflow.agents.serving import served, until_told
from npsflow.agents.worker import prepare
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import RefusedRecord, SettingsError
from npsflow.streams import logs
from npsflow.streams.forms import Unmapped
from npsflow.streams.reading import read
from npsflow.streams.settings import Where, load, where


@click.group(invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(1, 65535), default=6080, show_default=True, help="Port to listen on.")
@click.option(
    "--rate", type=click.FloatRange(1), default=200.0, show_default=True, help="Requests a second of a sender."
)
@click.pass_context
def intake(ctx: click.Context, host: str, port: int, rate: float) -> None:
    """Take webhooks of survey platforms at /in/NAME, as [intake.NAME] in the settings says, until Ctrl-C.

    The secret of NAME is NPSFLOW_SECRET_NAME. A sender is told that all is well only when Kafka has what it sent.
    """
    if ctx.invoked_subcommand is None:
        found = entrances(load().intake, os.environ)
        if not found:
            raise SettingsError("there is no [intake.NAME] in npsflow.toml: nothing could come in")
        logs.set_up("INFO")
        prepare()
        kafka.run(_serve(where(), found, host, port, rate))


async def _serve(where: Where, found: dict[str, Entrance], host: str, port: int, rate: float) -> None:
    stopping = until_told()
    partitions = len(await kafka.partitions(where, topics.RESPONSES))
    async with kafka.producer(where) as producer:
        server = Server(found, producer, where, partitions, Metrics(CollectorRegistry()), rate)
        async with served(server.app, host, port):
            click.echo(f"Intake is ready: http://{host}:{port}/in/NAME for {', '.join(sorted(found))}")
            await stopping.wait()


@intake.command("try")
@click.argument("name")
@click.argument("file", type=click.File("rb"))
def try_(name: str, file: BinaryIO) -> None:
    """Show what the body in FILE would become at the entrance NAME; nothing is sent, no signature is looked at."""
    settings = load()
    found = unsigned(settings.intake, os.environ)
    if name not in found:
        raise SettingsError(f"there is no [intake.{name}] in npsflow.toml; there are {', '.join(found)}")
    entrance = found[name]
    try:
        records = entrance.records(Delivery({}, file.read()), time.time())
    except TurnedDown as error:
        raise click.ClickException(f"it would be turned down with {error.status}: {error}") from None
    except Unmapped as error:
        raise click.ClickException(f"it would be kept as a dead letter, `unmapped`: {error}") from None
    for topic, key, value in records:
        click.echo(codec.dumps(codec.loads(value), indent=True))
        if topic != topics.RESPONSES:
            click.echo(f"{key.decode()}: for {topic}", err=True)
            continue
        try:
            _, _, warnings = read(value, settings.all_scales())
            verdict = "accepted" + (f"; dropped or cut: {', '.join(warnings)}" if warnings else "")
        except RefusedRecord as error:
            verdict = f"refused, {error.reason}: {error}"
        click.echo(f"{key.decode()}: {verdict}", err=True)
    if not records:
        click.echo("nothing: it says nothing yet, no score question is answered in it", err=True)
