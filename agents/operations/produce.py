"""`npsflow produce`: responses from JSON Lines to `survey-responses`."""

import asyncio
import base64
import binascii
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import click
from aiokafka.errors import MessageSizeTooLargeError

from npsflow.agents.commands.progress import progress
from npsflow.agents.kafka import clients, reading
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.partitioner import partition_of
from npsflow.streams.classify.parsing import read
from npsflow.streams.config.settings import load
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.scoring.scores import Scales
from npsflow.streams.stage import Output

_CHUNK = 1 << 20
_AS_IT_IS = {"key", "value_base64"}


class Line(NamedTuple):
    """A line of the input, and where it stands."""

    number: int
    text: bytes


class Message(NamedTuple):
    """What a line becomes."""

    key: bytes | None
    value: bytes | None


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--check", is_flag=True, help="First read every line as a worker would; send nothing if one is refused.")
def produce(file: BinaryIO, check: bool) -> None:
    """Send the responses in FILE, one JSON object a line; `-` sends those of standard input as they come.

    A line {"key": …, "value_base64": …} is sent as it is, both may be null. What is no response at all is sent as well,
    to end as a dead letter, unless --check is given.
    """
    scales = load().all_scales() if check else None
    clients.run(_produce(read_installation(), file.fileno(), scales))


async def _produce(installation: Installation, fd: int, scales: Scales | None) -> None:
    topic, sent = topics.RESPONSES, 0
    count = len(await reading.partitions(installation, topic))
    chunks = _lines(fd) if scales is None else _checked(fd, scales)
    try:
        async with clients.producer(installation) as producer:
            with _progress("sending", fd) as advance:
                async for lines in chunks:
                    outputs = Outputs(producer, installation.prefix, int(time.time() * 1000))
                    for line in lines:
                        key, value = _message(line)
                        partition = line.number % count if key is None else partition_of(key, count)
                        outputs.emit(Output(topic, partition, key, value, []))
                    try:
                        await clients.deliver(producer, outputs)
                    except MessageSizeTooLargeError:
                        raise _too_large(lines) from None
                    sent += len(lines)
                    advance(lines)
    finally:
        click.echo(f"{sent} records sent to {installation.topic(topic)}")


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
    """Wait for input without blocking in a read, so that Ctrl-C and Kafka are heard meanwhile."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(fd, ready.set)
    except PermissionError:  # a file: always readable, and nothing that can be waited for
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


async def _checked(fd: int, scales: Scales) -> AsyncIterator[list[Line]]:
    """All lines, kept until all are good; names those that are not, by number and reason, never by content."""
    chunks = []
    refused = 0
    with _progress("checking", fd) as advance:
        async for lines in _lines(fd):
            chunks.append(lines)
            for line in lines:
                try:
                    read(_message(line).value, scales)
                except RefusedRecord as error:
                    refused += 1
                    click.echo(f"line {line.number}: {error.reason}: {error}", err=True)
            advance(lines)
    if refused:
        raise click.ClickException(f"{refused} of {sum(map(len, chunks))} lines are refused, so nothing was sent")
    for lines in chunks:
        yield lines


def _message(line: Line) -> Message:
    """Key and value; without a key where the line names no response."""
    try:
        fields = codec.loads(line.text)
    except codec.NotJson:
        return Message(None, line.text)
    if not isinstance(fields, dict):
        return Message(None, line.text)
    if fields.keys() == _AS_IT_IS and all(isinstance(given, str | None) for given in fields.values()):
        return _as_it_is(line.number, fields["key"], fields["value_base64"])
    source, response_id = fields.get("source"), fields.get("response_id")
    if isinstance(source, str) and isinstance(response_id, str):
        return Message(f"{source}/{response_id}".encode(), line.text)
    return Message(None, line.text)


def _as_it_is(number: int, key: str | None, value: str | None) -> Message:
    try:
        decoded = None if value is None else base64.b64decode(value, validate=True)
    except binascii.Error:
        raise click.ClickException(f"line {number}: value_base64 is not base64") from None
    return Message(None if key is None else key.encode(), decoded)


def _too_large(lines: list[Line]) -> click.ClickException:
    """Kafka names no record; it is the largest of those that were under way, or larger ones come with it."""
    line = max(lines, key=lambda line: len(line.text))
    return click.ClickException(
        f"line {line.number} of {len(line.text):,} bytes is more than the topic takes (max.message.bytes); "
        f"of lines {lines[0].number} to {lines[-1].number} some may have been sent, none behind them"
    )


@contextmanager
def _progress(label: str, fd: int) -> Iterator[Callable[[list[Line]], None]]:
    """A bar where the input has a size; what it yields moves it past lines."""
    with progress(label, os.fstat(fd).st_size) as advance:
        yield lambda lines: advance(sum(len(line.text) + 1 for line in lines))
