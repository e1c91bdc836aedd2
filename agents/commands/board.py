"""`npsflow board`: cases over HTTP, for those who have the token."""

import os

import click

from npsflow.agents.board import process
from npsflow.agents.kafka import clients
from npsflow.agents.runtime.process import prepare
from npsflow.agents.runtime.secrets import read_secrets
from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.settings import load
from npsflow.streams.engine import logs
from npsflow.streams.engine.installation import read_installation

TOKENS = "NPSFLOW_SECRET_BOARD"
"""The environment variable of the tokens."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(1, 65535), default=6090, show_default=True, help="Port to listen on.")
def board(host: str, port: int) -> None:
    """Serve cases at /cases and take actions on them, until Ctrl-C.

    Who asks has to show the token of NPSFLOW_SECRET_BOARD as `Authorization: Bearer TOKEN`; while another replaces it,
    that of NPSFLOW_SECRET_BOARD_NEXT will do too.
    """
    logs.set_up("INFO")
    tokens = read_secrets(TOKENS, os.environ, ours=True)
    if not tokens:
        raise SettingsError(f"{TOKENS} is not set: without a token nobody could look at cases")
    prepare()
    clients.run(process.run(read_installation(), tokens, host, port, load()))
