"""`npsflow dlq`: the dead letters, sending them once more, and letting a paused partition go on."""

from collections import Counter
from contextlib import aclosing
from typing import get_args

import click

from npsflow.agents.kafka import clients
from npsflow.agents.operations import dead_letters
from npsflow.agents.runtime import terminal
from npsflow.agents.runtime.terminal import clean, pad
from npsflow.schemas import codec
from npsflow.schemas.errors import Reason
from npsflow.streams.engine.installation import Installation, read_installation

_of_reason = click.option("--reason", type=click.Choice(get_args(Reason)), help="Only those refused for this reason.")


@click.group()
def dlq() -> None:
    """List, replay or accept dead letters: records that could not be accepted."""


@dlq.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_of_reason
def list_letters(as_json: bool, reason: str | None) -> None:
    """Show why, from which platform, where and when each was refused, oldest first; never its content."""
    reasons = clients.run(_list(read_installation(), as_json, reason))
    if not as_json:
        click.echo(_by_reason(reasons) or "no dead letters")


async def _list(installation: Installation, as_json: bool, reason: str | None) -> Counter[str]:
    reasons: Counter[str] = Counter()
    async with aclosing(dead_letters.letters(installation, reason)) as letters:
        async for _, why, _ in letters:
            reasons[why["reason"]] += 1
            if as_json:
                numbers = {name: int(why[name]) for name in ("partition", "offset")}
                click.echo(codec.dumps(why | numbers))
            else:
                source, place = clean(why.get("source", "-")), f"{why['topic']}[{why['partition']}]@{why['offset']}"
                text = f"{why['reason']:<18}  {pad(source, 14)}  {place:<26}  {why['message']}"
                terminal.show_entry(why["at"], text)
    return reasons


@dlq.command()
@_of_reason
@click.option("--dry-run", is_flag=True, help="Only say how many would be sent.")
@click.option("--again", is_flag=True, help="Send those as well that an earlier replay has sent.")
def replay(reason: str | None, dry_run: bool, again: bool) -> None:
    """Send dead letters to the topic they came from, as they were, after what refused them has been mended.

    What was replayed is not sent by a later replay. Whatever is refused once more comes back as a new dead letter.
    """
    sent = 0

    def progress(total: int) -> None:
        nonlocal sent
        sent = total

    with terminal.status(lambda: f"{sent:,} read"):
        work = dead_letters.replay(read_installation(), reason, dry_run=dry_run, again=again, progress=progress)
        reasons = clients.run(work)
    click.echo(_by_reason(reasons) or "nothing to replay")
    click.echo(f"{reasons.total()} dead letters {'would be ' if dry_run else ''}sent back")


@dlq.command()
def accept() -> None:
    """Let partitions go on that stopped because most of their records were refused (`dead_letters.pause`)."""
    count = clients.run(dead_letters.accept(read_installation()))
    click.echo(f"accepted what was refused so far in {count} partitions: paused ones go on within a second")


def _by_reason(reasons: Counter[str]) -> str:
    return "\n".join(f"{n:>8} {name}" for name, n in reasons.most_common())
