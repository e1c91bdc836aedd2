"""The keys of customers as one process has them: read from `customer-keys` when they are first needed, kept up to date,
made, and deleted.

A key is acknowledged by Kafka before anything is sealed with it, so whoever meets a token finds its key on the topic,
unless it was deleted. Two processes may make a key for the same customer at once: both stay, one of them is used.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
from aiokafka import TopicPartition

from npsflow.agents.kafka import clients, reading
from npsflow.agents.kafka.renewed_consumer import RenewedConsumer, renewed_consumer
from npsflow.agents.kafka.renewed_producer import RenewedProducer, renewed_producer
from npsflow.agents.runtime.secrets import read_secrets
from npsflow.agents.sealing.cipher import VARIABLE, Wrapping, new_key_id, new_secret
from npsflow.agents.sealing.table import Key, KeyTable, has_tokens, key_ids
from npsflow.schemas import codec, topics
from npsflow.schemas.customer_keys import decode_key, parse_record_key, record_key
from npsflow.schemas.times import DAY
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.stage import Output, Record

_FRESH = 1.0  # seconds for which a deleted key may still be used
_SECONDS = 10.0
_RENEWED_AFTER = 30 * DAY  # a key in use is written again, long before retention removes it


class Keyring:
    """Made by `open_keyring`. It needs no topic as long as there are no tokens to open and nothing to seal."""

    def __init__(self, installation: Installation, wrapping: Wrapping, until_closed: AsyncExitStack) -> None:
        self._installation, self._wrapping, self._until_closed = installation, wrapping, until_closed
        self._table = KeyTable()
        self._consumer: RenewedConsumer | None = None
        self._producer: RenewedProducer | None = None
        self._partitions: list[TopicPartition] = []
        self._lock, self._making = asyncio.Lock(), asyncio.Lock()
        self._wanted: set[str] = set()  # customers who wait for a key
        self._gone: set[str] = set()  # ids of keys that were deleted, or looked for in vain: none ever comes back
        self._read_at = 0.0

    # Opening.

    async def read(self, data: bytes) -> bytes:
        """JSON with its tokens opened, or the bytes that a token stands for; those without a key become `erased`.

        Raises KafkaError and KafkaFailed when keys cannot be read, SettingsError when they are wrapped by another
        secret.
        """
        await self.prepare(data)
        return self.open(data)

    async def start(self) -> None:
        """Have all keys. Raises as `read`."""
        await self._refresh(0.0)
        self._table.all_keys()

    async def prepare(self, *values: bytes | None) -> None:
        """Have all keys that there are for the tokens in these values. Raises as `read`."""
        found = [value for value in values if value is not None and has_tokens(value)]
        if not found:
            return
        unknown = {id_ for value in found for id_ in key_ids(value) if not self._table.has(id_)} - self._gone
        await self._refresh(0.0 if unknown else _FRESH)
        self._gone |= {id_ for id_ in unknown if not self._table.has(id_)}

    def open(self, data: bytes) -> bytes:
        """The same as `read`, of values that were prepared."""
        return self._table.open(data)

    # Sealing.

    async def keys_of(self, customers: Collection[str]) -> Mapping[str, Key]:
        """The key of each customer, made where there is none. Raises as `read`."""
        if not customers:
            return {}
        await self._refresh(_FRESH)
        keys = {customer: self._table.find(customer) for customer in customers}
        if any(map(_is_due, keys.values())):
            await self._make(customers)
            keys = {customer: self._table.find(customer) for customer in customers}
        return {customer: key for customer, key in keys.items() if key is not None}

    async def new_keys(self, count: int) -> list[Key]:
        """Keys for what belongs to no customer. Raises as `read`."""
        keys = [_new_key() for _ in range(count)]
        await self._write({record_key("", key.id): key.secret for key in keys})
        return keys

    async def _make(self, customers: Collection[str]) -> None:
        """Make or renew keys that are due; those for whom others wait go along, so that a customer gets one."""
        self._wanted.update(customers)
        async with self._making:
            await self._refresh(0.0)  # another process may have made it
            wanted, self._wanted = self._wanted | set(customers), set()
            keys = {customer: self._table.find(customer) for customer in wanted}
            due = {customer: key or _new_key() for customer, key in keys.items() if _is_due(key)}
            await self._write({record_key(customer, key.id): key.secret for customer, key in due.items()})
            await self._delete_again([(customer, key.id) for customer, key in due.items() if keys[customer]])

    # Deleting.

    async def delete(self, customers: Collection[str], others: Collection[str] = ()) -> int:
        """Delete all keys of these customers, and `others`, of no customer, by id; returns how many there were."""
        await self._refresh(0.0)
        keys = [record_key(customer, id_) for customer in customers for id_ in self._table.ids(customer)]
        keys += [record_key("", id_) for id_ in others if self._table.has(id_)]
        await self._write(dict.fromkeys(keys))
        return len(keys)

    async def rewrap(self) -> int:
        """Write all keys again, wrapped by the newest secret; returns how many there are. Raises as `read`."""
        await self._refresh(0.0)
        keys = self._table.all_keys()
        await self._write({record_key(customer, key.id): key.secret for customer, key in keys})
        await self._delete_again([(customer, key.id) for customer, key in keys])
        return len(keys)

    async def _delete_again(self, written: Collection[tuple[str, str]]) -> None:
        """Of keys that were written again, delete those that somebody has deleted just before."""
        if written:
            await self._refresh(0.0)
            revived = [record_key(customer, key_id) for customer, key_id in written if key_id in self._gone]
            await self._write(dict.fromkeys(revived))

    async def _write(self, secrets: Mapping[bytes, bytes | None]) -> None:
        """Return when Kafka has acknowledged these keys (None: their deletion) and they are in memory."""
        if not secrets:
            return
        async with self._lock:
            if self._producer is None:
                self._producer = await self._until_closed.enter_async_context(renewed_producer(self._installation))
            now = int(time.time() * 1000)
            outputs = Outputs(self._producer, self._installation.prefix, now)
            for key, secret in secrets.items():
                value = None if secret is None else codec.encode(self._wrapping.wrap(secret, key))
                outputs.emit(Output(topics.CUSTOMER_KEYS, 0, key, value, []))
            async with asyncio.timeout(_SECONDS):
                await clients.deliver(self._producer, outputs)
            for key, secret in secrets.items():
                self._apply(key, secret, now)

    # Reading.

    async def _refresh(self, age: float) -> None:
        """Take in what is on the topic, unless that was done not longer than `age` seconds ago."""
        async with self._lock:
            if time.monotonic() < self._read_at + age:
                return
            began = time.monotonic()
            async with asyncio.timeout(None if self._consumer is None else _SECONDS):
                await self._read_new(await self._started())
            self._read_at = began

    async def _started(self) -> RenewedConsumer:
        if self._consumer is None:
            self._partitions = await reading.partitions(self._installation, topics.CUSTOMER_KEYS)
            consumer = await self._until_closed.enter_async_context(renewed_consumer(self._installation))
            ranges = await reading.offset_ranges(consumer, self._partitions)
            for tp, (begin, _) in ranges.items():
                consumer.seek(tp, begin)
            self._consumer = consumer
        return self._consumer

    async def _read_new(self, consumer: RenewedConsumer) -> None:
        await consumer.mend()
        ends = await consumer.end_offsets(self._partitions)
        consumer.resume(*self._partitions)
        while [tp for tp, end in ends.items() if await consumer.position(tp) < end]:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    self._take(record)
        consumer.pause(*self._partitions)  # it reads ahead otherwise

    def _take(self, record: Record) -> None:
        key = record.key or b""
        if record.value is None:
            self._apply(key, None, record.timestamp)
            return
        try:
            stored = decode_key(record.value)
        except msgspec.MsgspecError:
            return  # of a later version
        customer, key_id = parse_record_key(key)
        if key_id not in self._gone:
            self._table.put(customer, key_id, self._wrapping.unwrap(stored, key), record.timestamp)

    def _apply(self, key: bytes, secret: bytes | None, at: int) -> None:
        customer, key_id = parse_record_key(key)
        if secret is None:
            self._table.remove(customer, key_id)
            self._gone.add(key_id)
        elif key_id not in self._gone:
            self._table.put(customer, key_id, secret, at)


def _new_key() -> Key:
    return Key(new_key_id(), new_secret(), 0)


def _is_due(key: Key | None) -> bool:
    """Whether it has to be made, or written again."""
    return key is None or key.at < time.time() * 1000 - _RENEWED_AFTER


@asynccontextmanager
async def open_keyring(
    installation: Installation, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[Keyring]:
    """The keyring of a process or command. Raises SettingsError for a secret that cannot wrap keys."""
    wrapping = Wrapping(read_secrets(VARIABLE, environment))
    async with AsyncExitStack() as until_closed:
        yield Keyring(installation, wrapping, until_closed)
