"""`npsflow notify NAME`: sends a team messages about cases; `log` and `replay` are about what was sent."""

from typing import get_args

import click
from click.shell_completion import CompletionItem

from npsflow.agents.commands import options
from npsflow.agents.kafka import clients
from npsflow.agents.notify import delivery_log, process
from npsflow.agents.runtime.process import prepare
from npsflow.agents.runtime.terminal import one_line
from npsflow.schemas import codec
from npsflow.schemas.notify import Delivery, State
from npsflow.schemas.times import rfc3339
from npsflow.streams.config.settings import load
from npsflow.streams.engine import logs
from npsflow.streams.engine.installation import read_installation

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
    def run(host: str, port: int) -> None:
        notifier = process.settings_of(load(), name)
        logs.set_up("INFO")
        prepare()
        clients.run(process.run(read_installation(), name, notifier, host, port))

    return run


@notify.command("log")
@click.argument("name", required=False, shell_complete=_notifiers)
@click.option("--state", type=click.Choice(get_args(State)), help="Only those in this state.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(name: str | None, state: str | None, as_json: bool) -> None:
    """Show what became of each message, of NAME or of all notifiers; never its content."""
    deliveries = [delivery for _, delivery in clients.run(delivery_log.latest_deliveries(read_installation()))]
    on_log = {delivery.notifier for delivery in deliveries}
    if name is not None and name not in on_log:
        process.expect_notifier(load(), name, on_log)
    shown = [one for one in deliveries if name in (None, one.notifier) and state in (None, one.state)]
    for delivery in shown:
        click.echo(codec.encode(delivery).decode() if as_json else _line(delivery))
    if not shown:
        click.echo("no such messages", err=True)


@notify.command()
@click.argument("name", shell_complete=_notifiers)
@click.option("--id", "event_id", help="Only messages about the event with this id, or of which the id begins like it.")
def replay(name: str, event_id: str | None) -> None:
    """Send messages again that were given up, after what stood in the way has been mended."""
    process.expect_notifier(load(), name)
    count = clients.run(delivery_log.replay(read_installation(), name, event_id))
    click.echo(f"{count} messages will be sent again")


def _line(delivery: Delivery) -> str:
    tries = f"{delivery.attempts} {'try' if delivery.attempts == 1 else 'tries'}"
    parts = [
        rfc3339(delivery.at), f"{delivery.notifier:<10}", f"{delivery.state:<9}", f"{delivery.event_id:<40}",
        f"{tries:<8}", one_line(delivery.error or delivery.reference),
    ]  # fmt: skip
    return "  ".join(parts).rstrip()
