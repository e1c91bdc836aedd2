"""`npsflow forget`: a customer's data is removed at once where it can be, and it says how long the rest is kept."""

import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, NoReturn

import click

from npsflow.agents.cases.actions import InvalidAction, parse_action
from npsflow.agents.cases.erasure import REMEMBERED_TOPIC, RETAINING_TOPICS, STATE_TOPIC, Erasure, Retained
from npsflow.agents.cases.persons import Search, address, is_address
from npsflow.agents.commands.options import by, login, warn_of_root
from npsflow.agents.kafka import clients
from npsflow.agents.kafka.renewed_producer import renewed_producer
from npsflow.agents.runtime.terminal import one_line, reading, show_table
from npsflow.agents.sealing.keyring import open_keyring
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
@click.option("--yes", is_flag=True, help="Do not ask; of several customers with an address, take all.")
@click.option(
    "--timeout", type=click.FloatRange(1), default=60.0, show_default=True, help="Seconds to wait for the workers."
)
def forget(customers: tuple[str, ...], by: str | None, yes: bool, timeout: float) -> None:
    """Remove what is known of one customer: what was answered, and all cases.

    CUSTOMER is an id as in `customer.id` of responses, or an e-mail address: customers who answered with it are found,
    and so is the id that intake made of it (by NPSFLOW_SECRET_CUSTOMERS, which has to be set). Name all by which this
    customer is known. Exit status 1, and nothing is removed, if nothing is known of one of them.

    Counts stay. What is on topics that keep everything for a time stays until that is over; it says until when.
    """
    try:
        action = parse_action({"action_id": uuid.uuid4().hex, "action": "forget", "by": by or login()})
    except InvalidAction as error:
        raise click.UsageError(str(error)) from None
    if not all(customer.strip() for customer in customers):
        raise click.UsageError("the id of a customer is not empty")
    if any(0xD800 <= ord(character) <= 0xDFFF for customer in customers for character in customer):
        raise click.UsageError("the id of a customer is UTF-8")
    key = os.environ.get(CUSTOMERS, "")
    if any(map(is_address, customers)) and not key:
        click.echo(f"{CUSTOMERS} is not set: an id that intake has made of an address is not looked for", err=True)
    settings, installation = load(), read_installation()
    clients.run(_forget(settings, installation, _Asked(customers, key, yes), action, timeout))


class _Asked(NamedTuple):
    """The names on the command line, the key of pseudonyms or "", and whether all questions are answered with yes."""

    customers: Sequence[str]
    key: str
    yes: bool

    def pseudonyms(self) -> dict[str, set[str]]:
        """By each address that was given, the ids that intake makes of it."""
        given = [name for name in self.customers if self.key and is_address(name)]
        return {name: {pseudonym(form, self.key) for form in (name, address(name))} for name in given}


class Row(NamedTuple):
    """Of one topic; `until` in ms, None where it holds nothing of the customer. `clear`: records not sealed."""

    topic: str
    records: int
    until: int | None
    why: str
    clear: int = 0


async def _forget(
    settings: Settings, installation: Installation, asked: _Asked, action: TeamAction, timeout: float
) -> None:
    kept = [
        installation.topic(name) for name in (*(topic.name for topic in RETAINING_TOPICS), topics.CASES, STATE_TOPIC)
    ]
    async with (
        clients.admin(installation) as admin,
        clients.reader(installation) as consumer,
        open_keyring(installation) as keyring,
    ):
        configs = await topic_configs(admin, kept)
        work = Erasure(installation, admin, consumer, keyring, settings.sealing)
        found = await _search(work, asked)
        names = sorted(found.names)
        async with renewed_producer(installation) as producer:
            cases = await work.erase(found, producer, action, timeout)
        click.echo(f"forgotten: all that recover knew of the customer, cases among it: {cases}; counts stay")
        rows = []
        for topic in RETAINING_TOPICS:
            with reading(topic.name) as progress:
                kept_there = await work.retained_in(topic, found, progress)
            rows.append(_row(topic.name, kept_there, configs[installation.topic(topic.name)]))
        with reading(REMEMBERED_TOPIC) as progress:
            rows.append(_remembered(await work.retained_by_classify(names, progress), settings.horizon_days))
        keys = await topic_configs(admin, [installation.topic(topics.CUSTOMER_KEYS)]) if work.sealed else {}
    _show(rows, with_clear=work.sealed)
    warn_of_root(action.by)
    for config in keys.values():
        for line in _shredded(work.shredded, config):
            click.echo(line)
    for line in _compacted(configs[installation.topic(topics.CASES)], configs[installation.topic(STATE_TOPIC)]):
        click.echo(line)
    if not any(map(is_address, names)):
        click.echo("Refused webhooks in survey-responses-dlq may hold an e-mail address and no id: name that, too.")


async def _search(work: Erasure, asked: _Asked) -> Search:
    """A search for all ids and addresses that are to be forgotten, once that is confirmed.

    Raises ClickException for one of which nothing is known.
    """
    made = asked.pseudonyms()
    search = await work.search({*asked.customers, *(id_ for ids in made.values() for id_ in ids)}, reading)
    known = search.known | {name for name, ids in made.items() if ids & search.known}
    if unknown := [name for name in asked.customers if name not in known]:
        await _say_what_is_near(work, unknown)
    names = [*asked.customers, *sorted(search.known - set(asked.customers))]
    others = {key: count for key, count in search.customers.items() if key not in names}
    names += _chosen(others, asked.yes)
    if not asked.yes:
        listed = ", ".join(one_line(name) for name in names)
        click.confirm(f"Remove what is known of {listed}, cases too? There is no way back", abort=True)
    return search if search.names == set(names) else await work.search(set(names), reading)


