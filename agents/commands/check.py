"""`npsflow check`: what is wrong with an installation, and what to do about it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Literal, NamedTuple

import click
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from npsflow.agents import kafka
from npsflow.agents.commands.topics import topic_configs
from npsflow.agents.stages import STAGES
from npsflow.schemas import topics as names
from npsflow.schemas.errors import SettingsError
from npsflow.streams.classification import OUTCOMES
from npsflow.streams.settings import Settings, Where, load, where
from npsflow.streams.times import DAY
from npsflow.streams.topics import Wanted, wanted

_COMMIT = 2.0  # seconds within which a worker that reads commits at least once
_SECTION = 10.0

Level = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """One line of the report; `text` says what to do unless the level is `ok`."""

    level: Level
    text: str


class Reading(NamedTuple):
    """How far a group is behind, and the sum of what it has committed."""

    lag: int
    committed: int


@click.command()
def check() -> None:
    """Check settings, broker, topics, the lag of readers and what was counted; exit status 1 if anything fails."""

    async def show() -> bool:
        failed = False
        async for level, text in findings():
            click.echo(f"{level:<4}  {text}")
            failed |= level == "fail"
        return failed

    if kafka.run(show()):
        raise SystemExit(1)


async def findings() -> AsyncIterator[Finding]:
    """Everything that was found, as it is found. What rests on something that failed is left out."""
    try:
        settings, surroundings = load(), where()
    except SettingsError as error:
        yield Finding("fail", f"settings: {error}")
        return
    for finding in _settings(settings):
        yield finding
    sections: tuple[Callable[[Settings, Where], Awaitable[list[Finding]]], ...] = (
        _broker,
        _topics,
        _groups,
        _state,
        _outcomes,
    )
    for section in sections:
        name = section.__name__.strip("_")
        try:
            async with asyncio.timeout(_SECTION):
                found = await section(settings, surroundings)
        except kafka.KafkaFailed as error:
            found = [Finding("fail", f"{name}: {error}")]
        except (KafkaError, TimeoutError) as error:
            found = [
                Finding("fail", f"{name}: Kafka answers {error or 'not in time'}: look into its log, and try again")
            ]
        for finding in found:
            yield finding
        if section is not _groups and any(level == "fail" for level, _ in found):
            return


def _settings(settings: Settings) -> list[Finding]:
    lengths = " ".join(settings.windows.lengths)
    found = [Finding("ok", f"settings: horizon {settings.horizon_days} days, windows {lengths}")]
    if not settings.idle_ticks:
        found.append(
            Finding("warn", "settings: idle_ticks = false stops windows while nothing arrives: only for replays")
        )
    if settings.alerts.private_fields:
        found.append(
            Finding("warn", "settings: alerts.private_fields = true puts names, e-mail addresses and phone numbers into "
                            "events: set it to false unless every subscriber may see them")
        )  # fmt: skip
    return found


async def _broker(settings: Settings, where: Where) -> list[Finding]:
    async with kafka.admin(where) as client:
        brokers = len((await client.describe_cluster())["brokers"])
    found = [Finding("ok", f"broker: {where.brokers} answers, brokers in the cluster: {brokers}")]
    if brokers >= 3 and settings.topics.replication < 3:
        found.append(
            Finding(
                "warn", f"broker: topics.replication = {settings.topics.replication} loses data with a broker: set 3"
            )
        )
    return found


async def _topics(settings: Settings, where: Where) -> list[Finding]:
    topics = wanted(settings, where)
    async with kafka.admin(where) as client:
        counts = await kafka.partition_counts(client)
        configs = await topic_configs(client, [t.name for t in topics if t.name in counts])
    if missing := [t.name for t in topics if t.name not in counts]:
        return [Finding("fail", f"topics: there is no {', '.join(missing)}: run `npsflow topics create`")]
    found = [finding for t in topics for finding in _partitions(t, counts[t.name], settings, where)]
    found += [finding for t in topics for finding in _config(t, configs[t.name], settings, where)]
    return found or [Finding("ok", f"topics: all {len(topics)} are as they should be")]


def _partitions(topic: Wanted, count: int, settings: Settings, where: Where) -> list[Finding]:
    if count == topic.partitions:
        return []
    todo = "set [topics] in npsflow.toml to what there is, or if partitions were added, run `npsflow rebuild`"
    return [
        Finding("fail", f"topics: {topic.name} has {count} partitions, the settings say {topic.partitions}: {todo}")
    ]


def _config(topic: Wanted, config: Mapping[str, str], settings: Settings, where: Where) -> list[Finding]:
    found = []

    def finding(level: Level, key: str, why: str, value: str | None = None) -> None:
        todo = f"set {value or topic.config[key]} (kafka-configs --alter)"
        found.append(Finding(level, f"topics: {topic.name} has {key}={config[key]}: {why}; {todo}"))

    key = "cleanup.policy"
    if config[key] != topic.config[key]:
        finding("fail", key, "records that are needed disappear, or old ones stay")
    key = "message.timestamp.type"
    if config[key] != "LogAppendTime":
        finding("warn", key, "retention deletes replayed history at once")
    key = "max.message.bytes"
    if int(config[key]) < int(topic.config[key]):
        finding("warn", key, "a large record stops its partition")
    key, kept, horizon = "retention.ms", int(config["retention.ms"]), settings.horizon_days * DAY
    if topic.name == where.topic(names.RESPONSES) and 0 <= kept < horizon:
        finding(
            "fail", key, "responses go before the horizon ends, and `npsflow rebuild` counts too few", f"≥ {horizon}"
        )
    elif topic.config.get(key) == "-1" and kept != -1:
        finding("fail", key, "what a restart needs is deleted")
    return found


async def _groups(settings: Settings, where: Where) -> list[Finding]:
    inputs = {
        where.group(name): {where.topic(topic) for topic in make(settings, where).inputs}
        for name, (make, _) in STAGES.items()
    }
    recovery = where.topic(names.SERVICE_RECOVERY)
    async with kafka.admin(where) as client, kafka.reader(where) as consumer:
        counts = await kafka.partition_counts(client)

        async def reading(group: str, of: set[str]) -> Reading | None:
            committed = {
                tp: offset
                for tp, (offset, _) in (await client.list_consumer_group_offsets(group)).items()
                if tp.topic in of
            }
            if not committed:
                return None
            tps = [TopicPartition(topic, partition) for topic in of for partition in range(counts[topic])]
            ranges = await kafka.offset_ranges(consumer, tps)
            lag = sum(max(0, end - max(begin, committed.get(tp, begin))) for tp, (begin, end) in ranges.items())
            return Reading(lag, sum(committed.values()))

        found = []
        before = {group: await reading(group, of) for group, of in inputs.items()}
        if any(r is not None and r.lag for r in before.values()):
            await asyncio.sleep(_COMMIT)
        for group, earlier in before.items():
            found.append(_reader(group, earlier, await reading(group, inputs[group])))
        for group, protocol in sorted(await client.list_consumer_groups()):
            if group not in inputs and protocol in ("consumer", "") and (r := await reading(group, {recovery})):
                found.append(Finding("ok", f"groups: {group} reads {recovery}, lag {r.lag}"))
    return found


def _reader(group: str, before: Reading | None, after: Reading | None) -> Finding:
    if after is None:
        return Finding("warn", f"groups: {group} has read nothing yet: start `npsflow worker`")
    if after.lag and before is not None and before.committed == after.committed:
        todo = "start `npsflow worker`, or look into its log"
        return Finding("warn", f"groups: {group} has lag {after.lag} and read nothing for {_COMMIT:.0f} s: {todo}")
    return Finding("ok", f"groups: {group}, lag {after.lag}")


async def _state(settings: Settings, where: Where) -> list[Finding]:
    async with kafka.admin(where) as client:
        counts = await kafka.partition_counts(client)
    found = []
    for stage in STAGES:
        for position in await kafka.positions(where, stage):
            now = {topic: counts.get(where.topic(topic)) for topic in position["partitions"]}
            if now != position["partitions"]:
                todo = "run `npsflow rebuild`"
                found.append(
                    Finding(
                        "fail",
                        f"state: {stage} was counted with partitions {position['partitions']}, now there are {now}: {todo}",
                    )
                )
                break
    return found or [Finding("ok", "state: fits the topics")]


async def _outcomes(settings: Settings, where: Where) -> list[Finding]:
    total = await kafka.counters(where, "classify")
    said = ", ".join(f"{outcome} {total[outcome]}" for outcome in OUTCOMES if total[outcome])
    found = [Finding("ok", f"outcomes: {said or 'nothing has been read yet'}")]
    if broken := sum(n for name, n in total.items() if name.startswith("dead:internal_error")):
        todo = "report it, and after an update run `npsflow dlq replay --reason internal_error`"
        found.append(Finding("warn", f"outcomes: {broken} records met a mistake of npsflow: {todo}"))
    if foreign := total["foreign_partitioner"]:
        todo = "set its partitioner to Kafka's default (librdkafka: partitioner=murmur2_random)"
        found.append(
            Finding(
                "warn",
                f"outcomes: {foreign} of a sample of one in 1,000 records lay in another partition than their key gives: a producer partitions differently; {todo}",
            )
        )
    return found
