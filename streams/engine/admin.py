"""Topics on the broker: which there are, how they are kept, and making those that are missing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from npsflow.schemas.errors import StateError
from npsflow.streams.engine.installation import Installation
from npsflow.streams.stage import Stage


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it should be; `name` with prefix."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


async def partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Give the number of partitions of each topic. All are asked for: to ask for one by name may create it."""
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


async def topic_configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Give Kafka's settings of topics, as they are in effect. Raises KafkaError for a topic it does not describe."""
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    resources = [resource for response in responses for resource in response.resources]
    for code, _, _, name, _ in resources:
        if code:
            raise for_code(code)(name)
    return {name: {key: value for key, value, *_ in entries} for _, _, _, name, entries in resources}


async def input_counts(admin: AIOKafkaAdminClient, stage: Stage, installation: Installation) -> dict[str, int]:
    """Give the number of partitions of the stage's inputs, by name without prefix.

    Raises StateError where a topic of the stage is missing, or has other partitions than its keys rely on.
    """
    counts = await partition_counts(admin)

    def count(topic: str) -> int:
        if topic not in counts:
            raise StateError("topic does not exist: run `npsflow topics create`", topic=topic, partition=0)
        return counts[topic]

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
    """Create topics; gives the names of those that were not there before. Raises KafkaError for one that cannot be."""
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
