"""What is forbidden is not half done."""

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAuthorizationFailedError

from npsflow.agents.kafka import clients, reading
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.context import Context, EngineSettings
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.engine.observer import Observer
from npsflow.streams.engine.transaction import Batches, Transaction
from npsflow.streams.topology import make_stage

from .secured import Acl, Secured

PARTITIONS, ROUNDS = 8, 10


async def test_a_commit_to_a_forbidden_topic_leaves_nothing_on_others(secured: Secured) -> None:
    """Least of all as a part of the commit before, whose marker is still on its way."""
    secured.add_user("partly")
    secured.allow("partly", [
        Acl("TOPIC", "LITERAL", "partly.open", "ALL"), Acl("TOPIC", "LITERAL", "partly.shut", "DESCRIBE"),
        Acl("TRANSACTIONAL_ID", "PREFIXED", "partly.", "ALL"), Acl("GROUP", "PREFIXED", "partly.", "ALL"),
    ])  # fmt: skip
    operator = Installation(secured.broker.bootstrap, "partly.")
    async with clients.admin(operator) as admin:
        await admin.create_topics([NewTopic("partly.open", PARTITIONS, 1), NewTopic("partly.shut", 1, 1)])
    partly = read_installation(secured.with_login("partly") | {"NPSFLOW_PREFIX": "partly."})
    context = Context(make_stage("rollup", Settings(), partly), partly, EngineSettings(), Observer())
    for _ in range(ROUNDS):
        under_test = Transaction(context, 0, {})
        await under_test.start()
        try:
            offsets = {TopicPartition("partly.open", 0): 0}
            opened = [TopicPartition("partly.open", number) for number in range(PARTITIONS)]
            await under_test.commit(batches(under_test, b"before", opened), offsets)
            with pytest.raises(TopicAuthorizationFailedError):
                await under_test.commit(
                    batches(under_test, b"half", [*opened, TopicPartition("partly.shut", 0)]), offsets
                )
        finally:
            await under_test.stop()
    found = [record.value async for record in reading.committed_records(operator, "open")]
    assert found == [b"before"] * PARTITIONS * ROUNDS


def batches(transaction: Transaction, value: bytes, to: list[TopicPartition]) -> Batches:
    made = []
    for tp in to:
        batch = transaction.producer.create_batch()
        batch.append(timestamp=0, key=None, value=value, headers=[])
        made.append((tp, batch))
    return made
