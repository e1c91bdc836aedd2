"""`npsflow board`: cases over HTTP, for those who have the token."""

import asyncio
import os
from contextlib import AsyncExitStack

import click
from prometheus_client import CollectorRegistry

from npsflow.agents.board.metrics import Metrics
from npsflow.agents.board.server import Server
from npsflow.agents.cases.reader import CaseReader
from npsflow.agents.kafka import clients
from npsflow.agents.runtime.process import prepare
from npsflow.agents.web.connections import Door, listening
from npsflow.agents.web.limits import Limits
from npsflow.agents.web.senders import Senders
from npsflow.agents.web.serving import cannot_listen, until_told
from npsflow.schemas import topics
from npsflow.schemas.errors import SettingsError
from npsflow.streams.engine import logs
from npsflow.streams.engine.installation import Installation, read_installation

SECRET = "NPSFLOW_SECRET_BOARD"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(1, 65535), default=6090, show_default=True, help="Port to listen on.")
def board(host: str, port: int) -> None:
    """Serve cases at /cases and take actions on them, until Ctrl-C.

    Who asks has to show the token of NPSFLOW_SECRET_BOARD (two, with a space between, while one replaces the other) as
    `Authorization: Bearer TOKEN`.
    """
    secrets = os.environ.get(SECRET, "").split()
    if not secrets:
        raise SettingsError(f"{SECRET} is not set: without a token nobody could look at cases")
    logs.set_up("INFO")
    prepare()
    clients.run(_serve(read_installation(), secrets, host, port))


async def _serve(installation: Installation, secrets: list[str], host: str, port: int) -> None:
    stopping, loop = until_told(), asyncio.get_running_loop()
    of = await clients.partitions(installation, topics.CASES)
    async with (
        clients.reader(installation) as consumer,
        clients.producer(installation) as producer,
        AsyncExitStack() as stack,
    ):
        book = CaseReader(consumer)
        metrics = Metrics(CollectorRegistry(), book.cases)
        app = Server(book, producer, installation, secrets, metrics).app
        try:
            await stack.enter_async_context(listening(app, host, port, Door(Limits(), Senders(), metrics)))
        except OSError as error:
            raise cannot_listen(host, port, error) from None
        click.echo(f"The board is there: http://{host}:{port}/cases")
        work = [loop.create_task(book.follow(of)), loop.create_task(stopping.wait())]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # whoever follows cases ends only by an error
        finally:
            for task in work:
                task.cancel()
            await asyncio.wait(work)
