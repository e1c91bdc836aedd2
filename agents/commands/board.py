"""`npsflow board`: cases over HTTP, for those who have the token."""

import asyncio
import os
import signal

import click
from aiohttp import web
from prometheus_client import CollectorRegistry

from npsflow.agents import kafka
from npsflow.agents.board.metrics import Metrics
from npsflow.agents.board.server import Server
from npsflow.agents.casebook import Casebook
from npsflow.agents.serving import cannot_listen
from npsflow.agents.worker import prepare
from npsflow.schemas import topics
from npsflow.schemas.errors import SettingsError
from npsflow.streams import logs
from npsflow.streams.settings import Where, where

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
    kafka.run(_serve(where(), secrets, host, port))


async def _serve(where: Where, secrets: list[str], host: str, port: int) -> None:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    of = await kafka.partitions(where, topics.CASES)
    async with kafka.reader(where) as consumer, kafka.producer(where) as producer:
        book = Casebook(consumer)
        server = Server(book, producer, where, secrets, Metrics(CollectorRegistry(), book.cases))
        runner = web.AppRunner(server.app, access_log=None)
        await runner.setup()
        work = [loop.create_task(book.follow(of)), loop.create_task(stopping.wait())]
        try:
            await _listen(runner, host, port)
            click.echo(f"The board is there: http://{host}:{port}/cases")
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # whoever follows cases ends only by an error
        finally:
            for task in work:
                task.cancel()
            await asyncio.wait(work)
            await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise cannot_listen(host, port, error) from None
