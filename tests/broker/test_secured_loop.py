"""Connections end when they are told to, TLS or not."""

import asyncio

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from npsflow.agents.broker.embedded import HOST
from npsflow.agents.runtime.event_loop import Loop
from npsflow.streams.engine.installation import read_installation

from .secured import Secured

CONNECTIONS = 20
SECONDS = 10
"""uvloop by itself takes 30."""


def test_a_connection_closed_behind_a_request_is_gone_soon(secured: Secured) -> None:
    security = read_installation(secured.with_certificate()).security
    port = int(secured.mutual.partition(":")[2])

    async def connected() -> AIOKafkaConnection:
        connection = AIOKafkaConnection(HOST, port, ssl_context=security.context(), security_protocol=security.protocol)
        await connection.connect()
        return connection

    async def open_after_all() -> int:
        connections = [await connected() for _ in range(CONNECTIONS)]
        requests = [asyncio.create_task(connection.send(MetadataRequest([]))) for connection in connections]
        await asyncio.sleep(0)  # they are written
        closing = [asyncio.ensure_future(connection.close()) for connection in connections]
        printed = await asyncio.gather(*requests, return_exceptions=True)
        assert {type(answer) for answer in printed} == {KafkaConnectionError}
        _, still_open = await asyncio.wait(closing, timeout=SECONDS)
        await asyncio.gather(*still_open)
        return len(still_open)

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(open_after_all()) == 0
