"""`npsflow check` against a real Kafka: what it finds wrong."""

import json

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from npsflow.agents.commands import check

from .installation import SECONDS, Installation, until


def test_check_of_fresh_topics_only_misses_a_worker(installation: Installation) -> None:
    levels = installation.checked()

    assert levels["fail"] == []
    assert levels["warn"] == [
        f"groups: {installation.where.group(stage)} has read nothing yet: start `npsflow worker`"
        for stage in ("classify", "rollup", "recover")
    ]


def alter(installation: Installation, topic: str, key: str, value: str) -> None:
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, installation.where.topic(topic), incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": installation.where.brokers})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(SECONDS)


@pytest.mark.parametrize(
    ("topic", "key", "value", "level"),
    [
        ("survey-responses", "message.timestamp.type", "CreateTime", "warn"),
        ("survey-responses", "retention.ms", "86400000", "fail"),
        ("npsflow-classify-remembered", "retention.ms", "86400000", "fail"),
        ("npsflow-rollup-state", "cleanup.policy", "delete", "fail"),
        ("service-recovery", "max.message.bytes", "1000", "warn"),
    ],
)
def test_check_finds_a_topic_kept_wrongly(
    installation: Installation, topic: str, key: str, value: str, level: str
) -> None:
    alter(installation, topic, key, value)

    found = f"topics: {installation.where.topic(topic)} has {key}={value}, so "
    until(lambda: any(text.startswith(found) for text in installation.checked()[level]))


def test_check_names_a_topic_that_no_worker_needs_and_is_not_there(installation: Installation) -> None:
    name = installation.where.topic("survey-invitations")
    admin = AdminClient({"bootstrap.servers": installation.where.brokers})
    for done in admin.delete_topics([name]).values():
        done.result(SECONDS)

    found = f"topics: there is no {name}, or this client may not DESCRIBE it: run `npsflow topics create`, or allow it"
    until(lambda: found in installation.checked()["warn"])


def test_check_finds_other_partition_counts(installation: Installation) -> None:
    installation.config.write_text("[topics]\npartitions = 3\n")

    found = f"topics: {installation.where.topic('survey-responses')} has 4 partitions, the settings say 3: "
    assert installation.checked()["fail"][0].startswith(found)


def position(installation: Installation, partitions: int, **counters: int) -> None:
    """A position record, as a worker writes it."""
    of = {"survey-responses": partitions}
    record = {"format": 1, "partitions": of, "offsets": {}, "stream_time": 0, "log": [0, 0]}
    topic = installation.where.changelog("classify", "state")
    producer = Producer({"bootstrap.servers": installation.where.brokers})
    for partition in (0, 3):
        producer.produce(topic, json.dumps(record | {"counters": {"counted": 1}}).encode(), b"position", partition)
        producer.produce(topic, json.dumps(record | {"counters": counters}).encode(), b"position", partition)
    producer.flush(SECONDS)


def test_check_reads_the_newest_counters(installation: Installation) -> None:
    position(installation, 4, **{"counted": 10, "dead": 2, "dead:internal_error:shop": 2, "foreign_partitioner": 3})
    levels = installation.checked()

    assert "outcomes: counted 20, dead 4" in levels["ok"]
    assert [text for text in levels["warn"] if "4 records met a mistake of npsflow" in text]
    assert [text for text in levels["warn"] if "6 lay in another partition than their keys give" in text]


def test_check_finds_state_for_another_partition_count(installation: Installation) -> None:
    position(installation, 2)

    assert "that of classify is for another partition count of survey-responses" in installation.checked()["fail"][0]


def commit(installation: Installation, group: str, topic: str, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": installation.where.brokers, "group.id": group})
    consumer.commit(offsets=[TopicPartition(installation.where.topic(topic), 0, offset)], asynchronous=False)
    consumer.close()


def test_check_shows_readers_and_their_lag(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "COMMITS_WITHIN", 0.01)
    group = installation.where.group("classify")
    producer = Producer({"bootstrap.servers": installation.where.brokers})
    for topic in ("survey-responses", "service-recovery"):
        for partition in (0, 0, 0, 1):
            producer.produce(installation.where.topic(topic), b"x", partition=partition)
    producer.flush(SECONDS)
    commit(installation, group, "survey-responses", 1)
    commit(installation, f"{installation.where.prefix}crm", "service-recovery", 3)
    commit(installation, f"{installation.where.prefix}unrelated", "survey-responses", 0)
    levels = installation.checked()

    assert [text for text in levels["warn"] if text.startswith(f"groups: {group} has lag 3 and read nothing")]
    recovery = installation.where.topic("service-recovery")
    assert f"groups: {installation.where.prefix}crm reads {recovery}, lag 1" in levels["ok"]
    assert not [text for text in levels["ok"] if "unrelated" in text]
