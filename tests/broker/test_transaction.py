"""A transaction that cannot end is given up."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from npsflow.agents.broker.embedded import Broker
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.context import Context, EngineSettings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.observer import Observer
from npsflow.streams.engine.transaction import Transaction
from npsflow.streams.topology import make_stage


async def test_a_commit_to_a_topic_that_is_gone_is_given_up(broker: Broker) -> None:
    """aiokafka would ask for the topic for ever, and the task would neither fail nor go on."""
    installation = Installation(broker.bootstrap, "given-up.")
    stage = make_stage("rollup", Settings(), installation)
    under_test = Transaction(Context(stage, installation, EngineSettings(commit_timeout=1.0), Observer()), 0, {})
    await under_test.start()
    try:
        batch = under_test.producer.create_batch()
        batch.append(timestamp=0, key=None, value=b"v", headers=[])
        with pytest.raises(KafkaConnectionError, match="a topic is missing"):
            async with asyncio.timeout(60):
                await under_test.commit([(TopicPartition("given-up.gone", 0), batch)], {})
    finally:
        await under_test.stop()
