"""Building digests: cases from `recovery-cases`, praise from `customer-follow-up`."""

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from npsflow.agents.kafka import clients, reading
from npsflow.agents.notify.context import Context
from npsflow.schemas import codec, topics
from npsflow.schemas.notify import DIGEST, Delivery
from npsflow.streams.notify.digest import Digest, last_slot
from npsflow.streams.notify.event import ce_type
from npsflow.streams.notify.message import Message
from npsflow.streams.notify.settings import digest_time
from npsflow.streams.stage import Record

log = logging.getLogger(__name__)

_FOLLOW_UP = "npsflow.follow_up."


class Digests:
    """The digests of one notifier. The messages of the newest are kept: all its addresses ask for them."""

    def __init__(self, context: Context) -> None:
        self._context, self._time = context, digest_time(context.settings)
        self._span = 0, 0
        self._kept: dict[str, Message] = {}

    def last_slot(self) -> int:
        """When a digest was due last, in ms; 0 if the notifier sends none."""
        now = self._context.now()
        return 0 if self._time is None else last_slot(now, self._time, self._context.settings.zone)

    async def plan(self, since: int, until: int) -> list[Delivery]:
        """A delivery for each address of the digest from `since` until `until`, in ms.

        If nobody has anything to hear, or there was no digest before (`since` is 0), the one delivery only notes where
        the next digest begins. Raises KafkaError, KafkaFailed.
        """
        messages = await self._messages(since, until) if since else {}
        if not messages:
            return [self._delivery(f"{DIGEST}.{until}", "", since, until, reference="nothing to tell")]
        return [self._delivery(f"{DIGEST}.{until}.{part}", part, since, until) for part in messages]

    async def get(self, delivery: Delivery) -> Message | None:
        """The message of a planned delivery, None if there is none any more. Raises KafkaError, KafkaFailed."""
        message = (await self._messages(delivery.since, delivery.event_at)).get(delivery.part)
        return None if message is None else replace(message, id=delivery.event_id, case_id="")

    def _delivery(self, id_: str, part: str, since: int, until: int, reference: str = "") -> Delivery:
        return Delivery(
            notifier=self._context.name,
            event_id=id_,
            state="delivered" if reference else "waiting",
            case_id=id_,
            offset=-1,
            event_at=until,
            at=self._context.now(),
            reference=reference,
            since=since,
            part=part,
        )

    async def _messages(self, since: int, until: int) -> dict[str, Message]:
        """By the hash of the address."""
        if self._span != (since, until):
            digest, unreadable = Digest(self._context.settings, since, until), 0
            async for record in self._records(topics.CASES):
                case_id = (record.key or b"").decode(errors="replace")
                unreadable += not _added(digest.add_case, case_id, await self._opened(record))
            async for record in self._records(topics.FOLLOW_UP, since):
                type_ = ce_type(record.headers)
                if record.timestamp < until and record.value and type_.startswith(_FOLLOW_UP):
                    unreadable += not _added(digest.add_follow_up, type_.split(".")[2], await self._opened(record))
            if unreadable:
                log.error("a digest leaves out what cannot be read", extra={"records": unreadable})
            self._span, self._kept = (since, until), digest.messages()
        return self._kept

    async def _opened(self, record: Record) -> bytes | None:
        return None if record.value is None else await self._context.keyring.read(record.value)

    async def _records(self, topic: str, since: int | None = None) -> AsyncIterator[Record]:
        """All that are committed now, in the order of each partition; those before a time, in ms, are left out."""
        tps = await reading.partitions(self._context.installation, topic)
        async with clients.reader(self._context.installation) as consumer:
            for tp in tps:  # one after the other: a digest that is made again has the same order
                async for record in reading.to_the_end(consumer, [tp], since=since):
                    yield record


def _added(add: Callable[[str, Any], None], name: str, value: bytes | None) -> bool:
    """Whether the record could be read: a single unreadable one does not stop the digest."""
    try:
        add(name, codec.loads(value) if value else None)
    except (ValueError, TypeError, AttributeError, KeyError):
        return False
    return True
