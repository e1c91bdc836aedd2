"""`npsflow worker`: one process that reads, counts and alerts; start as many as there are cores."""

import logging
import os
import socket
import time

import click

from npsflow.agents.kafka import clients, permissions
from npsflow.agents.kafka.diagnosis import KafkaFailed, Refused
from npsflow.agents.kafka.starting import refusals
from npsflow.agents.worker import run
from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.settings import described, load, settings_file
from npsflow.streams.engine import logs
from npsflow.streams.engine.context import EngineSettings
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.topology import STAGES

log = logging.getLogger(__name__)

_INTERVAL = 1.0  # seconds between attempts


def _stages(ctx: click.Context, parameter: click.Parameter, value: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in value.split(",")))
    if unknown := [name for name in names if name not in STAGES]:
        raise click.BadParameter(f"{unknown[0]!r} is not a stage; there are {', '.join(STAGES)}")
    return names


def _expect_free(host: str, port: int) -> None:
    """Raises UsageError while the port is taken. If it is taken right after this, the worker ends with a traceback."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise click.UsageError(f"no web pages on {host}:{port}: {reason}; choose another --web-port") from None


@click.command()
@click.option("--name", help="A name that lasts: back within the session, the worker keeps its partitions.")
@click.option("--web-host", default="127.0.0.1", show_default=True, help="Where to serve /health/* and /metrics.")
@click.option("--web-port", type=click.IntRange(1, 65535), default=6066, show_default=True, help="Port for them.")
@click.option("--stages", default=",".join(STAGES), callback=_stages, show_default=True, help="Which ones to run.")
@click.option("--accept-loss", is_flag=True, help="Go on where records were deleted before they were read.")
def worker(name: str | None, web_host: str, web_port: int, stages: list[str], *, accept_loss: bool) -> None:
    """Classify responses, count and alert, until Ctrl-C.

    While no broker answers it waits for one. The log goes to standard error; NPSFLOW_LOG_LEVEL says how much (INFO).
    """
    settings, installation = load(), read_installation()
    level = os.environ.get("NPSFLOW_LOG_LEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise SettingsError(f"NPSFLOW_LOG_LEVEL is {level!r}; use DEBUG, INFO, WARNING or ERROR")
    # What it refuses is reported before anything starts, a line for each.
    _await(installation, permissions.of_worker(settings, installation, stages))
    engine = EngineSettings(name=name, accept_loss=accept_loss)
    if refused := clients.run(refusals(settings, installation, stages, engine)):
        raise SettingsError("\n".join(map(str, refused)))
    _expect_free(web_host, web_port)
    logs.set_up(level)
    log.info(
        "worker starts",
        extra={"settings": described(settings_file()), "stages": stages} | ({"called": name} if name else {}),
    )
    run(settings, installation, stages, (web_host, web_port), engine)


def _await(installation: Installation, needs: set[permissions.Need]) -> None:
    """Return when all that is needed is there. A worker waits for its broker, also at its own start."""
    reported = False
    while True:
        try:
            clients.run(permissions.require(installation, needs))
            return
        except KafkaFailed as error:
            if not _is_temporary(error):
                raise
            if not reported:
                click.echo(f"Waiting: {error}", err=True)
            reported = True
            time.sleep(_INTERVAL)


def _is_temporary(error: KafkaFailed) -> bool:
    """Whether it may pass by itself: no broker answers yet, or not in time."""
    if isinstance(error, Refused):
        return error.step == "reach" and not error.lasting
    return isinstance(error.__cause__, TimeoutError) or getattr(error.__cause__, "retriable", False)
