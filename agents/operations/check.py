"""What is wrong with an installation, and what to do about it."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from npsflow.agents.intake.endpoint import unsigned
from npsflow.agents.intake.mapping_faults import mapping_faults
from npsflow.agents.kafka import clients, permissions, reading
from npsflow.agents.kafka.diagnosis import ALLOW, FORBIDDEN, KafkaFailed, furthest, try_all
from npsflow.agents.kafka.starting import refusals
from npsflow.agents.operations.check_groups import group_findings
from npsflow.agents.operations.dead_letters import opened_whole
from npsflow.agents.operations.finding import Finding, fail, ok, warn
from npsflow.agents.operations.sealing_faults import clear_responses, short_keys
from npsflow.agents.sealing.keyring import open_keyring
from npsflow.schemas import topics as names
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.times import DAY
from npsflow.streams.classify.counters import COUNTERS, DEAD, MISPLACED, OUTCOMES, SOURCE
from npsflow.streams.config.settings import Settings, described, settings_file
from npsflow.streams.engine.admin import Wanted, partition_counts, topic_configs
from npsflow.streams.engine.counters import decode_counters
from npsflow.streams.engine.installation import Installation
from npsflow.streams.recovery.counters import COUNTERS as RECOVER_COUNTERS
from npsflow.streams.recovery.counters import FORWARDED, READ
from npsflow.streams.topology import STAGES, wanted

_SECTION = 20.0  # seconds for each of the sections below
_NEWEST = 200  # records of each partition that are looked at for mappings


async def findings(settings: Settings, installation: Installation) -> AsyncIterator[Finding]:
    """What is right and wrong, as it is results. A section that fails is the last: the others rest on it."""
    sections: tuple[Callable[[Settings, Installation], Awaitable[list[Finding]]], ...]
    sections = (_settings, _broker, _access, _topics, _state, group_findings, _outcomes, _mappings, _sealing)
    for section in sections:
        try:
            async with asyncio.timeout(_SECTION):
                results = await section(settings, installation)
        except KafkaFailed as error:
            results = [Finding("fail", str(error))]
        except (KafkaError, TimeoutError) as error:
            results = [fail(f"Kafka says {str(error) or 'nothing in time'}", "look into its log, and try again")]
        for finding in results:
            yield finding
        if any(finding.level == "fail" for finding in results):
            return


async def _settings(settings: Settings, installation: Installation) -> list[Finding]:
    counted = f"horizon {settings.horizon_days} days, windows {' '.join(settings.windows.lengths)}"
    results = [ok(f"settings: {described(settings_file())}; {counted}")]
    if not settings.idle_ticks:
        results.append(warn("settings: windows stand still while nothing arrives", "set idle_ticks = true"))
    if settings.alerts.private_fields:
        todo = "set alerts.private_fields = false unless every subscriber may see them"
        results.append(warn("settings: names, e-mail addresses and phone numbers are in events", todo))
    return results


async def _broker(settings: Settings, installation: Installation) -> list[Finding]:
    attempts = await try_all(installation)
    if (refused := furthest(attempts)) is not None:
        return [Finding("fail", str(refused))]
    async with clients.admin(installation) as client:
        brokers = len((await client.describe_cluster())["brokers"])
    security = installation.security
    who = f" to user {security.user!r}" if security.login else ""
    results = [
        ok(f"broker: {installation.brokers} answers{who} by {security.protocol}, brokers in the cluster: {brokers}")
    ]
    results += [Finding("warn", str(attempt.refused)) for attempt in attempts if attempt.refused is not None]
    copies = settings.topics.replication
    if 0 < copies < 3 <= brokers:
        text = f"broker: new topics have {copies} copies, and are lost with as many brokers"
        results.append(warn(text, "remove topics.replication, or set it to 3"))
    return results


async def _access(settings: Settings, installation: Installation) -> list[Finding]:
    """What a worker needs, as if this was one: Kafka does not say what others may do."""
    needs = permissions.of_worker(settings, installation, STAGES)
    results = [Finding("fail", str(refused)) for refused in await permissions.missing(installation, needs)]
    return results or [ok("permission: all that a worker needs is allowed")]


async def _topics(settings: Settings, installation: Installation) -> list[Finding]:
    topics = wanted(settings, installation)
    async with clients.admin(installation) as client:
        counts = await partition_counts(client)
        results = []
        if absent := [t.name for t in topics if t.name not in counts]:  # those that no worker needs
            text = f"topics: there is no {', '.join(absent)}, or this client may not DESCRIBE it"
            results.append(warn(text, "run `npsflow topics create`, or allow it"))
        topics = [t for t in topics if t.name in counts]
        try:
            configs = await topic_configs(client, [t.name for t in topics])
        except TopicAuthorizationFailedError as error:
            text = f"permission: this client may not DESCRIBE_CONFIGS topic {error.args[0]}, and so not check it"
            return [*results, warn(text, ALLOW)]
    horizon = settings.horizon_days * DAY
    results += [f for t in topics for f in _topic(t, counts[t.name], configs[t.name], horizon)]
    return results or [ok(f"topics: all {len(topics)} are as they should be")]


def _topic(topic: Wanted, count: int, told: Mapping[str, str], horizon: int) -> Iterator[Finding]:
    if count != topic.partitions:
        text = f"topics: {topic.name} has {count} partitions, the settings say {topic.partitions}"
        yield fail(text, "set [topics] in npsflow.toml to that; if partitions were added, run `npsflow rebuild`")
    if unknown := sorted(topic.config.keys() - told.keys()):
        text = f"topics: the broker does not tell {', '.join(unknown)} of {topic.name}"
        yield warn(text, "look with its own tools; docs/brokers.md says what npsflow needs")
    yield from _config(topic, {**topic.config, **told}, horizon)  # what it does not tell is taken as right


def _config(topic: Wanted, config: Mapping[str, str], horizon: int) -> Iterator[Finding]:
    def differs(key: str, why: str) -> tuple[str, str]:
        return f"topics: {topic.name} has {key}={config[key]}, {why}", f"set {topic.config[key]} with kafka-configs"

    if config["cleanup.policy"] != topic.config["cleanup.policy"]:
        yield fail(*differs("cleanup.policy", "so what is needed disappears or what is old stays"))
    if config["message.timestamp.type"] != "LogAppendTime":
        why = "so retention deletes replayed history, and clocks of clients count"
        yield warn(*differs("message.timestamp.type", why))
    if int(config["max.message.bytes"]) < int(topic.config["max.message.bytes"]):
        yield warn(*differs("max.message.bytes", "so one large record stops its partition"))
    for key in ("max.compaction.lag.ms", "delete.retention.ms"):
        if key in topic.config and int(config[key]) > int(topic.config[key]):
            yield warn(*differs(key, "so what was deleted leaves the brokers' files later"))
    kept, asked = int(config.get("retention.ms", -1)), int(topic.config.get("retention.ms", 0))
    if asked < 0 <= kept:
        yield fail(*differs("retention.ms", "so a restart misses what it needs"))
    elif topic.name.endswith(names.RESPONSES) and 0 <= kept < horizon:
        yield fail(*differs("retention.ms", "so a rebuild misses responses within the horizon"))


async def _state(settings: Settings, installation: Installation) -> list[Finding]:
    """What a worker would say at its start."""
    refused = await refusals(settings, installation, STAGES)
    return [Finding("fail", f"worker: {error}") for error in refused] or [ok("state: fits the topics and the settings")]


async def _outcomes(settings: Settings, installation: Installation) -> list[Finding]:
    counters = Counter(decode_counters(COUNTERS, await reading.counters(installation, "classify")))
    listed = ", ".join(f"{outcome} {counters['', outcome]}" for outcome in OUTCOMES if counters["", outcome])
    results = [ok(f"outcomes: {listed or 'nothing has been read yet'}")]
    if ours := sum(n for key, n in counters.items() if key[:2] == (DEAD, "internal_error")):
        todo = "report it; after an update run `npsflow dlq replay --reason internal_error`"
        results.append(warn(f"outcomes: {ours} records met a mistake of npsflow itself", todo))
    misplaced = sorted((key[1], count) for key, count in counters.items() if key[0] == MISPLACED and count)
    if misplaced:
        listed = ", ".join(
            f"{source} {count:,}{_share(count, counters[SOURCE, source])}" for source, count in misplaced
        )
        results.append(warn(f"outcomes: records in another partition than their keys give: {listed}", _PARTITIONER))
    recovered = Counter(decode_counters(RECOVER_COUNTERS, await reading.counters(installation, "recover")))
    if forwarded := recovered[READ, FORWARDED]:
        text = f"outcomes: actions in another partition than their keys give: {forwarded:,}"
        results.append(warn(text, _PARTITIONER))
    return results


async def _mappings(settings: Settings, installation: Installation) -> list[Finding]:
    """What `[intake.NAME]` names and the newest records do not have. Kafka keeps them: nothing is counted for it."""
    endpoints = unsigned(settings, os.environ)
    if not endpoints:
        return []
    try:
        responses, letters = [
            [record async for record in reading.committed_records(installation, topic, last=_NEWEST)]
            for topic in (names.RESPONSES, names.DEAD_LETTERS)
        ]
        async with open_keyring(installation) as keyring:
            letters = [await opened_whole(letter, keyring) for letter in letters]
    except KafkaFailed:
        return [ok("mappings: not looked at, this client may not read responses and dead letters")]
    results = [warn(text, todo) for text, todo in mapping_faults(endpoints.values(), responses, letters)]
    return results or [ok("mappings: every path has found something, or there are too few responses to tell")]


async def _sealing(settings: Settings, installation: Installation) -> list[Finding]:
    """Whether what is personal is sealed, where it should be, and can be opened as long as it is kept."""
    if not settings.sealing.enabled:
        return []
    of = {installation.topic(topic.name): topic.name for topic in names.ALL}
    async with clients.admin(installation) as client:
        there = [name for name in await partition_counts(client) if name in of]
        configs = await topic_configs(client, there)
    try:
        responses = [record async for record in reading.committed_records(installation, names.RESPONSES, last=_NEWEST)]
        async with open_keyring(installation) as keyring:
            await keyring.start()
    except FORBIDDEN:
        return [ok("sealing: not looked at, this client may not read responses and keys")]
    except SettingsError as error:
        return [Finding("fail", str(error))]
    faults = [
        *clear_responses(responses, settings.sealing.attributes),
        *short_keys({of[name]: config for name, config in configs.items()}),
    ]
    return [warn(text, todo) for text, todo in faults] or [ok("sealing: the newest responses are sealed")]


_PARTITIONER = (
    "they are forwarded and count once, at the cost of reading them twice. Set Kafka's default partitioner in these "
    "producers: partitioner=murmur2_random for librdkafka (confluent-kafka, kcat, .NET, node-rdkafka), "
    "NewMurmur2Partitioner for sarama, Murmur2Balancer for kafka-go, the default one for kafkajs"
)


def _share(misplaced: int, accepted: int) -> str:
    """What part of the accepted responses of a source that is; nothing where it is not known."""
    return f" ({min(100, round(100 * misplaced / accepted))}% of its responses)" if accepted else ""
