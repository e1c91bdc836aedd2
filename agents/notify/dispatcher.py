"""Sending what is due, some at once: each message until it is delivered or given up, and what became of it is kept."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from math import inf

from aiokafka.errors import KafkaError

from npsflow.agents.notify.attempt import Attempts, Tried
from npsflow.agents.notify.metrics import Metrics
from npsflow.schemas.notify import Delivery
from npsflow.streams.notify.queue import Item, Queue

log = logging.getLogger(__name__)

RESTING = 1.0
"""Seconds, after Kafka did not take something."""
_AT_ONCE = 16  # messages under way
_GRACE = 3.0  # seconds for messages under way when their partitions go
_ALL = ""  # in place of an address: where all of them lead to the same


class Delivering:
    """Of one notifier. `apart`: its addresses have nothing to do with each other, one that is closed closes no other.

    `write` keeps what became of messages; `expect_ours` raises KafkaError where somebody else has their partition by
    now; nothing begins while `held` says so. `clock` in seconds.
    """

    def __init__(
        self,
        name: str,
        queue: Queue,
        attempts: Attempts,
        metrics: Metrics,
        write: Callable[[int, Sequence[Delivery]], Awaitable[None]],
        expect_ours: Callable[[], Awaitable[None]],
        held: Callable[[], bool],
        clock: Callable[[], float],
        *,
        apart: bool,
    ) -> None:
        self._name, self._queue, self._attempts, self._metrics = name, queue, attempts, metrics
        self._write, self._expect_ours, self._held, self._clock = write, expect_ours, held, clock
        self._apart = apart
        self._tasks: dict[asyncio.Task[None], Item] = {}
        self._closed: dict[str, float] = {}  # by address, until when nothing is sent there
        self._ending = False  # what is under way ends, and nothing begins
        metrics.disabled.labels(name).set(0)

    def start(self) -> None:
        """As many of those that are due as may be under way."""
        while len(self._tasks) < _AT_ONCE and not self._waits(_ALL):
            item = self._queue.take(int(self._clock() * 1000))
            if item is None:
                return
            task = asyncio.create_task(self._try(item))
            self._tasks[task] = item
            task.add_done_callback(self._done)

    async def end(self, partitions: Collection[int] | None = None) -> None:
        """Of these partitions, or of all. Whoever comes next sends again what has got no answer by then."""
        was, self._ending = self._ending, True
        tasks = [task for task, item in self._tasks.items() if partitions is None or item.partition in partitions]
        if tasks:
            await asyncio.wait(tasks, timeout=_GRACE)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._ending = was or partitions is None

    def _waits(self, address: str) -> bool:
        return self._ending or self._held() or self._clock() < self._closed.get(address, 0.0)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._queue.release(self._tasks.pop(task))
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("a message failed: please report this", extra={"error": type(error).__name__})
        else:
            self.start()

    async def _try(self, item: Item) -> None:
        try:
            message = await self._attempts.prepare(item, self._queue.thread(item))
            if isinstance(message, Tried):
                await self._became(item, message, _ALL)
                return
            address = message.to if self._apart else _ALL
            if self._waits(address):  # by now: it may have waited for its turn
                self._queue.put_off(item, self._closed.get(address, 0.0))
                return
            await self._expect_ours()
        except (KafkaError, TimeoutError) as error:
            self._close(_ALL, self._clock() + RESTING)
            log.warning("Kafka does not answer just now: nothing is sent", extra={"error": type(error).__name__})
            return
        await self._became(item, await self._attempts.send(item.delivery, message), address)

    async def _became(self, item: Item, tried: Tried, address: str) -> None:
        self._metrics.deliveries.labels(self._name, tried.outcome).inc()
        self._close(address, tried.open_at)
        if tried.gone:
            if self._closed.get(address) != inf:
                log.error("it wants nothing any more: what waits stays until a restart", extra={"notifier": self._name})
            self._close(address, inf)
            self._metrics.disabled.labels(self._name).set(list(self._closed.values()).count(inf))
            self._queue.put_off(item, inf)
        if tried.then is not None:
            await self._keep(item.partition, tried.then)

    def _close(self, address: str, until: float) -> None:
        self._closed[address] = max(until, self._closed.get(address, 0.0))

    async def _keep(self, partition: int, then: Delivery) -> None:
        """What became of it is written however long that takes: until then nothing more of its line is sent."""
        while True:
            try:
                if then.state != "delivered":
                    await self._expect_ours()  # who lost it has waited in vain: it may be delivered by now
                await self._write(partition, [then])
                break
            except (KafkaError, TimeoutError) as error:
                self._metrics.produce_failures.inc()
                log.warning("Kafka did not take what became of a message", extra={"error": type(error).__name__})
                await asyncio.sleep(RESTING)
        if then.state == "delivered":
            self._metrics.seconds.labels(self._name).observe(max(0.0, (then.at - then.event_at) / 1000))
        elif then.state == "waiting":
            log.warning("a message is not delivered yet", extra=about(then))


def about(delivery: Delivery) -> dict[str, object]:
    """What may be logged of it."""
    return {
        "notifier": delivery.notifier, "event": delivery.event_id, "why": delivery.error, "tries": delivery.attempts,
    }  # fmt: skip
