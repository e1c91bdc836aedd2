"""Topics on the broker: which there are, how they are kept, and making those that are missing."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from npsflow.schemas.errors import StateError, TopicsRefused
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.protocol import DescribeTopics
from npsflow.streams.stage import Stage

BROKER = "broker"
"""In place of a value: the broker decides."""

_COPIES = 3  # of a topic, where there are so many brokers: two may fail


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it should be; `name` with prefix.

    `config`: Kafka's settings that it needs. `changed`: those that the installation wants otherwise, or `BROKER`.
    """

    name: str
    partitions: int
    replication: int
    """0: as many as there are brokers, three at most."""
    config: Mapping[str, str]
    changed: Mapping[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> dict[str, str]:
        """The settings to make it with."""
        config = {key: self.changed.get(key, value) for key, value in self.config.items()}
        return {key: value for key, value in config.items() if value != BROKER}


async def partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Give the number of partitions of each topic. All are asked for: to ask for one by name may create it."""
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


async def partition_counts_of(client: AIOKafkaClient, names: Iterable[str]) -> dict[str, int]:
    """Give the same of those of these topics that exist, however many others there are; asking creates none.

    Raises KafkaError where the broker does not know yet whether there is one.
    """
    return dict(Counter(tp.topic for tp in await leaders_of(client, names)))


async def leaders_of(client: AIOKafkaClient, names: Iterable[str]) -> dict[TopicPartition, int]:
    """Give the broker that leads each partition of those of these topics that exist, -1 for none at the moment.

    Raises as `partition_counts_of`.
    """
    answer = await client.send(client.get_random_node(), DescribeTopics(sorted(names)))
    leaders = dict[TopicPartition, int]()
    for code, name, _, partitions, _ in answer.topics:
        if (error := for_code(code)).retriable and error is not UnknownTopicOrPartitionError:
            raise error(name)
        leaders |= {TopicPartition(name, number): leader for _, number, leader, *_ in partitions}
    return leaders


async def topic_configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Give Kafka's settings of topics, as they are in effect. Raises KafkaError for a topic it does not describe."""
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    resources = [resource for response in responses for resource in response.resources]
    for code, _, _, name, _ in resources:
        if code:
            raise for_code(code)(name)
    return {name: {key: value for key, value, *_ in entries} for _, _, _, name, entries in resources}


async def input_counts(client: AIOKafkaClient, stage: Stage, installation: Installation) -> dict[str, int]:
    """Give the number of partitions of the stage's inputs, by name without prefix.

    Raises StateError where a topic of the stage is missing, or has other partitions than its keys rely on.
    """
    changelogs = [installation.changelog(stage.name, kind) for kind in _kinds(stage)]
    counts = await partition_counts_of(client, {*map(installation.topic, (*stage.inputs, *stage.outputs)), *changelogs})

    def count(topic: str) -> int:
        if topic not in counts:
            raise StateError("topic does not exist: run `npsflow topics create`", topic=topic, partition=0)
        return counts[topic]

    inputs = {name: count(installation.topic(name)) for name in stage.inputs}
    for changelog in changelogs:
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


def _kinds(stage: Stage) -> tuple[Literal["state", "remembered"], ...]:
    return ("state", "remembered") if stage.logs else ("state",)


async def create(admin: AIOKafkaAdminClient, missing: Iterable[Wanted]) -> list[str]:
    """Create topics; gives the names of those that were not there before.

    Raises TopicsRefused when the broker wants them otherwise, KafkaError when it may want them in a moment.
    """
    missing = list(missing)
    if not missing:
        return []
    copies = min(_COPIES, len((await admin.describe_cluster())["brokers"]))
    new = [NewTopic(w.name, w.partitions, w.replication or copies, topic_configs=w.asked) for w in missing]
    made, refused = list[str](), dict[str, str]()
    for name, code, *message in (await admin.create_topics(new)).topic_errors:
        error = for_code(code)
        if code == 0:
            made.append(name)
        elif error.retriable:
            raise error(name)
        elif error is not TopicAlreadyExistsError:
            refused[name] = next(filter(None, message), str(error()))
    if refused:
        raise TopicsRefused(made, refused)
    return made
