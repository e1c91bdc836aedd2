"""`npsflow rebuild`: state, panes and windows made anew from the responses; no event is written a second time."""

import click

from npsflow.agents.kafka import clients
from npsflow.agents.operations import rebuild as rebuilding
from npsflow.streams.config.settings import load
from npsflow.streams.engine.installation import read_installation


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def rebuild(yes: bool) -> None:
    """Empty state and windows, and replay all responses that the input topic still holds.

    Workers have to be stopped. Alerts, follow-ups and dead letters that stand already are not written again.
    """
    settings, installation = load(), read_installation()
    if not yes:
        click.confirm(f"Empty the state below prefix {installation.prefix!r} and replay?", abort=True)
    clients.run(rebuilding.rebuild(settings, installation, click.echo))
    click.echo("rebuilt: workers can be started")