async def _say_what_is_near(work: Erasure, unknown: Sequence[str]) -> NoReturn:
    neighbours = await work.neighbours(reading)
    for name in unknown:
        near = ", ".join(one_line(other) for other in neighbours.near(name)) or "nothing"
        click.echo(f"nothing is known of {one_line(name)}; near it there is {near}", err=True)
    raise click.ClickException("nothing was removed: leave out what is not known, or mend it")


def _chosen(customers: Mapping[str, int], yes: bool) -> list[str]:
    """Those of the customers who have an address that was given, by their numbers of records, who are meant."""
    if not customers:
        return []
    keys = sorted(customers)
    click.echo("Customers who answered with this address:", err=True)
    for number, key in enumerate(keys, 1):
        click.echo(f"{number:>4}  {one_line(key)}, in {customers[key]} records", err=True)
    if yes:
        return keys
    chosen: list[int] = click.prompt("Which of them? Numbers, `all` or `none`", value_proc=_numbers(len(keys)))
    return [keys[number - 1] for number in chosen]


def _numbers(count: int) -> Callable[[str], list[int]]:
    def parse(text: str) -> list[int]:
        if text.strip().lower() in ("all", "none"):
            return list(range(1, count + 1)) if text.strip().lower() == "all" else []
        parts = text.replace(",", " ").split()
        if not parts or not all(part.isdecimal() and 1 <= int(part) <= count for part in parts):
            raise click.BadParameter(f"numbers from 1 to {count}, `all` or `none`")
        return sorted({int(part) for part in parts})

    return parse


def _row(topic: str, kept: Retained, config: Mapping[str, str]) -> Row:
    """A segment is deleted when the newest record in it is too old; none is added to it for longer than segment.ms."""
    if not kept.records:
        return Row(topic, 0, None, "")
    if not {"retention.ms", "segment.ms"} <= config.keys():
        return Row(topic, kept.records, None, "this broker does not tell how long it keeps records", kept.clear)
    retention, segment = int(config["retention.ms"]), int(config["segment.ms"])
    if retention < 0:
        return Row(topic, kept.records, _UNBOUND, "retention.ms is -1: set it with kafka-configs", kept.clear)
    return Row(topic, kept.records, kept.newest + retention + segment, "at the latest", kept.clear)


def _remembered(kept: Retained, horizon_days: int) -> Row:
    """Its clock is that of the data: it is over when responses that much younger have come."""
    until = kept.newest + horizon_days * DAY if kept.records else None
    return Row(
        REMEMBERED_TOPIC, kept.records, until, "id and score, to correct answers; goes on with the data's own time"
    )


def _show(rows: Iterable[Row], *, with_clear: bool) -> None:
    """`with_clear`: also in how many records personal texts are not sealed."""
    cells = [
        (
            row.topic,
            str(row.records),
            *((str(row.clear),) if with_clear else ()),
            "" if row.until is None else _day(row.until),
            row.why if row.records else "",
        )
        for row in rows
    ]
    head = ("topic", "records", *(("in the clear",) if with_clear else ()), "kept until", "")
    show_table(head, cells, right=("records", "in the clear"))


def _shredded(keys: int, config: Mapping[str, str]) -> Iterable[str]:
    """What has become of sealed texts, and when their keys are gone from the brokers' files, too."""
    yield f"Keys deleted: {keys}. What they sealed opens nowhere any more, on no topic and in no copy of one."
    if "max.compaction.lag.ms" not in config:
        yield "The keys themselves leave the brokers' files as Kafka compacts them; this broker does not tell when."
        return
    now, lag = int(time.time() * 1000), int(config["max.compaction.lag.ms"])
    yield f"The keys themselves leave the brokers' files by {_day(now + lag)}, or with the first key made after that."


def _day(ms: int) -> str:
    return "for ever" if ms >= _UNBOUND else rfc3339(ms)[:16].replace("T", " ") + " UTC"


def _compacted(*configs: Mapping[str, str]) -> Iterable[str]:
    """How long what was removed may still stand in the brokers' files."""
    if not all({"max.compaction.lag.ms", "delete.retention.ms"} <= config.keys() for config in configs):
        yield "What was removed leaves the brokers' files as Kafka compacts them; this broker does not tell when."
        return
    now = int(time.time() * 1000)
    lag = max(int(config["max.compaction.lag.ms"]) for config in configs)
    deleted = max(int(config["delete.retention.ms"]) for config in configs)
    if lag >= _UNBOUND:
        yield "What was removed leaves the brokers' files as Kafka compacts them: max.compaction.lag.ms sets a limit."
    else:
        yield f"What was removed leaves the brokers' files by {_day(now + lag)}, as Kafka compacts them;"
        yield f"the id alone, as a deleted key, {deleted / DAY:g} day(s) after that, when they are compacted next."
