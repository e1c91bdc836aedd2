"""`npsflow notify NAME`: tells a team of cases; `try` tests that, `log` and `replay` are about what was sent."""

import asyncio
import os
import time
from typing import get_args

import click
from click.shell_completion import CompletionItem

from npsflow.agents.commands import options
from npsflow.agents.kafka import clients
from npsflow.agents.notify import delivery_log, process, trial
from npsflow.agents.notify.first_start import announcement
from npsflow.agents.runtime.process import prepare
from npsflow.agents.runtime.terminal import one_line
from npsflow.schemas import codec
from npsflow.schemas.notify import Backlog, Delivery, State
from npsflow.schemas.times import rfc3339
from npsflow.streams.config.settings import load
from npsflow.streams.engine import logs
from npsflow.streams.engine.installation import read_installation
from npsflow.streams.notify.settings import NotifierSettings

_notifiers = options.of_settings(lambda settings: settings.notify)


class NotifierGroup(click.Group):
    """Makes a command of every notifier of the settings, and of every kind that needs none."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Any name is a command: whether there is such a notifier is known once the settings are read."""
        return super().get_command(ctx, cmd_name) or _command(cmd_name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete notifiers of the settings, too."""
        return [*super().shell_complete(ctx, incomplete), *_notifiers(ctx, None, incomplete)]


@click.group(cls=NotifierGroup, subcommand_metavar="NAME | COMMAND [ARGS]...")
def notify() -> None:
    """Tell a team what happens to cases, as [notify.NAME] in the settings says, until Ctrl-C.

    NAME alone is enough for `console`. The secret of NAME is NPSFLOW_SECRET_NOTIFY_NAME. As many processes of one
    notifier as there are partitions share its work.
    """


def _command(name: str) -> click.Command:
    @click.command(name, help=f"Send what [notify.{name}] says, until Ctrl-C.")
    @click.option("--host", default="127.0.0.1", show_default=True, help="Where to serve /health and /metrics.")
    @click.option("--port", type=click.IntRange(1, 65535), default=6082, show_default=True, help="Port for them.")
    @click.option("--send-backlog", is_flag=True, help="Send what the very first start did not, as it was too much.")
    def run(host: str, port: int, send_backlog: bool) -> None:
        settings = load()
        notifier = process.settings_of(settings, name)
        logs.set_up("INFO")
        prepare()
        clients.run(process.run(read_installation(), name, notifier, (host, port), settings, send_backlog=send_backlog))

    return run


@notify.command("try")
@click.argument("name", shell_complete=_notifiers)
@click.option("--to", "person", help="Only who is called so in `to`; else each address is tried.")
def try_(name: str, person: str | None) -> None:
    """Send a test message, and say what is wrong in the words of whoever refused it. Needs no Kafka.

    Ends with status 1 if a message does not arrive. `zendesk` opens a ticket.
    """
    failed = asyncio.run(_try(name, process.settings_of(load(), name), person))
    if failed:
        raise SystemExit(1)


async def _try(name: str, notifier: NotifierSettings, person: str | None) -> int:
    failed = 0
    async for one in trial.trials(name, notifier, person, os.environ):
        failed += bool(one.problem)
        who = " at ".join(filter(None, [f"to.{one.person}" if one.person else "", one.receiver])) or name
        answer = f"\n      it answers: {one_line(one.words)}" if one.words else ""
        click.echo(f"fail  {who}: {one.problem}{answer}" if one.problem else f"ok    {who}: it has the test message")
    return failed


@notify.command("log")
@click.argument("name", required=False, shell_complete=_notifiers)
@click.option("--state", type=click.Choice(get_args(State)), help="Only those in this state.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(name: str | None, state: str | None, as_json: bool) -> None:
    """Show what became of each message, of NAME or of all notifiers; never its content."""
    known = clients.run(delivery_log.read_state(read_installation()))
    deliveries = [delivery for _, delivery in known.deliveries]
    backlogs = [left for _, left in known.backlogs]
    on_log = {one.notifier for one in deliveries} | {left.notifier for left in backlogs}
    if name is not None and name not in on_log:
        process.expect_notifier(load(), name, on_log)
    shown = [one for one in deliveries if name in (None, one.notifier) and state in (None, one.state)]
    for delivery in shown:
        click.echo(codec.encode(delivery).decode() if as_json else _line(delivery))
    if not shown:
        click.echo("no such messages", err=True)
    _show_backlogs(name, backlogs)


@notify.command()
@click.argument("name", shell_complete=_notifiers)
@click.option("--id", "event_id", help="Only messages about the event with this id, or of which the id begins like it.")
def replay(name: str, event_id: str | None) -> None:
    """Send messages now: those that were given up, and those that wait for their next try."""
    process.expect_notifier(load(), name)
    given_up, waiting = clients.run(delivery_log.replay(read_installation(), name, event_id))
    click.echo(f"{given_up} messages will be sent again")
    if waiting:
        click.echo(f"{waiting} messages that wait are tried now")


def _show_backlogs(name: str | None, backlogs: list[Backlog]) -> None:
    for notifier in sorted({left.notifier for left in backlogs if name in (None, left.notifier)}):
        mine = [left for left in backlogs if left.notifier == notifier]
        click.echo(announcement(notifier, sum(left.count for left in mine), mine[0].hours), err=True)


def _line(delivery: Delivery) -> str:
    tries = f"{delivery.attempts} {'try' if delivery.attempts == 1 else 'tries'}"
    parts = [
        rfc3339(delivery.at), f"{delivery.notifier:<10}", f"{delivery.state:<9}", f"{delivery.event_id:<40}",
        f"{tries:<8}", _next_try(delivery), one_line(delivery.error or delivery.reference),
    ]  # fmt: skip
    return "  ".join(filter(None, parts)).rstrip()


def _next_try(delivery: Delivery) -> str:
    """When it is sent, if that is known; what is due waits for its address, or for the message before it."""
    if delivery.state != "waiting" or delivery.not_before <= 1000 * time.time():
        return ""
    return f"next try {rfc3339(delivery.not_before)}"
