"""One `[intake.NAME]`: what its platform sends becomes records."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

from msgspec.structs import replace

from npsflow.schemas import codec, topics
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.fetch import Fetch
from npsflow.schemas.headers import Headers
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import rfc3339
from npsflow.streams.intake.mapper import Mapper
from npsflow.streams.intake.mapping import FetchRequest, FormMapping, Offer, Submission
from npsflow.streams.stage import Output

CUSTOMERS = "NPSFLOW_SECRET_CUSTOMERS"
"""The environment variable with the key of pseudonyms."""


class KeyedRecord(NamedTuple):
    """A record to be written to the partition of its key; `topic` without prefix, a value of None is a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = []  # noqa: RUF012 - never changed

    def output(self, partitions: int) -> Output:
        """To a topic of so many partitions; without a key to the first of them."""
        partition = 0 if self.key is None else partition_of(self.key, partitions)
        return Output(self.topic, partition, self.key, self.value, self.headers)


@dataclass(frozen=True)
class Entrance:
    """`customers_key`: makes pseudonyms of e-mail addresses; without it there are none."""

    name: str
    form: FormMapping
    customers_key: str = field(default="", repr=False)

    @property
    def source(self) -> str:
        """Of the responses."""
        return self.form.source or self.form.platform

    def records(self, event: Submission | Offer | FetchRequest, now: float) -> Iterator[KeyedRecord]:
        """The records of one event, none if it holds no score yet; `now` in seconds.

        Raises Unmapped when the mapping does not say what its form means.
        """
        match event:
            case Submission():
                if event.submitted_at is None and self.form.time_of_arrival:
                    event = replace(event, submitted_at=rfc3339(int(now * 1000)))
                for made in self._mapper.responses(event):
                    yield _record(topics.RESPONSES, f"{made['source']}/{made['response_id']}", made)
            case Offer():
                made = self._mapper.invitation(event)
                key = made.get("customer", {}).get("id") or f"{made['source']}/{made['invitation_id']}"
                yield _record(topics.INVITATIONS, key, made)
            case FetchRequest():
                self.form.check_mapped(event.form)  # else its answers would be fetched in vain
                fetch = Fetch(self.name, event.event_id, dict(event.ids), int(now * 1000))
                yield KeyedRecord(topics.FETCHES, fetch.key(), codec.dumps(fetch))

    @cached_property
    def _mapper(self) -> Mapper:
        return Mapper(self.form, self._pseudonym)

    def _pseudonym(self, email: str) -> str | None:
        return pseudonym(email, self.customers_key) if self.customers_key else None


def _record(topic: str, key: str, value: dict[str, Any]) -> KeyedRecord:
    return KeyedRecord(topic, key.encode(), codec.dumps(value))


def configured_entrance(name: str, form: FormMapping, environment: Mapping[str, str]) -> Entrance:
    """The entrance of `[intake.NAME]`, with the key of pseudonyms that the environment holds.

    Raises SettingsError for a key that is blank.
    """
    key = environment.get(CUSTOMERS, "")
    if key and not key.strip():
        raise SettingsError(f"{CUSTOMERS} is blank: set it to the key of pseudonyms, or leave it out")
    return Entrance(name, form, key)


def pseudonym(email: str, customers_key: str) -> str:
    """A customer's id: a keyed hash (BLAKE2b, 16 bytes), the same however the address is written.

    Nobody without the key can find out whose it is.
    """
    key = blake2b(customers_key.encode(), digest_size=32).digest()
    return "e-" + blake2b(email.strip().lower().encode(), digest_size=16, key=key).hexdigest()


def variable(prefix: str, name: str) -> str:
    """The environment variable of an entrance: `prefix` and its name."""
    return prefix + name.upper().replace("-", "_")
