"""`npsflow worker`: one process that reads, counts and alerts; start as many as there are cores."""

import logging
import os
import time

import click

from npsflow.agents import kafka
from npsflow.agents.stages import STAGES
from npsflow.agents.worker import run
from npsflow.schemas.errors import SettingsError
from npsflow.streams import logs
from npsflow.streams.settings import Where, load, where

_AGAIN = 1.0


def _stages(ctx: click.Context, parameter: click.Parameter, given: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in given.split(",")))
    if unknown := [name for name in names if name not in STAGES]:
        raise click.BadParameter(f"{unknown[0]!r} is not a stage; there are {', '.join(STAGES)}")
    return names


@click.command()
@click.option("--name", help="A name that lasts: back within the session, the worker keeps its partitions.")
@click.option("--web-host", default="127.0.0.1", show_default=True, help="Where to serve /health/* and /metrics.")
@click.option("--web-port", type=click.IntRange(1, 65535), default=6066, show_default=True, help="Port for them.")
@click.option("--stages", default=",".join(STAGES), callback=_stages, show_default=True, help="Which ones to run.")
def worker(name: str | None, web_host: str, web_port: int, stages: list[str]) -> None:
    """Classify responses, count and alert, until Ctrl-C.

    While no broker answers it waits for one. The log goes to standard error; NPSFLOW_LOG_LEVEL says how much (INFO).
    """
    settings, surroundings = load(), where()
    level = os.environ.get("NPSFLOW_LOG_LEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise SettingsError(f"NPSFLOW_LOG_LEVEL is {level!r}; use DEBUG, INFO, WARNING or ERROR")
    for stage in stages:  # what is not there is said in one line, before anything starts
        for topic in STAGES[stage][0](settings, surroundings).inputs:
            _await(surroundings, topic)
    logs.set_up(level)
    run(settings, surroundings, stages, (web_host, web_port), name)


def _await(surroundings: Where, topic: str) -> None:
    """Return when a broker says that the topic is there. A worker outlives its absence, also at its own start."""
    said = False
    while True:
        try:
            kafka.run(kafka.partitions(surroundings, topic))
            return
        except kafka.NoBroker as error:
            if not said:
                click.echo(f"Waiting: {error}", err=True)
            said = True
            time.sleep(_AGAIN)
