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

from npsflow.agents.operations import check_groups
from npsflow.schemas.headers import DeadLetter
from tests.support.waiting import wait_until

from .command_harness import SECONDS, CommandHarness


def test_check_of_fresh_topics_only_misses_a_worker(harness: CommandHarness) -> None:
    levels = harness.checked()

    assert levels["fail"] == []
    assert levels["warn"] == [
        f"groups: {harness.installation.group(stage)} has read nothing yet: start `npsflow worker`"
        for stage in ("classify", "rollup", "recover")
    ]


def alter(harness: CommandHarness, topic: str, key: str, value: str) -> None:
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, harness.installation.topic(topic), incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": harness.installation.brokers})
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
    harness: CommandHarness, topic: str, key: str, value: str, level: str
) -> None:
    alter(harness, topic, key, value)

    found = f"topics: {harness.installation.topic(topic)} has {key}={value}, so "
    wait_until(lambda: any(text.startswith(found) for text in harness.checked()[level]))


def test_check_names_a_topic_that_no_worker_needs_and_is_not_there(harness: CommandHarness) -> None:
    name = harness.installation.topic("survey-invitations")
    admin = AdminClient({"bootstrap.servers": harness.installation.brokers})
    for done in admin.delete_topics([name]).values():
        done.result(SECONDS)

    found = f"topics: there is no {name}, or this client may not DESCRIBE it: run `npsflow topics create`, or allow it"
    wait_until(lambda: found in harness.checked()["warn"])


def test_check_finds_other_partition_counts(harness: CommandHarness) -> None:
    harness.config.write_text("[topics]\npartitions = 3\n")

    found = f"topics: {harness.installation.topic('survey-responses')} has 4 partitions, the settings say 3: "
    assert harness.checked()["fail"][0].startswith(found)


def position(harness: CommandHarness, partitions: int, offset: int | None = None, **counters: int) -> None:
    """A position record, as a worker writes it; `offset` in its input."""
    of, offsets = {"survey-responses": partitions}, {} if offset is None else {"survey-responses": offset}
    record = {
        "format": 1, "partitions": of, "offsets": offsets, "stream_time": 0, "log": [0, 0], "settings": {},
        "rebuilding": False,
    }  # fmt: skip
    topic = harness.installation.changelog("classify", "state")
    producer = Producer({"bootstrap.servers": harness.installation.brokers})
    for partition in (0, 3):
        producer.produce(topic, json.dumps(record | {"counters": {"counted": 1}}).encode(), b"position", partition)
        producer.produce(topic, json.dumps(record | {"counters": counters}).encode(), b"position", partition)
    producer.flush(SECONDS)


def test_check_reads_the_newest_counters(harness: CommandHarness) -> None:
    position(harness, 4, **{"counted": 10, "dead": 2, "dead:internal_error:shop": 2, "foreign_partitioner": 3,
                           "misplaced:shop": 6, "source:shop": 8, "misplaced:unknown": 1})  # fmt: skip
    levels = harness.checked()

    assert "outcomes: counted 20, dead 4" in levels["ok"]
    assert [text for text in levels["warn"] if "4 records met a mistake of npsflow" in text]
    misplaced = "records in another partition than their keys give: shop 12 (75% of its responses), unknown 2: "
    assert [text for text in levels["warn"] if misplaced in text and "murmur2_random" in text]


def test_check_finds_state_for_another_partition_count(harness: CommandHarness) -> None:
    position(harness, 2)

    changelog = harness.installation.changelog("classify", "state")
    found = f"worker: {changelog}[0]@1: it was written for {{'survey-responses': 2}} input partitions, now there are "
    assert harness.checked()["fail"][0].startswith(found)


