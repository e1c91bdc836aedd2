"""`npsflow import`: the export of a survey platform to `survey-responses`, oldest first."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO, TextIO
from zoneinfo import ZoneInfo

import click

from npsflow.agents.commands.progress import progress
from npsflow.agents.history import platforms
from npsflow.agents.history.export import Context, Export, Refused, Said
from npsflow.agents.history.planning import Due, Plan, Planner
from npsflow.agents.history.reading import File, read
from npsflow.agents.history.report import Seen, lines, sendable
from npsflow.agents.history.times import Clock, Order
from npsflow.agents.intake.entrance import Entrance, mapped
from npsflow.agents.kafka import clients
from npsflow.schemas import topics
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import DAY
from npsflow.streams.config.settings import Settings, load
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.stage import Output

_CHUNK = 2_000
_EVERY = 500  # entries between two moves of the bar


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--platform", required=True, help=f"Where it is from: {', '.join(platforms.names())}.")
@click.option("--intake", "entrance", help="NAME of the [intake.NAME] that maps it, where several are of the platform.")
@click.option("--dry-run", is_flag=True, help="Send nothing; only say what would become of it.")
@click.option("--form", default="", help="Id of the form, where the file does not tell it.")
@click.option("--zone", help="Of times that have none, for example Europe/Amsterdam.")
@click.option("--dates", type=click.Choice(["day-first", "month-first"]), help="How dates like 03/04/2026 are meant.")
@click.option("--encoding", default="utf-8", show_default=True, help="Of the file, for example utf-16 or cp1252.")
@click.option("--make-ids", is_flag=True, help="Make ids of rows without one; not if any of them came by webhook.")
@click.option("--refused", type=click.Path(dir_okay=False, writable=True), help="Write what is refused to this file.")
def import_(
    file: str,
    platform: str,
    entrance: str | None,
    dry_run: bool,
    form: str,
    zone: str | None,
    dates: Order | None,
    encoding: str,
    make_ids: bool,
    refused: str | None,
) -> None:
    """Send the responses in FILE, an export (CSV, JSON or JSON Lines) of a survey platform, oldest first.

    What its columns mean says [intake.NAME] in the settings, as for webhooks. It can be repeated: what is known already
    changes nothing. Exit status 1 if anything was refused.
    """
    settings, installation = load(), read_installation()
    if platform not in platforms.names():
        raise SettingsError(f"{platform!r} is not a platform; there are {', '.join(platforms.names())}")
    export = platforms.named(platform)
    chosen = _entrance(settings, platform, export, entrance)
    context = Context(Clock(_zone(zone), dates), form or export.form or _only_form(chosen), make_ids)
    planner = Planner(chosen, export, settings.all_scales(), settings.alerts.metrics)
    with open(file, "rb") as source, _opened(refused, encoding) as bad:
        opened = read(source, export, chosen.form, context, encoding)
        plan = planner.plan(_watched(source, opened), _Writer(bad, opened.header).write)
    horizon, now = settings.horizon_days * DAY, int(time.time() * 1000)
    if dry_run:
        seen = _seen_if_possible(installation)
        sent = sendable(plan, seen, horizon)
    else:
        seen, sent = clients.run(_send(installation, plan, horizon))
    click.echo("\n".join(lines(plan, sent, seen, horizon, now, not dry_run, opened)))
    if plan.refused:
        raise SystemExit(1)


def _entrance(settings: Settings, platform: str, export: Export, name: str | None) -> Entrance:
    """The mapping that holds. Raises SettingsError where it is not clear which."""
    of_platform = {n: form for n, form in settings.intake.items() if form.platform == platform}
    if name is not None and name not in of_platform:
        raise SettingsError(f"there is no [intake.{name}] of {platform}; known: {', '.join(of_platform) or 'none'}")
    if name is None and len(of_platform) > 1:
        raise SettingsError(f"several mappings are of {platform}: choose one of {', '.join(of_platform)} with --intake")
    if of_platform:
        name = name or next(iter(of_platform))
        return mapped(name, of_platform[name], os.environ)
    if export.default is None:
        raise SettingsError(f'no [intake.NAME] has platform = "{platform}": nothing says what its questions mean')
    return mapped(platform, export.default, os.environ)


def _only_form(entrance: Entrance) -> str:
    """A file that does not tell its form can only be of the one that the mapping is for."""
    form = entrance.form
    return form.forms[0] if len(form.forms) == 1 else "" if form.forms else form.survey_id


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # what is not there, is no name, is a folder
        raise SettingsError(f"{name!r} is not a time zone; say for example Europe/Amsterdam") from None


def _watched(source: BinaryIO, opened: File) -> Iterator[Said | Refused]:
    """The entries, with a bar that moves with the place in the file."""
    with progress("reading", os.fstat(source.fileno()).st_size) as advance:
        before = 0
        for number, entry in enumerate(opened.entries):
            if number % _EVERY == 0:
                place = os.lseek(source.fileno(), 0, os.SEEK_CUR)
                advance(place - before)
                before = place
            yield entry


def _opened(refused: str | None, encoding: str) -> AbstractContextManager[TextIO | None]:
    try:
        return open(refused, "w", encoding=encoding, newline="") if refused else nullcontext()
    except LookupError:
        raise SettingsError(f"{encoding!r} is not an encoding") from None


@dataclass
class _Writer:
    """Writes refused entries to a file that can be mended and imported itself."""

    file: TextIO | None
    header: str

    def write(self, refused: Refused) -> None:
        if self.file is not None:
            self.file.write(self.header + refused.text + ("" if refused.text.endswith("\n") else "\n"))
            self.header = ""


def _seen_if_possible(installation: Installation) -> Seen:
    try:
        return clients.run(_seen(installation))
    except clients.KafkaFailed as error:
        return Seen({}, 1, str(error))


async def _seen(installation: Installation) -> Seen:
    """How far the workers are. Raises KafkaFailed."""
    partitions = len(await clients.partitions(installation, topics.RESPONSES))
    positions = await clients.positions_by_partition(installation, "classify")
    return Seen({partition: position["stream_time"] for partition, position in positions.items()}, partitions)


async def _send(installation: Installation, plan: Plan, horizon: int) -> tuple[Seen, list[Due]]:
    """Send what is not too late, a chunk at a time, each acknowledged before the next: in order in each partition."""
    seen = await _seen(installation)
    due, sent = sendable(plan, seen, horizon), 0
    counts = {topic: len(await clients.partitions(installation, topic)) for topic in {one.kind.topic for one in due}}
    try:
        async with clients.producer(installation) as producer:
            with progress("sending", len(due)) as advance:
                while sent < len(due):
                    chunk = due[sent : sent + _CHUNK]
                    outputs = Outputs(producer, installation.prefix, int(time.time() * 1000))
                    for _, kind, key, value in chunk:
                        outputs.emit(Output(kind.topic, partition_of(key, counts[kind.topic]), key, value, []))
                    await clients.deliver(producer, outputs)
                    sent += len(chunk)
                    advance(len(chunk))
    finally:
        if sent < len(due):
            click.echo(f"{sent:,} of {len(due):,} are sent: import it again, what is known already changes nothing")
    return seen, due
