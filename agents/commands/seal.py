"""`npsflow seal`: seals what others produce in the clear, or wraps the keys of customers anew."""

import click

from npsflow.agents.kafka import clients
from npsflow.agents.operations.forwarding import forward
from npsflow.agents.runtime.process import prepare
from npsflow.agents.sealing.cipher import VARIABLE
from npsflow.agents.sealing.keyring import open_keyring
from npsflow.agents.web.serving import stop_signal
from npsflow.schemas import topics
from npsflow.streams.config.settings import Settings, load
from npsflow.streams.engine.installation import Installation, read_installation


@click.command()
@click.option("--from", "topic", metavar="TOPIC", help="The topic of the producers, with its whole name.")
@click.option("--rewrap", is_flag=True, help=f"Wrap all keys by the newest secret of {VARIABLE}, and end.")
def seal(topic: str | None, rewrap: bool) -> None:
    """Seal the responses in TOPIC and send them on to survey-responses, until Ctrl-C.

    For producers that npsflow does not control: they send to a topic of their own, which may be kept for an hour. As
    many processes as there are partitions share the work.
    """
    if (topic is None) == (not rewrap):
        raise click.UsageError("say either --from TOPIC or --rewrap")
    settings, installation = load(), read_installation()
    if topic is None:
        count = clients.run(_rewrap(installation))
        click.echo(f"{count} keys are wrapped by the newest secret of {VARIABLE}")
    else:
        prepare()
        click.echo(f"{clients.run(_forward(settings, installation, topic))} records sent on")


async def _forward(settings: Settings, installation: Installation, topic: str) -> int:
    stopping = stop_signal()
    click.echo(f"Sealing {topic} into {installation.topic(topics.RESPONSES)}")
    return await forward(settings, installation, topic, stopping)


async def _rewrap(installation: Installation) -> int:
    async with open_keyring(installation) as keyring:
        return await keyring.rewrap()
