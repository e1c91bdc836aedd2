"""One attempt to send a message: the message is built and sent, and the answer becomes a record of the log."""

import asyncio
import logging
import time
from math import inf
from typing import NamedTuple

from aiokafka.errors import KafkaConnectionError, KafkaError
from msgspec.structs import replace

from npsflow.agents.kafka.diagnosis import KafkaFailed
from npsflow.agents.notify.context import Context
from npsflow.agents.notify.digests import Digests
from npsflow.agents.notify.erased_customers import ErasedCustomers
from npsflow.agents.notify.event_cache import EventCache
from npsflow.agents.notify.kind import (
    OUTCOMES,
    Concern,
    Delivered,
    Disabled,
    Rejected,
    Result,
    RetryLater,
    Sender,
    Unavailable,
    Unconfirmed,
)
from npsflow.agents.web.rate_limit import RateLimit
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.notify import Delivery
from npsflow.streams.notify.backoff import MAX_ATTEMPTS, delay
from npsflow.streams.notify.event import UnreadableEvent, read_event
from npsflow.streams.notify.message import Message, build_message
from npsflow.streams.notify.queue import Item

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What came of an attempt: its `label` in metrics, and the `record` to write.

    `concerns`: who waits, None if nobody has to; at least for `seconds`, and why.
    """

    label: str
    record: Delivery
    concerns: Concern | None = None
    reason: str = ""
    seconds: float = 0.0


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
        except (KafkaFailed, SettingsError) as error:  # without keys nothing can be told yet, and nothing is given up
            raise KafkaConnectionError(str(error)) from error
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
        event = read_event(record, await self._context.keyring.read(record.value or b""))
        if event.id != delivery.event_id:
            return None  # the topic was made anew
        if await self._erased.concerns(record, event.customers((record.key or b"").decode(errors="replace"))):
            return None
        content = event
        if item.content_offset != delivery.offset:
            merged = await self._events.get(item.partition, item.content_offset)
            if merged is not None:
                content = read_event(merged, await self._context.keyring.read(merged.value or b""))
        try:
            return build_message(content, self._context.settings, thread, event)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            raise UnreadableEvent("the event is not as npsflow writes them") from None

    def _outcome(self, delivery: Delivery, result: Result) -> Outcome:
        label, now = OUTCOMES[type(result)], self._context.now()
        tried = replace(delivery, attempts=delivery.attempts + 1)
        match result:
            case Delivered(reference):
                return Outcome(label, replace(tried, state="delivered", at=now, reference=reference, error=""))
            case Rejected(reason):
                return self._given_up(tried, reason, label)
            case Disabled(reason):
                reason += "; a restart or `npsflow notify replay` tries it again"
                return Outcome(label, replace(delivery, at=now, error=reason), "address", reason, inf)
            case Unavailable(reason, seconds, concerns):
                return Outcome(label, replace(delivery, at=now, error=reason), concerns, reason, seconds)
            case RetryLater(reason, seconds, concerns):
                return self._failed(label, tried, reason, concerns, seconds)
            case Unconfirmed(reason, concerns):
                return self._failed(label, tried, reason, concerns)

    def _failed(self, label: str, tried: Delivery, reason: str, concerns: Concern, seconds: float = 0.0) -> Outcome:
        """A try has failed that counts."""
        if tried.attempts >= MAX_ATTEMPTS:
            outcome = self._given_up(tried, f"given up after {tried.attempts} tries: {reason}", label)
        else:
            now = self._context.clock()
            not_before = int((now + delay(tried.attempts, self._context.jitter(), seconds)) * 1000)
            outcome = Outcome(label, replace(tried, at=int(now * 1000), not_before=not_before, error=reason))
        return outcome._replace(concerns=None if concerns == "message" else concerns, reason=reason, seconds=seconds)

    def _given_up(self, delivery: Delivery, reason: str, label: str) -> Outcome:
        return Outcome(label, replace(delivery, state="given_up", at=self._context.now(), error=reason))
