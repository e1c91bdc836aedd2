"""Topics and changelogs on the broker: what there should be, what there is, and making it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from npsflow.schemas import topics
from npsflow.schemas.errors import StateError
from npsflow.schemas.times import DAY
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.recovery.stage import Recover
from npsflow.streams.stage import Stage
from npsflow.streams.windows.stage import Rollup

_STAGES = (Classify, Rollup, Recover)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it should be; `name` with prefix."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


def wanted(settings: Settings, installation: Installation) -> list[Wanted]:
    """Every topic of an installation, changelogs included."""
    counts = {"input": settings.topics.partitions, "panes": settings.topics.pane_partitions}
    copies = settings.topics.replication
    found = [
        Wanted(installation.topic(t.name), counts[t.partitions], copies, t.config(settings.horizon_days))
        for t in topics.ALL
    ]
    state = {
        "cleanup.policy": "compact",
        "segment.bytes": str(8 << 20),
        "segment.ms": str(10 * 60_000),
        "min.cleanable.dirty.ratio": "0.1",
        "max.compaction.lag.ms": str(DAY),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(topics.MAX_RECORD),
    }
    log = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "segment.bytes": str(16 << 20),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(topics.MAX_RECORD),
    }
    for stage in _STAGES:
        partitions = counts[topics.BY_NAME[stage.inputs[0]].partitions]
        found.append(Wanted(installation.changelog(stage.name, "state"), partitions, copies, state))
        if stage.logs:
            found.append(Wanted(installation.changelog(stage.name, "remembered"), partitions, copies, log))
    return found


async def partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Partitions of each topic there is. All are asked for: to ask for one by name may create it."""
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


async def topic_configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Kafka's settings of topics, as they are in effect. Raises KafkaError for what Kafka does not tell."""
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    resources = [resource for response in responses for resource in response.resources]
    for code, _, _, name, _ in resources:
        if code:
            raise for_code(code)(name)
    return {name: {key: value for key, value, *_ in entries} for _, _, _, name, entries in resources}


async def input_counts(admin: AIOKafkaAdminClient, stage: Stage, installation: Installation) -> dict[str, int]:
    """Partitions of the stage's inputs, by name without prefix.

    Raises StateError where a topic of the stage is missing, or has other partitions than its keys rely on.
    """
    found = await partition_counts(admin)

    def count(topic: str) -> int:
        if topic not in found:
            raise StateError("topic does not exist: run `npsflow topics create`", topic=topic, partition=0)
        return found[topic]

    inputs = {name: count(installation.topic(name)) for name in stage.inputs}
    for kind in ("state", "remembered") if stage.logs else ("state",):
        changelog = installation.changelog(stage.name, kind)
        if {count(changelog)} != set(inputs.values()):
            raise StateError(
                f"it has {count(changelog)} partitions where the input has {inputs}: a changed count moves keys to "
                "other tasks; set it back, or run `npsflow rebuild`",
                topic=changelog,
                partition=0,
            )
    for name, wanted in stage.outputs.items():
        topic, expected = installation.topic(name), wanted or next(iter(inputs.values()))
        if count(topic) != expected:
            raise StateError(
                f"it has {count(topic)} partitions instead of {expected}: set [topics] in npsflow.toml as it was when "
                "the topics were made, or make them anew",
                topic=topic,
                partition=0,
            )
    return inputs


async def create(admin: AIOKafkaAdminClient, missing: Iterable[Wanted]) -> list[str]:
    """Make topics; returns the names of those that were not there before."""
    new = [NewTopic(w.name, w.partitions, w.replication, topic_configs=dict(w.config)) for w in missing]
    if not new:
        return []
    response = await admin.create_topics(new)
    made = []
    for name, code, *_ in response.topic_errors:
        if code == 0:
            made.append(name)
        elif code != TopicAlreadyExistsError.errno:
            raise for_code(code)(name)
    return made
