"""One try to send a message: what it is made of, what the other side says, and what is written of it."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError
from msgspec.structs import replace

from npsflow.agents.notify.erased_customers import Forgotten
from npsflow.agents.notify.event_cache import Events
from npsflow.agents.notify.kind import OUTCOMES, Again, Delivered, Gone, Never, Result, Sender, Unknown
from npsflow.agents.web.rate_limit import RateLimit
from npsflow.schemas.notify import Delivery
from npsflow.streams.notify.backoff import TRIES, pause
from npsflow.streams.notify.event import Event, Unreadable, read
from npsflow.streams.notify.message import Message, message_of
from npsflow.streams.notify.queue import Item
from npsflow.streams.notify.settings import Notifier

log = logging.getLogger(__name__)

Digests = Callable[[Delivery], Coroutine[Any, Any, Message | None]]
"""The digest that a delivery is about; None where there is none any more."""


class Tried(NamedTuple):
    """`then` is written, if anything is; the end is left alone before `open_at`, and for good where it is `gone`."""

    outcome: str
    then: Delivery | None
    open_at: float = 0.0
    gone: bool = False


class Attempts:
    """Of one notifier; `per_second` messages to an address, unless its settings say otherwise. `jitter`: 0 to 1."""

    def __init__(
        self,
        notifier: Notifier,
        sender: Sender,
        events: Events,
        forgotten: Forgotten,
        digests: Digests,
        per_second: float,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._notifier, self._sender, self._events, self._digests = notifier, sender, events, digests
        self._forgotten = forgotten
        self._limit = RateLimit(notifier.per_second or per_second)
        self._clock, self._jitter = clock, jitter

    async def prepare(self, item: Item, thread: str) -> Message | Tried:
        """What to send when its turn has come; or else why it never will be.

        Raises KafkaError or TimeoutError where the event cannot be read just now.
        """
        delivery = item.delivery
        try:
            message = await self._message(item, thread)
        except (KafkaError, TimeoutError):
            raise
        except Unreadable as error:
            return _over(delivery, str(error), self._clock(), "unreadable")
        except Exception as error:
            return self._our_mistake(delivery, error)
        if message is None:
            return _over(
                delivery, "the event is not there any more, or its customer is forgotten", self._clock(), "lost"
            )
        while wait := self._limit.wait(message.to, time.monotonic()):
            await asyncio.sleep(wait)
        return message

    async def send(self, delivery: Delivery, message: Message) -> Tried:
        """Once."""
        try:
            result = await self._sender.send(message)
        except Exception as error:
            return self._our_mistake(delivery, error)
        return _became(delivery, result, self._clock(), self._jitter())

    def _our_mistake(self, delivery: Delivery, error: Exception) -> Tried:
        log.error("a notifier failed: please report this", extra={"error": type(error).__name__})
        return _became(delivery, Again("our mistake"), self._clock(), self._jitter())

    async def _message(self, item: Item, thread: str) -> Message | None:
        delivery = item.delivery
        if delivery.offset < 0:
            return await self._digests(delivery)
        record = await self._events.get(item.partition, delivery.offset)
        if record is None:
            return None
        told = read(record)
        if told.id != delivery.event_id:
            return None  # another topic of the same name
        if await self._forgotten.concerns(record, told.customers((record.key or b"").decode(errors="replace"))):
            return None
        event: Event | None = told
        if item.content != delivery.offset:
            later = await self._events.get(item.partition, item.content)
            event = told if later is None else read(later)
        assert event is not None
        try:
            return message_of(event, self._notifier, thread, told)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            raise Unreadable("the event is not as npsflow writes them") from None


def _became(delivery: Delivery, result: Result, now: float, jitter: float) -> Tried:
    outcome, at, attempts = OUTCOMES[type(result)], int(now * 1000), delivery.attempts + 1
    match result:
        case Delivered(reference):
            then = replace(delivery, state="delivered", at=at, attempts=attempts, reference=reference, error="")
            return Tried(outcome, then)
        case Gone():
            return Tried(outcome, None, gone=True)
        case Never(why):
            return _over(replace(delivery, attempts=attempts), why, now, outcome)
        case Again(why, seconds, everybody):
            open_at = now + seconds if everybody else 0.0
        case Unknown(why):
            seconds, open_at = 0.0, 0.0
    if attempts >= TRIES:
        given_up = replace(delivery, attempts=attempts)
        return _over(given_up, f"given up after {attempts} tries: {why}", now, outcome)._replace(open_at=open_at)
    not_before = int((now + pause(attempts, jitter, seconds)) * 1000)
    then = replace(delivery, at=at, attempts=attempts, not_before=not_before, error=why)
    return Tried(outcome, then, open_at)


def _over(delivery: Delivery, why: str, now: float, outcome: str) -> Tried:
    return Tried(outcome, replace(delivery, state="given_up", at=int(now * 1000), error=why))
