"""The composition root of `npsflow import`: read a file, plan its records, send them, report."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, TextIO

import click

from npsflow.agents import platforms
from npsflow.agents.history.entries import Entry, ExportFile, RefusedEntry
from npsflow.agents.history.opening import encoding_of
from npsflow.agents.history.planning import Plan, PlannedRecord, Planner
from npsflow.agents.history.reading import read
from npsflow.agents.history.report import StreamTimes, lines, sendable
from npsflow.agents.kafka import clients, reading
from npsflow.agents.kafka.diagnosis import KafkaFailed
from npsflow.agents.platforms.protocol import Export, FileOptions
from npsflow.agents.platforms.times import TimeFormat
from npsflow.agents.sealing.sealer import open_sealing
from npsflow.schemas import topics
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.times import DAY
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.intake.entrance import Entrance, KeyedRecord, configured_entrance

_CHUNK = 2_000
_EVERY = 500  # entries between two moves of the bar

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""A bar with a label and a length; what it yields moves it on by so much."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """What the command line asks for. `intake`: NAME of the mapping; `refused`: the file for what is refused."""

    file: str
    platform: str
    intake: str | None = None
    dry_run: bool = False
    form: str = ""
    times: TimeFormat
    encoding: str = "utf-8"
    make_ids: bool = False
    refused: str | None = None


class Result(NamedTuple):
    """The lines of the report, and whether anything was refused."""

    report: list[str]
    refused: bool


def run(
    wanted: Import, settings: Settings, installation: Installation, environment: Mapping[str, str], progress: Progress
) -> Result:
    """Send what the file holds, oldest first; on a dry run only say what would be sent.

    Raises SettingsError when the mapping or the platform is not clear, UnreadableFile, KafkaFailed.
    """
    if wanted.platform not in (known := platforms.offering("export")):
        raise SettingsError(f"{wanted.platform!r} is not a platform; there are {', '.join(known)}")
    export = platforms.by_name(wanted.platform).export
    assert export is not None
    entrance = _entrance(wanted, settings, export, environment)
    options = FileOptions(wanted.times, wanted.form or export.form or _only_form(entrance), wanted.make_ids)
    planner = Planner(
        entrance, export, settings.all_scales(), settings.alerts.metrics, follow_ups=settings.follow_ups.enabled
    )
    with open(wanted.file, "rb") as source:
        encoding = encoding_of(source, wanted.encoding)
        file = read(source, export, entrance.form, options, encoding)
        with _opened(wanted.refused, encoding) as refused:
            plan = planner.plan(_with_progress(source, file, progress), _RefusedWriter(refused, file.header).write)
    horizon, now = settings.horizon_days * DAY, int(time.time() * 1000)
    if wanted.dry_run:
        stream_times = _stream_times_if_known(installation)
        sent = sendable(plan, stream_times, horizon)
    else:
        stream_times, sent = clients.run(_send(settings, installation, plan, horizon, progress))
    report = lines(plan, sent, stream_times, horizon=horizon, now=now, done=not wanted.dry_run, file=file)
    return Result(report, bool(plan.refused))


# The mapping.


def _entrance(wanted: Import, settings: Settings, export: Export, environment: Mapping[str, str]) -> Entrance:
    platform, name = wanted.platform, wanted.intake
    of_platform = {n: form for n, form in settings.intake.items() if form.platform == platform}
    if name is not None and name not in of_platform:
        raise SettingsError(f"there is no [intake.{name}] of {platform}; known: {', '.join(of_platform) or 'none'}")
    if name is None and len(of_platform) > 1:
        raise SettingsError(f"several mappings are of {platform}: choose one of {', '.join(of_platform)} with --intake")
    if of_platform:
        name = name or next(iter(of_platform))
        return configured_entrance(name, of_platform[name], environment)
    if export.default is None:
        raise SettingsError(f'no [intake.NAME] has platform = "{platform}": nothing says what its questions mean')
    return configured_entrance(platform, export.default, environment)


def _only_form(entrance: Entrance) -> str:
    """A file without the id of its form can only be of the one form that the mapping is for."""
    form = entrance.form
    return form.forms[0] if len(form.forms) == 1 else "" if form.forms else form.survey_id


# The files.


def _with_progress(source: BinaryIO, file: ExportFile, progress: Progress) -> Iterator[Entry | RefusedEntry]:
    """The entries, with a bar that moves with the place in the file."""
    with progress("reading", os.fstat(source.fileno()).st_size) as advance:
        before = 0
        for number, entry in enumerate(file.entries):
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
class _RefusedWriter:
    """Writes refused entries to a file that can be mended and imported itself."""

    file: TextIO | None
    header: str

    def write(self, refused: RefusedEntry) -> None:
        if self.file is not None:
            self.file.write(self.header + refused.text + ("" if refused.text.endswith("\n") else "\n"))
            self.header = ""


# Kafka.


def _stream_times_if_known(installation: Installation) -> StreamTimes:
    try:
        return clients.run(_stream_times(installation))
    except KafkaFailed as error:
        return StreamTimes({}, 1, str(error))


async def _stream_times(installation: Installation) -> StreamTimes:
    partitions = len(await reading.partitions(installation, topics.RESPONSES))
    positions = await reading.positions_by_partition(installation, "classify")
    return StreamTimes({partition: position["stream_time"] for partition, position in positions.items()}, partitions)


async def _send(
    settings: Settings, installation: Installation, plan: Plan, horizon: int, progress: Progress
) -> tuple[StreamTimes, list[PlannedRecord]]:
    """Send what is not too late, a chunk at a time, each acknowledged before the next: in order in each partition."""
    stream_times = await _stream_times(installation)
    records, sent = sendable(plan, stream_times, horizon), 0
    counts = {
        topic: len(await reading.partitions(installation, topic)) for topic in {record.kind.topic for record in records}
    }
    try:
        async with clients.producer(installation) as producer, open_sealing(settings, installation) as sealing:
            with progress("sending", len(records)) as advance:
                while sent < len(records):
                    chunk = records[sent : sent + _CHUNK]
                    outputs = Outputs(producer, installation.prefix, int(time.time() * 1000))
                    loaded = [KeyedRecord(record.kind.topic, *record.load()) for record in chunk]
                    for record in await sealing.sealer.seal(loaded):
                        outputs.emit(record.output(counts[record.topic]))
                    await clients.deliver(producer, outputs)
                    sent += len(chunk)
                    advance(len(chunk))
    finally:
        if sent < len(records):
            click.echo(f"{sent:,} of {len(records):,} are sent: import it again, what is known already changes nothing")
    return stream_times, records
