"""`npsflow produce`: responses from JSON Lines to `survey-responses`."""

from contextlib import aclosing
from typing import BinaryIO

import click

from npsflow.agents.kafka import clients
from npsflow.agents.operations.produce import send
from npsflow.schemas import topics
from npsflow.streams.config.settings import load
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.scoring.scores import Scales


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--check", is_flag=True, help="First read every line as a worker would; send nothing if one is refused.")
def produce(file: BinaryIO, check: bool) -> None:
    """Send the responses in FILE, one JSON object a line; `-` sends those of standard input as they come.

    A line {"key": …, "value_base64": …} is sent as it is, both may be null. What is no response at all is sent as well,
    to end as a dead letter, unless --check is given. --check also names fields that nobody knows, or that are dropped.
    """
    scales = load().all_scales() if check else None
    clients.run(_produce(read_installation(), file.fileno(), scales))


async def _produce(installation: Installation, fd: int, scales: Scales | None) -> None:
    sent = 0
    try:
        async with aclosing(send(installation, fd, scales, lambda line: click.echo(line, err=True))) as counts:
            async for count in counts:
                sent += count
    finally:
        click.echo(f"{sent} records sent to {installation.topic(topics.RESPONSES)}")
