"""One attempt to send a message: the message is built and sent, and the answer becomes a record of the log."""

import asyncio
import logging
import time
from typing import NamedTuple

from aiokafka.errors import KafkaError
from msgspec.structs import replace

from npsflow.agents.notify.context import Context
from npsflow.agents.notify.digests import Digests
from npsflow.agents.notify.erased_customers import ErasedCustomers
from npsflow.agents.notify.event_cache import EventCache
from npsflow.agents.notify.kind import (
    OUTCOMES,
    Delivered,
    Disabled,
    Rejected,
    Result,
    RetryLater,
    Sender,
    Unconfirmed,
)
from npsflow.agents.web.rate_limit import RateLimit
from npsflow.schemas.notify import Delivery
from npsflow.streams.notify.backoff import MAX_ATTEMPTS, delay
from npsflow.streams.notify.event import UnreadableEvent, read_event
from npsflow.streams.notify.message import Message, build_message
from npsflow.streams.notify.queue import Item

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What came of an attempt: its `label` in metrics, and the `record` to write, if any.

    `closed_until`: the address takes nothing before this time, in seconds. `disabled`: it takes nothing any more.
    """

    label: str
    record: Delivery | None
    closed_until: float = 0.0
    disabled: bool = False


class Attempts:
    """The attempts of one notifier, at its rate for each address."""

    def __init__(
        self, context: Context, sender: Sender, events: EventCache, erased: ErasedCustomers, digests: Digests
    ) -> None:
        self._context, self._sender, self._events, self._digests = context, sender, events, digests
        self._erased = erased
        self._limit = RateLimit(context.settings.per_second or context.kind.per_second)

    async def prepare(self, item: Item, thread: str) -> Message | Outcome:
        """Build the message and wait until its address may have it; an Outcome if it cannot be sent.

        Raises KafkaError or TimeoutError when the event cannot be read now.
        """
        delivery = item.delivery
        try:
            message = await self._build(item, thread)
        except (KafkaError, TimeoutError):
            raise
        except UnreadableEvent as error:
            return self._given_up(delivery, str(error), "unreadable")
        except Exception as error:
            return self._crashed(delivery, error)
        if message is None:
            return self._given_up(delivery, "the event is not there any more, or its customer is forgotten", "lost")
        while wait := self._limit.wait(message.to, time.monotonic()):  # noqa: ASYNC110 - no event: the wait is known
            await asyncio.sleep(wait)
        return message

    async def send(self, delivery: Delivery, message: Message) -> Outcome:
        """Send it once."""
        try:
            result = await self._sender.send(message)
        except Exception as error:
            return self._crashed(delivery, error)
        return self._outcome(delivery, result)

    def _crashed(self, delivery: Delivery, error: Exception) -> Outcome:
        log.error("a notifier failed: please report this", extra={"error": type(error).__name__})
        return self._outcome(delivery, RetryLater("our mistake"))

    async def _build(self, item: Item, thread: str) -> Message | None:
        """None if the event, or its customer, is gone."""
        delivery = item.delivery
        if delivery.offset < 0:
            return await self._digests.get(delivery)
        record = await self._events.get(item.partition, delivery.offset)
        if record is None:
            return None
        event = read_event(record)
        if event.id != delivery.event_id:
            return None  # the topic was made anew
        if await self._erased.concerns(record, event.customers((record.key or b"").decode(errors="replace"))):
            return None
        content = event
        if item.content_offset != delivery.offset:
            merged = await self._events.get(item.partition, item.content_offset)
            content = event if merged is None else read_event(merged)
        try:
            return build_message(content, self._context.settings, thread, event)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            raise UnreadableEvent("the event is not as npsflow writes them") from None

    def _outcome(self, delivery: Delivery, result: Result) -> Outcome:
        label, now, attempts = OUTCOMES[type(result)], self._context.clock(), delivery.attempts + 1
        at = int(now * 1000)
        match result:
            case Delivered(reference):
                delivered = replace(
                    delivery, state="delivered", at=at, attempts=attempts, reference=reference, error=""
                )
                return Outcome(label, delivered)
            case Disabled():
                return Outcome(label, None, disabled=True)
            case Rejected(reason):
                return self._given_up(replace(delivery, attempts=attempts), reason, label)
            case RetryLater(reason, seconds, pause_all):
                closed_until = now + seconds if pause_all else 0.0
            case Unconfirmed(reason):
                seconds, closed_until = 0.0, 0.0
        if attempts >= MAX_ATTEMPTS:
            outcome = self._given_up(
                replace(delivery, attempts=attempts), f"given up after {attempts} tries: {reason}", label
            )
            return outcome._replace(closed_until=closed_until)
        not_before = int((now + delay(attempts, self._context.jitter(), seconds)) * 1000)
        waiting = replace(delivery, at=at, attempts=attempts, not_before=not_before, error=reason)
        return Outcome(label, waiting, closed_until)

    def _given_up(self, delivery: Delivery, reason: str, label: str) -> Outcome:
        return Outcome(label, replace(delivery, state="given_up", at=self._context.now(), error=reason))
