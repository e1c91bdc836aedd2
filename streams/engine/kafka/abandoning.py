"""The end of a producer that is of no more use."""

import asyncio
from contextlib import suppress

from aiokafka import AIOKafkaProducer

_SECONDS = 5.0


async def abandon(producer: AIOKafkaProducer) -> None:
    """Close a started producer at once, and for good; what it has not sent is dropped, and nobody is told.

    Its own `stop` waits until all is delivered, and what is under way at a frozen broker ends only by a time-out.
    """
    producer._closed = True  # else it complains when it is collected
    with suppress(Exception):  # of whatever state it is in
        async with asyncio.timeout(_SECONDS):
            await producer.client.close()
            await producer._sender.close()
            await producer.client.close()  # once more: it may have connected again in between
