"""Sends messages that are due, several at once, and records what comes of each."""

import asyncio
import logging
from collections.abc import Callable, Collection
from math import inf

from aiokafka.errors import KafkaError
from msgspec.structs import replace

from npsflow.agents.notify.attempt import Attempts, Outcome
from npsflow.agents.notify.context import Context
from npsflow.agents.notify.delivery_log import PAUSE, Recorder, log_fields
from npsflow.agents.notify.holds import Holds
from npsflow.agents.notify.kind import OUTCOMES
from npsflow.agents.notify.membership import Membership
from npsflow.schemas.notify import Delivery
from npsflow.streams.notify.message import Message
from npsflow.streams.notify.queue import Item, Queue

log = logging.getLogger(__name__)

_MAX_CONCURRENT = 16  # messages
_GRACE = 3.0  # seconds for messages under way when their partitions are revoked


class Dispatcher:
    """Takes messages of one notifier from its queue, except while `held()`."""

    def __init__(
        self,
        context: Context,
        queue: Queue,
        attempts: Attempts,
        recorder: Recorder,
        membership: Membership,
        holds: Holds,
        held: Callable[[], bool],
    ) -> None:
        self._context, self._queue, self._attempts, self._recorder = context, queue, attempts, recorder
        self._membership, self._holds, self._held = membership, holds, held
        self._tasks: dict[asyncio.Task[None], Item] = {}
        self._kafka_away_until = 0.0  # in seconds
        self._stopping = False  # messages under way end, and none begins
        context.metrics.begin(context.name, OUTCOMES.values())

    def start(self) -> None:
        """Begin to send messages that are due, up to the limit."""
        if self._stopping:
            return
        self._holds.wake_due()
        while len(self._tasks) < self._slots():
            item = self._queue.take(self._context.now())
            if item is None:
                return
            task = asyncio.create_task(self._send(item))
            self._tasks[task] = item
            task.add_done_callback(self._done)

    async def stop(self, partitions: Collection[int] | None = None) -> None:
        """End messages of these partitions, or of all and for good.

        A message without an answer by then is sent again by the next owner.
        """
        was_stopping, self._stopping = self._stopping, True
        tasks = [task for task, item in self._tasks.items() if partitions is None or item.partition in partitions]
        if tasks:
            await asyncio.wait(tasks, timeout=_GRACE)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._stopping = was_stopping or partitions is None

    def next_start(self) -> float:
        """When to `start` again, in seconds; inf if only something new makes a message due."""
        now, due = self._context.clock(), self._queue.next_due()
        times = [self._kafka_away_until, 0.0 if due is None else due / 1000, *self._holds.tries()]
        return min((at for at in times if at > now), default=inf)  # what is due already waits for something else

    def _slots(self) -> int:
        is_closed = self._stopping or self._held() or self._context.clock() < self._kafka_away_until
        return 0 if is_closed else self._holds.slots(_MAX_CONCURRENT)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._queue.release(self._tasks.pop(task))
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("a message failed: please report this", extra={"error": type(error).__name__})
        else:
            self.start()

    async def _send(self, item: Item) -> None:
        try:
            message = await self._attempts.prepare(item, self._queue.thread_reference(item))
            if isinstance(message, Outcome):
                await self._settle(item, message)
            else:
                await self._send_if_open(item, message)
        except (KafkaError, TimeoutError) as error:
            self._kafka_away_until = self._context.clock() + PAUSE
            log.warning("Kafka does not answer just now: nothing is sent", extra={"error": type(error).__name__})

    async def _send_if_open(self, item: Item, message: Message) -> None:
        """Send it, unless its address takes nothing now. Raises KafkaError, TimeoutError before it is sent."""
        key = item.ordering_key
        if self._stopping or self._held():
            return
        if not self._holds.admit(key, message.to):
            self._queue.postpone(item, inf)
            return
        try:
            await self._membership.expect_member()
            began = self._context.clock()
            outcome = await self._attempts.send(item.delivery, message)
            record = outcome.record
            if record.state == "delivered":
                self._holds.succeed(message.to, began=began)
            elif outcome.concerns is not None:
                until = self._holds.fail(message.to, outcome, began)
                if record.attempts == item.delivery.attempts:  # it is not the message: it waits like all others
                    self._holds.park(key, message.to)
                    self._queue.postpone(item, inf)
                    record = replace(record, not_before=0 if until == inf else int(until * 1000))
            await self._settle(item, outcome._replace(record=record))
        finally:
            self._holds.leave(key)

    async def _settle(self, item: Item, outcome: Outcome) -> None:
        """Record what came of it. Others of its address do not wait for that."""
        self._context.metrics.deliveries.labels(self._context.name, outcome.label).inc()
        await self._record(item.partition, outcome.record)
        if outcome.record.state == "waiting" and outcome.concerns is None:
            log.warning("a message is not delivered yet", extra=log_fields(outcome.record))

    async def _record(self, partition: int, delivery: Delivery) -> None:
        """Write it, however long that takes: until then no other message of its case is sent."""
        while True:
            try:
                if delivery.state != "delivered":
                    # If the partition is lost, its next owner may have delivered the message meanwhile.
                    await self._membership.expect_member()
                await self._recorder.record(partition, [delivery])
                break
            except (KafkaError, TimeoutError) as error:
                self._recorder.failed(error)
                await asyncio.sleep(PAUSE)
        if delivery.state == "delivered":
            seconds = max(0.0, (delivery.at - delivery.event_at) / 1000)
            self._context.metrics.seconds.labels(self._context.name).observe(seconds)
