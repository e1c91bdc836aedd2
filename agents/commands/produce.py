"""`npsflow produce`: responses from JSON Lines to `survey-responses`."""

from contextlib import aclosing
from typing import BinaryIO

import click

from npsflow.agents.kafka import clients
from npsflow.agents.operations.produce import Check, send, try_out
from npsflow.schemas import topics
from npsflow.streams.config.settings import Settings, load
from npsflow.streams.engine.installation import Installation, read_installation


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--check", is_flag=True, help="First read every line as a worker would; send nothing if one is refused.")
@click.option("--dry-run", is_flag=True, help="Send nothing; only check every line and say what they would cause.")
def produce(file: BinaryIO, check: bool, dry_run: bool) -> None:
    """Send the responses in FILE, one JSON object a line; `-` sends those of standard input as they come.

    A line {"key": …, "value_base64": …} is sent as it is, both may be null. What is no response at all is sent as well,
    to end as a dead letter, unless --check is given. --check also names fields that nobody knows, or that are dropped,
    and says first what alerts and follow-ups the lines cause.
    """
    if dry_run:
        count = clients.run(try_out(file.fileno(), _check(load(), to_stderr=False)))
        click.echo(f"{count} records would be sent")
        return
    settings = load()
    checked = _check(settings, to_stderr=True) if check else None
    clients.run(_produce(read_installation(), file.fileno(), checked, settings))


def _check(settings: Settings, *, to_stderr: bool) -> Check:
    return Check(
        scales=settings.all_scales(),
        tombstones_delete=settings.topics.tombstones_delete,
        alert_metrics=settings.alerts.metrics,
        follow_ups=settings.follow_ups.enabled,
        report=lambda line: click.echo(line, err=to_stderr),
    )


async def _produce(installation: Installation, fd: int, check: Check | None, settings: Settings) -> None:
    sent = 0
    try:
        async with aclosing(send(installation, fd, check, settings)) as counts:
            async for count in counts:
                sent += count
    finally:
        click.echo(f"{sent} records sent to {installation.topic(topics.RESPONSES)}")
