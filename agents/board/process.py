"""The composition root of `npsflow board`: its Kafka clients, cases, web server and end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import click
from prometheus_client import CollectorRegistry

from npsflow.agents.board.metrics import Metrics
from npsflow.agents.board.server import Server
from npsflow.agents.cases.actions import Actor
from npsflow.agents.cases.reader import CaseReader
from npsflow.agents.kafka import reading
from npsflow.agents.kafka.renewed_consumer import renewed_consumer
from npsflow.agents.kafka.renewed_producer import renewed_producer
from npsflow.agents.sealing.sealer import open_sealing
from npsflow.agents.web.connections import ConnectionLimiter
from npsflow.agents.web.limits import Limits
from npsflow.agents.web.senders import Senders
from npsflow.agents.web.serving import beside, serve, stop_signal
from npsflow.schemas import topics
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.installation import Installation


async def run(installation: Installation, tokens: Sequence[str], host: str, port: int, settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. Raises KafkaError, KafkaFailed, click.UsageError for a taken port."""
    stopping, loop = stop_signal(), asyncio.get_running_loop()
    async with open_board(installation, tokens, host, port, limits=Limits(), settings=settings) as (reader, _):
        click.echo(f"The board is there: http://{host}:{port}/cases")
        work = [loop.create_task(reader.follow()), loop.create_task(stopping.wait())]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # `follow` ends only by an error
        finally:
            for task in work:
                task.cancel()
            await asyncio.wait(work)


@asynccontextmanager
async def open_board(
    installation: Installation,
    tokens: Sequence[str],
    host: str,
    port: int,
    *,
    limits: Limits,
    settings: Settings = Settings(),  # noqa: B008 - frozen
    patience: float = 10.0,
) -> AsyncIterator[tuple[CaseReader, int]]:
    """Serve the board while the block runs; gives its cases, which have to be followed, and the port.

    `settings`: whether comments of actions are sealed. `patience`: seconds that a request with ?wait=1 waits. Raises as
    `run`.
    """
    partitions = await reading.partitions(installation, topics.CASES)
    async with (
        open_sealing(settings, installation) as sealing,
        renewed_consumer(installation, at_rest=True) as consumer,
        renewed_producer(installation) as producer,
    ):
        await sealing.sealer.start()
        reader = CaseReader(consumer, partitions, sealing.keyring)
        metrics = Metrics(CollectorRegistry(), reader.cases)
        server = Server(reader, Actor(producer, installation, sealing.sealer), tokens, metrics, patience)
        limiter = ConnectionLimiter(limits, Senders(), metrics)
        async with beside(reader.contact.keep()), serve(server.app, host, port, limiter) as listening_on:
            yield reader, listening_on
