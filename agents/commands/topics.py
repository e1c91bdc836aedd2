"""`npsflow topics`: make the topics of an installation, or show what there is of them."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import click
from aiokafka import TopicPartition

from npsflow.agents.kafka import clients, reading
from npsflow.agents.kafka.diagnosis import NotSetUp
from npsflow.agents.runtime.terminal import show_table
from npsflow.schemas.errors import TopicsRefused
from npsflow.schemas.times import DAY
from npsflow.streams.config.settings import load
from npsflow.streams.engine.admin import Wanted, create, partition_counts, topic_configs
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.topology import wanted

_SHOWN = ("cleanup.policy", "retention.ms", "message.timestamp.type")


@click.group()
def topics() -> None:
    """Create or list the topics, changelogs included."""


@topics.command("create")
def create_topics() -> None:
    """Create every topic that is not there yet, with the partitions of the settings."""
    installation = read_installation()
    clients.run(_create(installation, wanted(load(), installation)))


@topics.command("list")
def list_topics() -> None:
    """Show partitions, retention and size of each topic.

    Records are counted by offsets: transaction markers, and what compaction has removed, are counted as well.
    """
    installation = read_installation()
    clients.run(_list(installation, wanted(load(), installation)))


async def _create(installation: Installation, topics: list[Wanted]) -> None:
    async with clients.admin(installation) as client:
        there = await partition_counts(client)
        if wrong := [t for t in topics if there.get(t.name, t.partitions) != t.partitions]:
            differences = ", ".join(f"{t.name} has {there[t.name]} instead of {t.partitions}" for t in wrong)
            raise NotSetUp(
                f"nothing was created, partitions differ from the settings: {differences}. Set [topics] partitions and "
                "pane_partitions in npsflow.toml to what there is, or use another NPSFLOW_PREFIX"
            )
        try:
            made = set(await create(client, [t for t in topics if t.name not in there]))
        except TopicsRefused as error:
            _show(topics, there.keys(), set(error.made))
            raise

        async def listed() -> bool:
            return made <= (await partition_counts(client)).keys()

        async with asyncio.timeout(clients.PATIENCE):
            await clients.until(listed)  # a topic is listed a little after it is made
        _show(topics, {topic.name for topic in topics}, made)


def _show(topics: Iterable[Wanted], there: Collection[str], made: Collection[str]) -> None:
    for name in (topic.name for topic in topics):
        if name in made or name in there:
            click.echo(f"{'created' if name in made else 'already there'}: {name}")


async def _list(installation: Installation, topics: list[Wanted]) -> None:
    async with clients.admin(installation) as client:
        counts = await partition_counts(client)
        there = [t.name for t in topics if t.name in counts]
        configs = await topic_configs(client, there)
        records = await _records(installation, {name: counts[name] for name in there})
    rows = []
    for topic in topics:
        if topic.name in records:
            policy, retention, stamp = (configs[topic.name].get(name, "?") for name in _SHOWN)
            kept = "forever" if policy == "compact" or retention == "-1" else _days(retention)
            rows.append((topic.name, str(counts[topic.name]), policy, kept, stamp, str(records[topic.name])))
        else:
            rows.append((topic.name, "missing", "", "", "", ""))
    head = ("topic", "partitions", "cleanup", "retention", "timestamps", "records")
    show_table(head, rows, right=("partitions", "records"), above=("topic",))


def _days(retention: str) -> str:
    return f"{int(retention) / DAY:g} days" if retention.isdecimal() else retention


async def _records(installation: Installation, counts: Mapping[str, int]) -> Counter[str]:
    """How many each topic holds, by offsets; `counts` are its partitions."""
    records = Counter(dict.fromkeys(counts, 0))
    if counts:
        async with clients.reader(installation) as consumer:
            of = [TopicPartition(name, partition) for name, count in counts.items() for partition in range(count)]
            for tp, (begin, end) in (await reading.offset_ranges(consumer, of)).items():
                records[tp.topic] += end - begin
    return records
