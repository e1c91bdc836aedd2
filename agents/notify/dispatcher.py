"""Sends messages that are due, several at once, and records what comes of each."""

import asyncio
import logging
from collections.abc import Callable, Collection
from math import inf

from aiokafka.errors import KafkaError

from npsflow.agents.notify.attempt import Attempts, Outcome
from npsflow.agents.notify.context import Context
from npsflow.agents.notify.delivery_log import PAUSE, Recorder, log_fields
from npsflow.agents.notify.kind import OUTCOMES
from npsflow.agents.notify.membership import Membership
from npsflow.schemas.notify import Delivery
from npsflow.streams.notify.queue import Item, Queue

log = logging.getLogger(__name__)

_MAX_CONCURRENT = 16  # messages
_GRACE = 3.0  # seconds for messages under way when their partitions are revoked
_EVERY_ADDRESS = ""  # stands for each address, where all lead to the same receiver


class Dispatcher:
    """Takes messages of one notifier from its queue, except while `held()`."""

    def __init__(
        self,
        context: Context,
        queue: Queue,
        attempts: Attempts,
        recorder: Recorder,
        membership: Membership,
        held: Callable[[], bool],
    ) -> None:
        self._context, self._queue, self._attempts, self._recorder = context, queue, attempts, recorder
        self._membership, self._held = membership, held
        self._tasks: dict[asyncio.Task[None], Item] = {}
        self._closed: dict[str, float] = {}  # by address: the time (s) before which nothing is sent there
        self._stopping = False  # messages under way end, and none begins
        context.metrics.begin(context.name, OUTCOMES.values())

    def start(self) -> None:
        """Begin to send messages that are due, up to the limit."""
        while len(self._tasks) < _MAX_CONCURRENT and not self._is_closed(_EVERY_ADDRESS):
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

    def _is_closed(self, address: str) -> bool:
        return self._stopping or self._held() or self._context.clock() < self._closed.get(address, 0.0)

    def _close(self, address: str, until: float) -> None:
        self._closed[address] = max(until, self._closed.get(address, 0.0))

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
                await self._settle(item, message, _EVERY_ADDRESS)
                return
            address = message.to if self._context.kind.separate_addresses else _EVERY_ADDRESS
            if self._is_closed(address):  # closed while this message waited for its turn
                self._queue.postpone(item, self._closed.get(address, 0.0))
                return
            await self._membership.expect_member()
        except (KafkaError, TimeoutError) as error:
            self._close(_EVERY_ADDRESS, self._context.clock() + PAUSE)
            log.warning("Kafka does not answer just now: nothing is sent", extra={"error": type(error).__name__})
            return
        await self._settle(item, await self._attempts.send(item.delivery, message), address)

    async def _settle(self, item: Item, outcome: Outcome, address: str) -> None:
        metrics, name = self._context.metrics, self._context.name
        metrics.deliveries.labels(name, outcome.label).inc()
        self._close(address, outcome.closed_until)
        if outcome.disabled:
            if self._closed.get(address) != inf:
                log.error("it wants nothing any more: what waits stays until a restart", extra={"notifier": name})
            self._close(address, inf)
            metrics.disabled.labels(name).set(list(self._closed.values()).count(inf))
            self._queue.postpone(item, inf)
        if outcome.record is not None:
            await self._record(item.partition, outcome.record)

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
        elif delivery.state == "waiting":
            log.warning("a message is not delivered yet", extra=log_fields(delivery))
