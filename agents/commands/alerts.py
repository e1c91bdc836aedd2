"""`npsflow alerts`: what is on `service-recovery`, for people and for programs."""

from contextlib import aclosing, suppress
from typing import Any

import click

from npsflow.agents.kafka import clients, reading
from npsflow.agents.runtime.terminal import clean, minute, one_line, pad, show_entry
from npsflow.schemas import codec, topics
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.stage import Record

_TYPE = "npsflow.alert."


@click.command()
@click.option("--follow", is_flag=True, help="Go on with new ones until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: the event, its type, id, time and key.")
def alerts(follow: bool, as_json: bool) -> None:
    """Show every alert event, oldest first. Times are in UTC."""
    with suppress(KeyboardInterrupt):
        clients.run(_show(read_installation(), follow, as_json))


async def _show(installation: Installation, follow: bool, as_json: bool) -> None:
    shown = False
    async with aclosing(reading.committed_records(installation, topics.SERVICE_RECOVERY, follow=follow)) as records:
        async for record in records:
            if (event := _event(record)) is not None:
                if as_json:
                    click.echo(codec.dumps(event))
                else:
                    _show_event(event)
                shown = True
    if not shown:
        click.echo("no alerts yet", err=True)


def _event(record: Record) -> dict[str, Any] | None:
    """The alert event of a record, None for any other (decisions about cases are on the topic, too)."""
    headers = dict(record.headers)
    kind = headers.get("ce_type", b"").decode()
    if not kind.startswith(_TYPE) or not record.value:
        return None
    fields: dict[str, Any] = codec.loads(record.value)
    cloud_event = {"type": kind, "id": headers["ce_id"].decode(), "time": headers["ce_time"].decode()}
    return fields | cloud_event | {"key": (record.key or b"").decode()}


def _show_event(event: dict[str, Any]) -> None:
    """Time, what happened, how bad, the score, whom it is about (the key: customer or response), where, until when."""
    due, cause, comment = event.get("due_at"), event.get("cause"), event.get("comment")
    parts = [
        f"{event['type'].removeprefix(_TYPE).partition('.')[0]:<10}",
        f"{event.get('severity', ''):<8}",
        f"{event['metric']} {event.get('score', '')}".ljust(8),
        pad(clean(event["key"]), 24),
        pad(clean(event.get("channel", "")), 6),
        pad(clean(event.get("department", "")), 12),
        f"due {minute(due)}" if due else f"because of: {cause}" if cause else "",
        f"“{one_line(comment)}”" if comment else "",
    ]
    show_entry(minute(event["time"]), "  ".join(parts))