def commit(harness: CommandHarness, group: str, topic: str, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": harness.installation.brokers, "group.id": group})
    consumer.commit(offsets=[TopicPartition(harness.installation.topic(topic), 0, offset)], asynchronous=False)
    consumer.close()


def test_check_shows_readers_and_their_lag(harness: CommandHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_groups, "COMMITS_WITHIN", 0.01)
    group = harness.installation.group("classify")
    producer = Producer({"bootstrap.servers": harness.installation.brokers})
    for topic in ("survey-responses", "service-recovery"):
        for partition in (0, 0, 0, 1):
            producer.produce(harness.installation.topic(topic), b"x", partition=partition)
    producer.flush(SECONDS)
    commit(harness, group, "survey-responses", 1)
    position(harness, 4, 0)
    commit(harness, f"{harness.installation.prefix}crm", "service-recovery", 3)
    commit(harness, f"{harness.installation.prefix}unrelated", "survey-responses", 0)
    for topic in ("nps-alerts", "nps-history"):
        commit(harness, f"{harness.installation.prefix}pager", topic, 0)
    levels = harness.checked()

    assert [text for text in levels["warn"] if text.startswith(f"groups: {group} has lag 3 and read nothing")]
    recovery = harness.installation.topic("service-recovery")
    crm = f"groups: {harness.installation.prefix}crm reads {recovery}, lag 0; it has committed nothing in "
    assert f"{crm}1 partitions (1 records)" in levels["ok"]
    assert not [text for text in levels["ok"] if "unrelated" in text]
    read = [text.partition(", ")[0] for text in levels["ok"] if f"{harness.installation.prefix}pager reads" in text]
    assert sorted(text.rpartition(".")[2] for text in read) == ["nps-alerts", "nps-history"]


def test_check_names_mappings_that_do_not_fit(harness: CommandHarness) -> None:
    harness.config.write_text("""
[intake.shop]
platform = "generic"
survey_id = "s"
scores = [{ question = "score", metric = "nps" }]
fields = { "customer.id" = "contact.userIdd", channel = "via" }
""")
    response = {"source": "generic", "survey_id": "s", "metric": "nps", "score": 9, "channel": "web"}
    for number in range(20):
        made = json.dumps(response | {"response_id": str(number), "submitted_at": "2026-03-01T15:02:11Z"}).encode()
        harness.produce("survey-responses", f"generic/{number}".encode(), made, [])
    why = DeadLetter("unmapped", "as it was then", "intake/shop", 0, 0, "2026-03-01T15:02:11Z", "generic")
    letter = {"response_id": "x", "submitted_at": "2026-03-01T15:02:11Z", "rating": 3}
    harness.produce("survey-responses-dlq", None, json.dumps(letter).encode(), why.headers([]))
    mappings = [text.partition(": see ")[0] for text in harness.checked()["warn"] if text.startswith("mappings")]
    assert [text.partition(": mend")[0] for text in mappings] == [
        "mappings: intake.shop does not understand 1 of the newest bodies: "
        "the form is finished, and no score question is in it: nothing is at score",
        "mappings: intake.shop: fields.customer.id = contact.userIdd found nothing in the last 20 bodies",
    ]


def transactional(harness: CommandHarness, name: str) -> Producer:
    """A producer in whose transaction one can write."""
    settings = {"bootstrap.servers": harness.installation.brokers, "transactional.id": name, "linger.ms": 0}
    producer = Producer(settings)
    producer.init_transactions()
    producer.begin_transaction()
    return producer


def test_check_counts_to_the_end_and_names_who_holds_it_up(
    harness: CommandHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_groups, "COMMITS_WITHIN", 0.01)
    monkeypatch.setattr(check_groups, "_OPEN_FOR", -60_000)
    group, topic = harness.installation.group("classify"), harness.installation.topic("survey-responses")
    commit(harness, group, "survey-responses", 0)
    position(harness, 4, 0)
    stranger = f"{harness.installation.prefix}stranger"
    producer = transactional(harness, stranger)
    for _ in range(2):
        producer.produce(topic, b"x", partition=0)
    producer.flush(SECONDS)
    levels = harness.checked()

    assert [text for text in levels["warn"] if text.startswith(f"groups: {group} has lag 2 and read nothing")]
    held = f"transactions: {topic}[0]: 2 records wait behind the open transaction '{stranger}', which wrote last at 20"
    assert [text for text in levels["warn"] if text.startswith(held)]

    producer.abort_transaction(SECONDS)
    levels = harness.checked()
    assert f"groups: {group}, lag 0" in levels["ok"]  # what was aborted nobody reads
    assert not [text for text in levels["warn"] if text.startswith("transactions")]


def test_check_tells_ends_of_transactions_and_what_was_never_read_from_lag(harness: CommandHarness) -> None:
    topic, crm = harness.installation.topic("service-recovery"), f"{harness.installation.prefix}crm"
    producer = transactional(harness, f"{harness.installation.prefix}w")
    for partition in (0, 1, 1, 2):
        producer.produce(topic, b"x", partition=partition)
    producer.commit_transaction(SECONDS)
    commit(harness, crm, "service-recovery", 1)

    text = f"groups: {crm} reads {topic}, lag 0, and 1 offsets that hold nothing to read (ends of transactions); "
    assert text + "it has committed nothing in 2 partitions (5 records)" in harness.checked()["ok"]


def test_check_names_notifiers_that_do_not_run_and_secrets_that_are_missing(harness: CommandHarness) -> None:
    harness.config.write_text("""
[notify.desk]
kind = "webhook"
to = { "*" = "https://example.com/in" }
[notify.ops]
kind = "console"
[intake.shop]
platform = "surveymonkey"
survey_id = "s"
scores = [{ question = "1", metric = "nps" }]
""")
    for _ in range(3):
        harness.produce("service-recovery", b"C-1", b"{}", [])
    commit(harness, ops := harness.installation.group("notify-ops"), "service-recovery", 1)
    levels = harness.checked()

    assert f"groups: {ops} has lag 2, and no process of it runs: start `npsflow notify ops`" in levels["warn"]
    desk = harness.installation.group("notify-desk")
    assert f"groups: {desk} has read nothing yet: start `npsflow notify desk`" in levels["warn"]
    assert [text for text in levels["warn"] if "no answers are fetched for intake.shop: start `npsflow fetch`" in text]
    missing = "settings: secrets that are not in this environment: NPSFLOW_SECRET_SHOP, NPSFLOW_TOKEN_SHOP, "
    assert levels["warn"][0].startswith(missing + "NPSFLOW_SECRET_NOTIFY_DESK: set them where ")
    assert f"settings: {harness.config}; horizon 35 days, windows 1h 24h 7d 30d" in levels["ok"]


def test_check_says_what_a_worker_would_refuse_and_the_worker_says_the_same(harness: CommandHarness) -> None:
    """Its state was made with other windows, and the broker allows no session as long as that."""
    harness.environment["NPSFLOW_SESSION_MS"] = "3600000"
    record = {
        "format": 1, "partitions": {"nps-panes": 2}, "offsets": {"nps-panes": 0}, "stream_time": 0, "log": [0, 0],
        "counters": {}, "settings": {"windows.lengths": ["1h"]}, "rebuilding": False,
    }  # fmt: skip
    harness.produce("npsflow-rollup-state", b"position", json.dumps(record).encode(), [])
    failed = harness.checked()["fail"]

    changelog = harness.installation.changelog("rollup", "state")
    assert failed[0].startswith("worker: NPSFLOW_SESSION_MS is not what the brokers allow: ")
    assert failed[1].startswith(f"worker: {changelog}[0]@0: it was made with {{'windows.lengths': ['1h']}}, now ")
    assert len(failed) == 2
    result = harness.run("worker")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        ("" if number else "Error: ") + text.removeprefix("worker: ") for number, text in enumerate(failed)
    ]
