"""Responses from JSON Lines to `survey-responses`."""

import asyncio
import base64
import binascii
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka.errors import MessageSizeTooLargeError

from npsflow.agents.history.effects import Effect, effect_lines, effect_of
from npsflow.agents.kafka import clients, reading
from npsflow.agents.operations.field_notes import FieldNotes
from npsflow.agents.runtime.terminal import progress
from npsflow.agents.sealing.sealer import open_sealing
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import NpsflowError, RefusedRecord
from npsflow.schemas.response import Deletion, Metric
from npsflow.schemas.times import to_ms
from npsflow.streams.classify.parsing import read_record
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.intake.entrance import KeyedRecord
from npsflow.streams.scoring.scores import Scales

_CHUNK = 1 << 20
_VERBATIM = {"key", "value_base64"}


class Line(NamedTuple):
    """A line of the input, and where it stands."""

    number: int
    text: bytes


class Message(NamedTuple):
    """What a line becomes."""

    key: bytes | None
    value: bytes | None


class ProduceFailed(NpsflowError, ValueError):
    """A line cannot be sent; the text names it by its number."""


@dataclass(frozen=True, slots=True)
class Check:
    """How all lines are read as a worker reads them, before any is sent.

    `report` is called for each line that is refused, then for each line about what all of them cause.
    """

    scales: Scales
    tombstones_delete: bool
    alert_metrics: Collection[Metric]
    follow_ups: bool
    report: Callable[[str], None]


async def try_out(fd: int, check: Check) -> int:
    """Check the lines that a file descriptor gives and report what they would cause; returns how many there are.

    Raises ProduceFailed as `send` does.
    """
    return sum([len(lines) async for lines in _checked(fd, check, done=False)])


async def send(
    installation: Installation, fd: int, check: Check | None, settings: Settings
) -> AsyncGenerator[int, None]:
    """Send the lines that a file descriptor gives; yields how many more are acknowledged, as they come.

    Raises ProduceFailed for lines that `check` refuses, for one that is not base64 where it should be, and for one that
    is too large.
    """
    topic = topics.RESPONSES
    count = len(await reading.partitions(installation, topic))
    chunks = _lines(fd) if check is None else _checked(fd, check, done=True)
    async with clients.producer(installation) as producer, open_sealing(settings, installation) as sealing:
        with progress("sending", os.fstat(fd).st_size) as advance:
            async for lines in chunks:
                outputs = Outputs(producer, installation.prefix, int(time.time() * 1000))
                records = await sealing.sealer.seal([KeyedRecord(topic, *_message(line)) for line in lines])
                for line, record in zip(lines, records, strict=True):
                    output = record.output(count)
                    outputs.emit(output if record.key is not None else output._replace(partition=line.number % count))
                try:
                    await clients.deliver(producer, outputs)
                except MessageSizeTooLargeError:
                    raise _too_large(lines) from None
                advance(_size(lines))
                yield len(lines)


async def _lines(fd: int) -> AsyncIterator[list[Line]]:
    """The lines that are not blank, as many at a time as can be had without waiting."""
    number, rest = 0, b""
    while True:
        await _readable(fd)
        chunk = os.read(fd, _CHUNK)
        *texts, rest = (rest + chunk).split(b"\n") if chunk else (rest, b"")
        yield [Line(n, text) for n, text in enumerate(texts, number + 1) if text and not text.isspace()]
        number += len(texts)
        if not chunk:
            return


async def _readable(fd: int) -> None:
    """Wait for input without blocking in a read: the event loop goes on meanwhile."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(fd, ready.set)
    except PermissionError:  # a file: always readable, and nothing that can be waited for
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


async def _checked(fd: int, check: Check, *, done: bool) -> AsyncIterator[list[Line]]:
    """All lines, kept until all are accepted; reports those that are not, by number and reason, never by content.

    At the end it reports the fields of the others that are dropped, cut or not known, and what the lines cause.
    """
    chunks = []
    refused, notes = 0, FieldNotes()
    effects: dict[bytes | None, tuple[int, Effect]] = {}  # of the last version of each response
    with progress("checking", os.fstat(fd).st_size) as advance:
        async for lines in _lines(fd):
            chunks.append(lines)
            for line in lines:
                key, value = _message(line)
                try:
                    response, scale, warnings = read_record(key, value, check.scales, check.tombstones_delete)
                except RefusedRecord as error:
                    refused += 1
                    check.report(f"line {line.number}: {error.reason}: {error}")
                    continue
                notes.add(line.number, value or b"{}", warnings)
                if scale is None or isinstance(response, Deletion):
                    effects.pop(key, None)
                else:
                    effect = effect_of(response, scale, check.alert_metrics, check.follow_ups)
                    effects[key] = to_ms(response.submitted_at), effect
            advance(_size(lines))
    for note in notes.texts():
        check.report(note)
    if refused:
        raise ProduceFailed(f"{refused} of {sum(map(len, chunks))} lines are refused, so nothing was sent")
    for line_of_report in effect_lines(effects.values(), int(time.time() * 1000), done):
        check.report(line_of_report)
    for lines in chunks:
        yield lines


def _message(line: Line) -> Message:
    """Key and value; without a key where the line names no response."""
    try:
        fields = codec.loads_lenient(line.text)
    except codec.NotJson:
        return Message(None, line.text)
    if not isinstance(fields, dict):
        return Message(None, line.text)
    if fields.keys() == _VERBATIM and all(isinstance(value, str | None) for value in fields.values()):
        return _verbatim(line.number, fields["key"], fields["value_base64"])
    source, response_id = fields.get("source"), fields.get("response_id")
    if isinstance(source, str) and isinstance(response_id, str):
        return Message(f"{source}/{response_id}".encode(), line.text)
    return Message(None, line.text)


def _verbatim(number: int, key: str | None, value: str | None) -> Message:
    try:
        decoded = None if value is None else base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ProduceFailed(f"line {number}: value_base64 is not base64") from None
    return Message(None if key is None else key.encode(), decoded)


def _too_large(lines: list[Line]) -> ProduceFailed:
    """Kafka names no record: the error names the largest of those that were being sent."""
    line = max(lines, key=lambda line: len(line.text))
    return ProduceFailed(
        f"line {line.number} of {len(line.text):,} bytes is more than the topic takes (max.message.bytes); "
        f"of lines {lines[0].number} to {lines[-1].number} some may have been sent, none behind them"
    )


def _size(lines: list[Line]) -> int:
    return sum(len(line.text) + 1 for line in lines)
