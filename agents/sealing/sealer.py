"""Seals records on their way to Kafka: the one place that every process and command sends them through."""

import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol

from npsflow.agents.sealing import cipher, fields
from npsflow.agents.sealing.keyring import Keyring, open_keyring
from npsflow.agents.sealing.table import Key, alone
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.sealed import is_sealed
from npsflow.streams.classify.parsing import read
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.intake.entrance import KeyedRecord
from npsflow.streams.scoring.scores import Scales

_RESPONSES = {topics.RESPONSES, topics.INVITATIONS}


class Seals(Protocol):
    """What writes to topics that hold personal data asks first."""

    async def seal(self, records: Sequence[KeyedRecord]) -> Sequence[KeyedRecord]:
        """The same records as they may be written. Raises KafkaError, KafkaFailed and SettingsError without keys."""

    async def start(self) -> None:
        """Have all keys, before there is anything to seal. Raises as `seal`."""


class Clear:
    """Seals nothing: `[sealing]` is off."""

    async def seal(self, records: Sequence[KeyedRecord]) -> Sequence[KeyedRecord]:
        """The same records."""
        return records

    async def start(self) -> None:
        """Nothing is needed."""


CLEAR = Clear()


class Sealer:
    """Puts tokens in place of personal texts, each under the key of its customer. `attributes`: which are personal."""

    def __init__(self, keyring: Keyring, attributes: Collection[str], scales: Scales) -> None:
        self._keyring, self._attributes, self._scales = keyring, frozenset(attributes), scales

    async def seal(self, records: Sequence[KeyedRecord]) -> Sequence[KeyedRecord]:
        """See Seals. What is sealed already stays as it is."""
        parsed = [self._parsed(record) for record in records]
        persons = [self._person(record, found) for record, found in zip(records, parsed, strict=True)]
        keys = await self._keyring.keys_of({person for person in persons if person})
        own = iter(await self._keyring.new_keys(persons.count("")))
        return [
            record if person is None else self._sealed(record, found, keys[person] if person else next(own))
            for record, found, person in zip(records, parsed, persons, strict=True)
        ]

    async def start(self) -> None:
        """See Seals."""
        await self._keyring.start()

    def _parsed(self, record: KeyedRecord) -> dict[str, Any] | None:
        """The JSON object that a record is; None for one that is sealed as a whole, or not at all."""
        if record.topic == topics.DEAD_LETTERS:
            return None
        try:
            found = codec.loads(record.value or b"")
        except codec.NotJson:
            found = self._mended(record)
        return found if isinstance(found, dict) else None

    def _mended(self, record: KeyedRecord) -> Any:
        """A response that is no JSON, and that classify takes all the same."""
        try:
            response, _, _ = read(record.value, self._scales)
        except RefusedRecord:
            return None
        return codec.loads(codec.encode(response))

    def _person(self, record: KeyedRecord, found: dict[str, Any] | None) -> str | None:
        """Whose key seals the record: "" for a key of its own, None where there is nothing to seal."""
        if record.topic in _RESPONSES and found is not None:
            return fields.person_key(found) if fields.is_personal(found, self._attributes) else None
        if record.topic == topics.ACTIONS and found is not None:
            return (record.key or b"").decode(errors="replace") if found.get("comment") else None
        whole = record.topic == topics.RESPONSES or (record.topic == topics.DEAD_LETTERS and _is_of_intake(record))
        return "" if whole and record.value and alone(record.value) is None else None

    def _sealed(self, record: KeyedRecord, found: dict[str, Any] | None, key: Key) -> KeyedRecord:
        return record._replace(value=self._value(record, found, key))

    def _value(self, record: KeyedRecord, found: dict[str, Any] | None, key: Key) -> bytes:
        def seal(text: str) -> str:
            return text if is_sealed(text) else cipher.seal(text.encode(), key.id, key.secret)

        if found is None:
            return cipher.seal(record.value or b"", key.id, key.secret).encode()
        if record.topic == topics.ACTIONS:
            return codec.dumps(found | {"comment": seal(found["comment"])})
        return codec.dumps(fields.sealed(found, self._attributes, seal))


def _is_of_intake(record: KeyedRecord) -> bool:
    """Whether a dead letter holds what somebody has sent, not ids that are to be fetched."""
    return dict(record.headers).get("npsflow_dlq_topic", b"").startswith(b"intake/")


class Sealing(NamedTuple):
    """What a process or command needs: `keyring` opens what it reads, `sealer` seals what it writes."""

    keyring: Keyring
    sealer: Seals


@asynccontextmanager
async def open_sealing(
    settings: Settings, installation: Installation, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[Sealing]:
    """Keys are opened whatever the settings say; the sealer is CLEAR unless `[sealing]` is on. Raises SettingsError."""
    async with open_keyring(installation, environment) as keyring:
        sealer: Seals = CLEAR
        if settings.sealing.enabled:
            sealer = Sealer(keyring, settings.sealing.attributes, settings.all_scales())
        yield Sealing(keyring, sealer)
