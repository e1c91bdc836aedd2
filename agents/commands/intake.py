"""`npsflow intake`: survey platforms send webhooks here; `npsflow intake try` shows what one would become."""

import os
import time
from typing import BinaryIO

import click

from npsflow.agents.commands import options
from npsflow.agents.intake.endpoint import Understood, signed, unsigned
from npsflow.agents.intake.explaining import explain
from npsflow.agents.intake.process import run
from npsflow.agents.kafka import clients
from npsflow.agents.platforms.protocol import Delivery, Malformed
from npsflow.agents.runtime.process import prepare
from npsflow.agents.web.limits import Limits
from npsflow.agents.web.senders import Senders
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import RefusedRecord, SettingsError
from npsflow.streams.classify.parsing import read
from npsflow.streams.config.settings import load
from npsflow.streams.engine import logs
from npsflow.streams.engine.installation import read_installation
from npsflow.streams.intake.entrance import KeyedRecord
from npsflow.streams.scoring.scores import Scales

_NOTHING = {
    "no_score": "no score question is answered in it, yet or at all",
    "ignored": "it is an event that this entrance does not want",
}


@click.group(invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(1, 65535), default=6080, show_default=True, help="Port to listen on.")
@click.option(
    "--rate", type=click.FloatRange(1), default=Limits.rate, show_default=True, help="Requests a second of a sender."
)
@click.option(
    "--connections", type=click.IntRange(10), default=Limits.connections, show_default=True,
    help="Connections in all; a sender may have a tenth of them.",
)  # fmt: skip
@click.option(
    "--trust", multiple=True, metavar="ADDRESS", help="A proxy or network of them, whose X-Forwarded-For is the sender."
)
@click.pass_context
def intake(ctx: click.Context, host: str, port: int, rate: float, connections: int, trust: tuple[str, ...]) -> None:
    """Take webhooks of survey platforms at /in/NAME, as [intake.NAME] in the settings says, until Ctrl-C.

    The secret of NAME is NPSFLOW_SECRET_NAME, and while another replaces it NPSFLOW_SECRET_NAME_NEXT as well. A sender
    is told that all is well only when Kafka has what it sent.
    """
    if ctx.invoked_subcommand is None:
        try:
            senders = Senders(trust)
        except ValueError:
            raise click.UsageError("--trust takes addresses or networks: 10.0.0.0/8") from None
        logs.set_up("INFO")
        settings = load()
        endpoints = signed(settings, os.environ)
        if not endpoints:
            raise SettingsError("there is no [intake.NAME] in npsflow.toml: nothing could come in")
        limits = Limits(rate=rate, connections=connections, connections_of_one=connections // 10)
        prepare()
        clients.run(run(read_installation(), endpoints, host, port, limits, senders, settings))


@intake.command("try")
@click.argument("name", shell_complete=options.of_settings(lambda settings: settings.intake))
@click.argument("file", type=click.File("rb"))
def try_(name: str, file: BinaryIO) -> None:
    """Show what the body in FILE would become at the entrance NAME; nothing is sent, no signature is looked at.

    Names each path of the mapping with what it finds and what that becomes, and the paths that are there. Exit status 1
    if the body would be kept as a dead letter.
    """
    settings = load()
    if name not in settings.intake:
        known = ", ".join(settings.intake) or "none"
        raise SettingsError(f"there is no [intake.{name}] in npsflow.toml; known: {known}")
    if (endpoint := unsigned(settings, os.environ).get(name)) is None:
        raise SettingsError(f"intake.{name}: {settings.intake[name].platform} sends no webhooks")
    delivery = Delivery({}, file.read())
    if endpoint.webhook.handshake(delivery):
        click.echo("nothing: it is the platform's test, which needs no secret", err=True)
        return
    try:
        understood = endpoint.understand(delivery, time.time())
    except Malformed as error:
        understood = Understood(unmapped=str(error))
    for record in (*understood.records, *understood.refused):
        click.echo(codec.dumps(codec.loads(record.value or b""), indent=True))
        click.echo(f"{(record.key or b'').decode()}: {_verdict(record, settings.all_scales())}", err=True)
    for line in explain(endpoint.entrance.form, delivery, understood):
        click.echo(line, err=True)
    if understood.unmapped:
        raise click.ClickException(f"it would be kept as a dead letter, `unmapped`: {understood.unmapped}")
    if understood.outcome in _NOTHING:
        click.echo(f"nothing: {_NOTHING[understood.outcome]}", err=True)


def _verdict(record: KeyedRecord, scales: Scales) -> str:
    """What a worker would make of it."""
    if record.topic != topics.RESPONSES:
        return f"for {record.topic}"
    try:
        _, _, warnings = read(record.value or b"", scales)
    except RefusedRecord as error:
        return f"refused, {error.reason}: {error}"
    return "accepted" + (f"; dropped or cut: {', '.join(warnings)}" if warnings else "")
