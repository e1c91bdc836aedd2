"""Kafka clients that start in time or say why not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    InvalidSessionTimeoutError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    UnknownTopicOrPartitionError,
)

from npsflow.agents.kafka.diagnosis import (
    FORBIDDEN,
    KafkaFailed,
    NotSetUp,
    Refused,
    absent,
    forbidden,
    session_refused,
    why_not,
)
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.clients import (
    Isolation,
    client_options,
    consumer_options,
    guarded,
    producer_options,
)
from npsflow.streams.engine.kafka.guarded_client import guard
from npsflow.streams.engine.transaction import Outputs

PATIENCE = 8.0
"""Seconds within which a broker has to answer."""

_TOO_OLD = "Support for "  # begins aiokafka's error for a request that it does not know in a version as old as that

T = TypeVar("T")
_Step = Callable[[], Coroutine[Any, Any, None]]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the work of a command in an event loop of its own.

    Raises KafkaFailed for any error of Kafka's client; SettingsError for a session that the brokers do not allow.
    """
    try:
        return asyncio.run(work)
    except FORBIDDEN as error:
        raise forbidden(error) from error
    except UnknownTopicOrPartitionError as error:
        raise absent(error.args[0] if error.args else "") from error
    except InvalidSessionTimeoutError as error:
        raise session_refused() from error
    except (KafkaError, TimeoutError) as error:
        raise KafkaFailed(f"Kafka: {str(error) or 'no answer in time'}") from error
    except NotImplementedError as error:
        if not str(error).startswith(_TOO_OLD):
            raise
        raise NotSetUp(f"this broker is too old, or no Apache Kafka ({error}): see docs/brokers.md") from error


@asynccontextmanager
async def client(installation: Installation) -> AsyncIterator[AIOKafkaClient]:
    """A client for single requests."""
    client = AIOKafkaClient(**client_options(installation))
    guard(client)
    async with _started(client.bootstrap, client.close, installation):
        yield client


@asynccontextmanager
async def admin(installation: Installation) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that asks about topics and groups, and makes topics."""
    client = guarded(AIOKafkaAdminClient(**client_options(installation)))
    async with _started(client.start, client.close, installation):
        yield client


@asynccontextmanager
async def reader(
    installation: Installation,
    group: str | None = None,
    session_ms: int = 10_000,
    isolation: Isolation = "read_committed",
    *,
    at_rest: bool = False,
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of committed records; with a `group` it can commit offsets for it, and never on its own.

    `session_ms`: once it subscribes, the group notices its death after this time. `at_rest`: see `consumer_options`.
    """
    options = consumer_options(installation, group, session_ms=session_ms, isolation=isolation, at_rest=at_rest)
    consumer = guarded(AIOKafkaConsumer(**options))
    async with _started(consumer.start, consumer.stop, installation):
        yield consumer


@asynccontextmanager
async def producer(installation: Installation, transactional_id: str | None = None) -> AsyncIterator[AIOKafkaProducer]:
    """An idempotent producer that waits for all replicas; with an id, for transactions."""
    client = AIOKafkaProducer(**producer_options(installation, transactional_id))
    guard(client.client)
    async with _started(client.start, client.stop, installation):
        yield client


@asynccontextmanager
async def _started(start: _Step, stop: _Step, installation: Installation) -> AsyncIterator[None]:
    try:
        try:
            async with asyncio.timeout(PATIENCE):
                await start()
        except (KafkaConnectionError, TimeoutError) as error:
            text = f"no Kafka broker answers at {installation.brokers} in time"
            raise await why_not(installation) or Refused("reach", text, "look into its log, and try again") from error
        try:
            yield
        except NodeNotReadyError as error:  # it answered, and named brokers that do not
            raise await why_not(installation) or error from error
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await stop()


async def deliver(client: AIOKafkaProducer, outputs: Outputs) -> None:
    """Send everything that was emitted and wait until all of it is acknowledged."""
    batches = outputs.take()
    await asyncio.gather(*[await client.send_batch(batch, tp.topic, partition=tp.partition) for tp, batch in batches])


async def until(condition: Callable[[], Awaitable[bool]], interval: float = 0.1) -> None:
    """Ask brokers again, every `interval` seconds, until the condition holds."""
    while not await condition():  # noqa: ASYNC110 (brokers send no event that could be waited for)
        await asyncio.sleep(interval)
