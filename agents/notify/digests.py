"""Putting a digest together: cases as they stand on `recovery-cases`, praise from `customer-follow-up`."""

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from msgspec.structs import replace as changed

from npsflow.agents.kafka import clients
from npsflow.schemas import codec, topics
from npsflow.schemas.notify import DIGEST, Delivery
from npsflow.streams.engine.installation import Installation
from npsflow.streams.notify.digest import Digest, last_slot
from npsflow.streams.notify.event import type_of
from npsflow.streams.notify.message import Message
from npsflow.streams.notify.settings import Notifier, digest_time
from npsflow.streams.stage import Record

log = logging.getLogger(__name__)

_FOLLOW_UP = "npsflow.follow_up."


class Digests:
    """Of one notifier. What was put together once is kept for as long as it is being sent."""

    def __init__(self, name: str, notifier: Notifier, installation: Installation) -> None:
        self._name, self._notifier, self._installation = name, notifier, installation
        self._at = digest_time(notifier)
        self._kept: tuple[int, int, dict[str, Message]] = 0, 0, {}

    def slot(self, now: float) -> int:
        """When one was due last, in ms; 0 where there is none. `now` in seconds."""
        return 0 if self._at is None else last_slot(int(now * 1000), self._at, self._notifier.zone)

    async def plan(self, since: int, until: int, now: int) -> list[Delivery]:
        """One for each address, or else a note that there was nothing to tell; the very first begins with the next."""
        messages = await self._messages(since, until) if since else {}
        found = [self._delivery(f"{DIGEST}.{until}.{part}", part, since, until, now) for part in messages]
        nothing = self._delivery(f"{DIGEST}.{until}", "", since, until, now)
        return found or [changed(nothing, state="delivered", reference="nothing to tell")]

    async def get(self, delivery: Delivery) -> Message | None:
        """Raises KafkaError."""
        message = (await self._messages(delivery.since, delivery.event_at)).get(delivery.part)
        return None if message is None else replace(message, id=delivery.event_id, case_id="")

    def _delivery(self, name: str, part: str, since: int, until: int, now: int) -> Delivery:
        return Delivery(self._name, name, "waiting", name, -1, until, now, since=since, part=part)

    async def _messages(self, since: int, until: int) -> dict[str, Message]:
        if self._kept[:2] != (since, until):
            digest, odd = Digest(self._notifier, since, until), 0
            async for record in self._records(topics.CASES):
                odd += not _taken(digest.case, (record.key or b"").decode(errors="replace"), record.value)
            async for record in self._records(topics.FOLLOW_UP, since):
                kind = type_of(record.headers)
                if record.timestamp < until and record.value and kind.startswith(_FOLLOW_UP):
                    odd += not _taken(digest.follow_up, kind.split(".")[2], record.value)
            if odd:
                log.error("a digest leaves out what cannot be read", extra={"records": odd})
            self._kept = since, until, digest.messages()
        return self._kept[2]

    async def _records(self, topic: str, since: int | None = None) -> AsyncIterator[Record]:
        """All that are committed now, in each partition's order; those before a time, in ms, are left out."""
        of = await clients.partitions(self._installation, topic)
        async with clients.reader(self._installation) as consumer:
            ranges = await clients.offset_ranges(consumer, of)
            begins = {tp: begin for tp, (begin, _) in ranges.items()}
            if since is not None:
                found = await consumer.offsets_for_times(dict.fromkeys(of, since))
                begins = {tp: ranges[tp][1] if at is None else at.offset for tp, at in found.items()}
            for tp, begin in begins.items():
                consumer.seek(tp, begin)
                while await consumer.position(tp) < ranges[tp][1]:
                    consumer.resume(tp)
                    for record in (await consumer.getmany(tp, timeout_ms=1000)).get(tp, ()):
                        yield record
                consumer.pause(tp)


def _taken(take: Callable[[str, Any], None], name: str, value: bytes | None) -> bool:
    """Whether it is as npsflow writes them: one record that is not keeps nobody from their digest."""
    try:
        take(name, codec.loads(value) if value else None)
    except (ValueError, TypeError, AttributeError, KeyError):
        return False
    return True
