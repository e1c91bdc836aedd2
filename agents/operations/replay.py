"""Sending dead letters once more: as they were, or with a mended value."""

import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from npsflow.agents.intake.endpoint import Endpoint, kept_delivery, unsigned
from npsflow.agents.kafka import clients
from npsflow.agents.kafka.diagnosis import absent
from npsflow.agents.operations import dead_letters
from npsflow.agents.operations.dead_letters import LETTER_ID, History, Letter, Selection, named_response
from npsflow.agents.platforms.protocol import CONTENT_TYPE, Rejected
from npsflow.agents.sealing.sealer import open_sealing
from npsflow.schemas import codec, topics
from npsflow.schemas.dlq_log import DlqLogEntry
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.fetch import decode_fetch
from npsflow.schemas.headers import Headers
from npsflow.schemas.response import Response
from npsflow.schemas.times import DAY, rfc3339, to_ms
from npsflow.streams.classify.parsing import read_record
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.admin import partition_counts
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.intake.entrance import KeyedRecord
from npsflow.streams.intake.mapping import Unmapped
from npsflow.streams.recovery.inputs import valid_action

_TRANSACTIONAL_ID = "dlq-replay"
_CHUNK, _CHUNK_BYTES = 1000, 16 << 20
_FORM = b"application/x-www-form-urlencoded"
_INTAKE = "intake/"
_TRIED_ONCE = {"internal_error", "unfetched"}
"""Nothing here can tell whether these are refused again: unless they are named, a replay tries them once."""
_AS_IT_WAS = {topics.RESPONSES, topics.ACTIONS}
"""Letters from these topics can be sent back as they were, whatever is wrong with them."""


# What a letter becomes.


