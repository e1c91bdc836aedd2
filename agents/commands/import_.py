"""`npsflow import`: the export of a survey platform to `survey-responses`, oldest first."""

import os
from typing import Any
from zoneinfo import ZoneInfo

import click

from npsflow.agents import platforms
from npsflow.agents.commands import options
from npsflow.agents.history.process import Import, run
from npsflow.agents.platforms.times import Order, TimeFormat
from npsflow.agents.runtime.terminal import progress
from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.settings import load
from npsflow.streams.engine.installation import read_installation


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--platform", required=True, help=f"Where it is from: {', '.join(platforms.offering('export'))}.")
@click.option(
    "--intake",
    shell_complete=options.of_settings(lambda settings: settings.intake),
    help="NAME of the [intake.NAME] that maps it, where several are of the platform.",
)
@click.option("--dry-run", is_flag=True, help="Send nothing; only say what would become of it.")
@click.option("--form", default="", help="Id of the form, where the file does not tell it.")
@click.option("--zone", help="Of times that have none, for example Europe/Amsterdam.")
@click.option("--dates", type=click.Choice(["day-first", "month-first"]), help="How dates like 03/04/2026 are meant.")
@click.option("--encoding", default="utf-8", show_default=True, help="Of the file, for example utf-16 or cp1252.")
@click.option("--make-ids", is_flag=True, help="Make ids of rows without one; not if any of them came by webhook.")
@click.option("--refused", type=click.Path(dir_okay=False, writable=True), help="Write what is refused to this file.")
def import_(zone: str | None, dates: Order | None, **arguments: Any) -> None:
    """Send the responses in FILE, an export (CSV, JSON or JSON Lines) of a survey platform, oldest first.

    What its columns mean says [intake.NAME] in the settings, as for webhooks. It can be repeated: what is known already
    changes nothing. Exit status 1 if anything was refused.
    """
    settings, installation = load(), read_installation()
    wanted = Import(times=TimeFormat(_zone(zone), dates), **arguments)
    result = run(wanted, settings, installation, os.environ, progress)
    click.echo("\n".join(result.report))
    if result.refused:
        raise SystemExit(1)


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # what is not there, is no name, is a folder
        raise SettingsError(f"{name!r} is not a time zone; say for example Europe/Amsterdam") from None
