"""`npsflow forget`: a customer's data is removed at once where it can be, and it says how long the rest is kept."""

import os
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import click

from npsflow.agents.cases.actions import InvalidAction, parse_action
from npsflow.agents.cases.erasure import REMEMBERED_TOPIC, RETAINING_TOPICS, STATE_TOPIC, Erasure, Retained
from npsflow.agents.commands.options import by, login, warn_of_root
from npsflow.agents.kafka import clients
from npsflow.agents.kafka.renewed_producer import renewed_producer
from npsflow.agents.runtime.terminal import reading, show_table
from npsflow.schemas import topics
from npsflow.schemas.cases import TeamAction
from npsflow.schemas.times import DAY, rfc3339
from npsflow.streams.config.settings import Settings, load
from npsflow.streams.engine.admin import topic_configs
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.intake.entrance import CUSTOMERS, pseudonym

_UNBOUND = 1 << 62  # where no setting says how long something may wait for compaction


@click.command()
@click.argument("customers", metavar="CUSTOMER...", nargs=-1, required=True)
@by
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--timeout", type=click.FloatRange(1), default=60.0, show_default=True, help="Seconds to wait for the workers."
)
def forget(customers: tuple[str, ...], by: str | None, yes: bool, timeout: float) -> None:
    """Remove what is known of one customer: what was answered, and all cases.

    CUSTOMER is an id as in `customer.id` of responses, or an e-mail address, of which intake makes an id where there is
    none (by NPSFLOW_SECRET_CUSTOMERS, which has to be set): name all by which this customer is known.

    Counts stay. What is on topics that keep everything for a time stays until that is over; it says until when.
    """
    try:
        action = parse_action({"action_id": uuid.uuid4().hex, "action": "forget", "by": by or login()})
    except InvalidAction as error:
        raise click.UsageError(str(error)) from None
    if not all(customers):
        raise click.UsageError("the id of a customer is not empty")
    if any(0xD800 <= ord(character) <= 0xDFFF for customer in customers for character in customer):
        raise click.UsageError("the id of a customer is UTF-8")
    settings, installation = load(), read_installation()
    addresses, key = [name for name in customers if "@" in name], os.environ.get(CUSTOMERS, "")
    if addresses and not key:
        click.echo(f"{CUSTOMERS} is not set: an id that intake has made of an address is not looked for", err=True)
    if not yes:
        click.confirm("Remove what is known of this customer, cases too? There is no way back", abort=True)
    names = [*customers, *(pseudonym(address, key) for address in addresses if key)]
    clients.run(_forget(settings, installation, names, action, timeout))


class Row(NamedTuple):
    """Of one topic; `until` in ms, None where it holds nothing of the customer."""

    topic: str
    records: int
    until: int | None
    why: str


async def _forget(
    settings: Settings, installation: Installation, names: list[str], action: TeamAction, timeout: float
) -> None:
    kept = [
        installation.topic(name) for name in (*(topic.name for topic in RETAINING_TOPICS), topics.CASES, STATE_TOPIC)
    ]
    async with clients.admin(installation) as admin, clients.reader(installation) as consumer:
        configs = await topic_configs(admin, kept)
        work = Erasure(installation, admin, consumer, names)
        async with renewed_producer(installation) as producer:
            cases = await work.erase(producer, action, timeout)
        click.echo(f"forgotten: all that recover knew of the customer, cases among it: {cases}; counts stay")
        rows = []
        for topic in RETAINING_TOPICS:
            with reading(topic.name) as progress:
                rows.append(
                    _row(topic.name, await work.retained_in(topic, progress), configs[installation.topic(topic.name)])
                )
        with reading(REMEMBERED_TOPIC) as progress:
            rows.append(_remembered(await work.retained_by_classify(progress), settings.horizon_days))
    _show(rows)
    warn_of_root(action.by)
    for line in _compacted(configs[installation.topic(topics.CASES)], configs[installation.topic(STATE_TOPIC)]):
        click.echo(line)
    if not any("@" in name for name in names):
        click.echo("Refused webhooks in survey-responses-dlq may hold an e-mail address and no id: name that, too.")


def _row(topic: str, kept: Retained, config: Mapping[str, str]) -> Row:
    """A segment is deleted when the newest record in it is too old; none is added to it for longer than segment.ms."""
    retention, segment = int(config["retention.ms"]), int(config["segment.ms"])
    if not kept.records:
        return Row(topic, 0, None, "")
    if retention < 0:
        return Row(topic, kept.records, _UNBOUND, "retention.ms is -1: set it with kafka-configs")
    return Row(topic, kept.records, kept.newest + retention + segment, "at the latest")


def _remembered(kept: Retained, horizon_days: int) -> Row:
    """Its clock is that of the data: it is over when responses that much younger have come."""
    until = kept.newest + horizon_days * DAY if kept.records else None
    return Row(
        REMEMBERED_TOPIC, kept.records, until, "id and score, to correct answers; goes on with the data's own time"
    )


def _show(rows: Iterable[Row]) -> None:
    cells = [
        (row.topic, str(row.records), "" if row.until is None else _day(row.until), row.why if row.records else "")
        for row in rows
    ]
    show_table(("topic", "records", "kept until", ""), cells, right=("records",))


def _day(ms: int) -> str:
    return "for ever" if ms >= _UNBOUND else rfc3339(ms)[:16].replace("T", " ") + " UTC"


def _compacted(*configs: Mapping[str, str]) -> Iterable[str]:
    """How long what was removed may still stand in the brokers' files."""
    now = int(time.time() * 1000)
    lag = max(int(config["max.compaction.lag.ms"]) for config in configs)
    deleted = max(int(config["delete.retention.ms"]) for config in configs)
    if lag >= _UNBOUND:
        yield "What was removed leaves the brokers' files as Kafka compacts them: max.compaction.lag.ms sets a limit."
    else:
        yield f"What was removed leaves the brokers' files by {_day(now + lag)}, as Kafka compacts them;"
        yield f"the id alone, as a deleted key, {deleted / DAY:g} day(s) after that, when they are compacted next."