class ReplayCheck:
    """What a letter becomes when it is sent once more, under the settings of now; `now` in ms."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], now: int) -> None:
        self.settings, self._environment = settings, environment
        self._scales, self._oldest = settings.all_scales(), now - settings.horizon_days * DAY

    def records(self, letter: Letter, mended: bytes | None = None) -> list[KeyedRecord]:
        """The records to send, with a mended value in place of the letter's; none where nothing is to be done.

        Raises RefusedRecord where they would be refused again.
        """
        topic, value = letter.why["topic"], letter.record.value if mended is None else mended
        if topic == topics.RESPONSES:
            key = self._check_response(letter, value)
            return [KeyedRecord(topic, letter.record.key if mended is None else key, value, letter.headers)]
        if topic == topics.ACTIONS:
            valid_action(letter.record.key, value)
            return [KeyedRecord(topic, letter.record.key, value, letter.headers)]
        if topic == topics.FETCHES:
            return [_renewed_fetch(letter, value)]
        return self._mapped(letter, value or b"", letter.headers if mended is None else [])

    def _check_response(self, letter: Letter, value: bytes | None) -> bytes:
        """Read it as classify does; gives its key."""
        try:
            tombstones_delete = self.settings.topics.tombstones_delete
            content, _, _ = read_record(letter.record.key, value, self._scales, tombstones_delete)
        except RefusedRecord:
            raise
        except Exception as error:  # our mistake: classify makes the same of it
            raise RefusedRecord("internal_error", type(error).__name__) from error
        late = letter.why["reason"] == "too_late" and isinstance(content, Response)
        if late and to_ms(content.submitted_at) < self._oldest:  # type: ignore[union-attr]
            raise RefusedRecord("too_late", "submitted further back than the horizon", content.source)
        return f"{content.source}/{content.response_id}".encode()

    @cached_property
    def _endpoints(self) -> Mapping[str, Endpoint]:
        return unsigned(self.settings, self._environment)

    def _mapped(self, letter: Letter, body: bytes, headers: Headers) -> list[KeyedRecord]:
        """What a webhook becomes by the mapping of now."""
        name = letter.why["topic"].removeprefix(_INTAKE)
        if (endpoint := self._endpoints.get(name)) is None:
            raise RefusedRecord("unmapped", f"there is no [intake.{name}] that takes webhooks")
        try:
            return list(endpoint.records(kept_delivery(body, _typed(headers, body)), letter.record.timestamp / 1000))
        except (Rejected, Unmapped) as error:
            raise RefusedRecord("unmapped", str(error)) from None


def _renewed_fetch(letter: Letter, value: bytes | None) -> KeyedRecord:
    """A fetch that was given up, as a new one: it is tried at once, and as often."""
    try:
        fetch = replace(decode_fetch(value or b""), attempts=0, not_before=0)
    except msgspec.MsgspecError:
        raise RefusedRecord("unfetched", "it does not say what is to be fetched") from None
    return KeyedRecord(topics.FETCHES, fetch.key(), codec.dumps(fetch), letter.headers)


def _typed(headers: Headers, body: bytes) -> Headers:
    """The headers of a request, with a type: a body that has none is JSON, or else a form."""
    if CONTENT_TYPE in dict(headers):
        return headers
    try:
        codec.loads_lenient(body)
    except codec.NotJson:
        return [*headers, (CONTENT_TYPE, _FORM)]
    return headers


# Mended values.


class Mended(NamedTuple):
    """A line of a file of mended values: for one letter (by its id), or for all letters of a response."""

    number: int
    letter: str | None
    response: tuple[str, str] | None
    value: bytes


class LineRefused(ValueError):
    """A line of the file cannot be used; the text names no content."""


def read_mended(number: int, line: bytes) -> Mended:
    """Read `{"id": LETTER, "value": VALUE}` or a response. Raises LineRefused.

    A VALUE that is a text stands for a body that is no JSON.
    """
    try:
        fields = codec.loads(line)
    except codec.NotJson:
        raise LineRefused("not JSON") from None
    letter_id = fields.get("id") if isinstance(fields, dict) else None
    if isinstance(letter_id, str) and LETTER_ID.fullmatch(letter_id) and "value" in fields:
        value = fields["value"]
        return Mended(number, letter_id, None, value.encode() if isinstance(value, str) else codec.dumps(value))
    response = named_response(fields)
    if response is None:
        raise LineRefused('neither {"id": …, "value": …} nor a response with source and response_id')
    return Mended(number, None, response, line.strip())


# The replay.


@dataclass
class Report:
    """What a replay did.

    `sent`: letters by their reason, `unmended` whether any was sent as it was. `kept`: letters that were not sent, by
    the reason for which they would be refused. `replayed_before`: how many of those that were named. `lines`: those of
    the file that were refused, by number, and why. `missing`: ids that no letter has.
    """

    sent: Counter[str] = field(default_factory=Counter)
    unmended: bool = False
    kept: Counter[str] = field(default_factory=Counter)
    replayed_before: int = 0
    lines: list[tuple[int, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class _Step(NamedTuple):
    """Letters, and the records that take their place."""

    letters: list[Letter]
    records: Sequence[KeyedRecord]


class Replay:
    """One run. `again`: letters that were replayed before, and those that would be refused again, are sent as well."""

    def __init__(self, installation: Installation, selection: Selection, check: ReplayCheck, *, again: bool) -> None:
        self._installation, self._selection, self._check, self._again = installation, selection, check, again
        self._history = History()
        self.report = Report()

    async def run(self, mended: Iterable[bytes] | None, *, dry_run: bool, progress: Callable[[int], None]) -> Report:
        """Send what is due; with lines of mended values only what they name.

        `dry_run` only reports. `progress` is called with how many letters were sent. Raises KafkaFailed. Each
        transaction holds records and the note in `dlq-log` that their letters were replayed: a replay that was killed
        is simply run again.
        """
        sent = self.report.sent
        name = self._installation.group(_TRANSACTIONAL_ID)
        started = nullcontext() if dry_run else clients.producer(self._installation, transactional_id=name)
        async with started as producer, open_sealing(self._check.settings, self._installation) as sealing:
            # The log is read after the producer has started, which ends whatever an earlier replay left open.
            async with clients.admin(self._installation) as client:
                counts = await partition_counts(client)
            self._history = await dead_letters.log(self._installation)
            steps = self._unchanged() if mended is None else self._mended(mended)
            async with aclosing(steps):
                async for chunk in _chunks(steps):
                    if producer is not None:
                        sealed = [_Step(step.letters, await sealing.sealer.seal(step.records)) for step in chunk]
                        outputs = self._outputs(producer, sealed, counts)
                        async with producer.transaction():
                            await clients.deliver(producer, outputs)
                    sent.update(letter.why["reason"] for step in chunk for letter in step.letters)
                    progress(sent.total())
        return self.report

    async def _unchanged(self) -> AsyncGenerator[_Step, None]:
        """The selected letters as they were, those that are accepted now."""
        report, missing = self.report, set(self._selection.ids or ())
        async with aclosing(dead_letters.letters(self._installation, self._selection)) as letters:
            async for letter in letters:
                missing.discard(letter.id)
                if letter.id in self._history.replayed and not self._again:
                    report.replayed_before += 1
                    continue
                try:
                    step = _Step([letter], self._records(letter))
                except RefusedRecord as refused:
                    report.kept[refused.reason] += 1
                else:
                    report.unmended = True
                    yield step
        report.missing = sorted(missing)

    def _records(self, letter: Letter) -> list[KeyedRecord]:
        """What to send of a letter as it was. Raises RefusedRecord if it would be refused again."""
        reason, selection = letter.why["reason"], self._selection
        named = self._again or selection.reason is not None or selection.ids is not None
        if reason in _TRIED_ONCE and letter.predecessors and not named:
            raise RefusedRecord(reason, "it was tried once more already")  # type: ignore[arg-type]
        try:
            return self._check.records(letter)
        except RefusedRecord:
            if not self._again or letter.why["topic"] not in _AS_IT_WAS:
                raise
        return [KeyedRecord(letter.why["topic"], letter.record.key, letter.record.value, letter.headers)]

    async def _mended(self, lines: Iterable[bytes]) -> AsyncGenerator[_Step, None]:
        """The letters that the lines name, with the values of the lines."""
        mended = self._readable(lines)
        matched, before = defaultdict[int, list[Letter]](list), set[int]()
        async with aclosing(dead_letters.letters(self._installation, self._selection)) as letters:
            async for letter in letters:
                line = mended.get(letter.id) or mended.get(letter.response)
                if line is None:
                    continue
                if letter.id in self._history.replayed and not self._again:
                    before.add(line.number)
                else:
                    matched[line.number].append(letter)
        for line in mended.values():
            if line.number not in matched:
                replayed = "it was replayed before: --again sends it once more"
                self._refuse(line.number, replayed if line.number in before else "no dead letter is like that")
                continue
            try:
                step = _Step(matched[line.number], self._check.records(matched[line.number][-1], line.value))
            except RefusedRecord as refused:
                self._refuse(line.number, f"{refused.reason}: {refused}")
            else:
                yield step

    def _readable(self, lines: Iterable[bytes]) -> dict[str | tuple[str, str] | None, Mended]:
        """The lines that can be read, by the letter or the response that they name."""
        mended: dict[str | tuple[str, str] | None, Mended] = {}
        for number, text in enumerate(lines, 1):
            if not text.strip():
                continue
            try:
                line = read_mended(number, text)
            except LineRefused as error:
                self._refuse(number, str(error))
                continue
            if (other := mended.setdefault(line.letter or line.response, line)) is not line:
                self._refuse(number, f"line {other.number} has a value for the same")
        return mended

    def _refuse(self, number: int, why: str) -> None:
        self.report.lines.append((number, why))

    def _outputs(self, producer: AIOKafkaProducer, steps: Iterable[_Step], counts: Mapping[str, int]) -> Outputs:
        """The records, and a note about each letter, to the partitions that Kafka's default partitioner gives."""
        now = int(time.time() * 1000)
        outputs, done = Outputs(producer, self._installation.prefix, now), DlqLogEntry(rfc3339(now))
        for letters, records in steps:
            for record in records:
                record = record._replace(headers=dead_letters.replay_headers(letters, record.headers))
                count = self._count(counts, record.topic)
                output = record.output(count)
                if record.key is None:
                    output = output._replace(partition=int(letters[-1].why["partition"]) % count)
                outputs.emit(output)
            log_count = self._count(counts, topics.DLQ_LOG)
            for letter in letters:
                outputs.emit(dead_letters.log_output(letter.id.encode(), done, log_count))
        return outputs

    def _count(self, counts: Mapping[str, int], topic: str) -> int:
        name = self._installation.topic(topic)
        if name not in counts:
            raise absent(name)
        return counts[name]


async def _chunks(steps: AsyncIterator[_Step]) -> AsyncIterator[list[_Step]]:
    """What goes into one transaction each."""
    chunk: list[_Step] = []
    size = 0
    async for step in steps:
        chunk.append(step)
        size += sum(len(record.value or b"") for record in step.records)
        if len(chunk) == _CHUNK or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
