"""The very first start of a notifier: a few messages from before it are sent, many are only announced.

Many are a backlog, as of a history that was fed in: nobody wants all of it at once. The range of its events is on
`notify-log`, so that it can be sent later, each message once.
"""

import logging
from collections.abc import Sequence
from contextlib import aclosing

from msgspec.structs import replace

from npsflow.agents.notify.context import Context
from npsflow.agents.notify.delivery_log import Recorder
from npsflow.agents.notify.event_cache import EventCache
from npsflow.agents.notify.planner import Planner
from npsflow.schemas.notify import Backlog
from npsflow.schemas.times import HOUR
from npsflow.streams.notify.queue import Queue

log = logging.getLogger(__name__)

FEW = 20
"""So many messages from before the first start are sent without asking."""
_MOST = 10_000  # messages of one partition that are counted


class FirstStart:
    """Decides what happens to events from before it, in the partitions that are begun."""

    def __init__(
        self,
        context: Context,
        queue: Queue,
        events: EventCache,
        planner: Planner,
        recorder: Recorder,
    ) -> None:
        self._context, self._queue, self._events = context, queue, events
        self._planner, self._recorder = planner, recorder

    async def offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        """Where to begin in partitions that this notifier has never read. Raises KafkaError, TimeoutError."""
        hours = self._context.settings.first_hours
        since = self._context.now() - int(hours * HOUR)
        ranges = {partition: await self._events.range_since(partition, since) for partition in partitions}
        begins = {partition: begin for partition, (begin, _) in ranges.items()}
        if self._context.send_backlog:
            return begins
        counts = {partition: await self._count(partition, *span) for partition, span in ranges.items()}
        if sum(counts.values()) <= FEW:
            return begins
        for partition, (begin, end) in ranges.items():
            left = Backlog(self._context.name, begin, end, counts[partition], hours, self._context.now())
            await self._recorder.record(partition, [], left)
        self._announce(sum(counts.values()))
        return {partition: end for partition, (_, end) in ranges.items()}

    async def send_backlog(self, partition: int) -> None:
        """Plan what the first start left in a partition, if that is wanted now. Raises KafkaError, TimeoutError."""
        left = self._queue.backlog(partition)
        if not self._context.send_backlog or left is None or not left.count:
            return
        async with aclosing(self._events.batches(partition, left.begin, left.end)) as batches:
            async for records in batches:
                for planned in self._planner.plan(records, self._context.now()):
                    await self._recorder.record(partition, planned, replace(left, begin=planned[-1].offset + 1))
        await self._recorder.record(partition, [], replace(left, begin=left.end, count=0))

    async def _count(self, partition: int, begin: int, end: int) -> int:
        count = 0
        async with aclosing(self._events.batches(partition, begin, end)) as batches:
            async for records in batches:
                count += sum(map(self._planner.wants, records))
                if count >= _MOST:
                    break
        return count

    def _announce(self, count: int) -> None:
        text = announcement(self._context.name, count, self._context.settings.first_hours)
        log.warning(text, extra={"notifier": self._context.name})


def announcement(name: str, count: int, hours: float) -> str:
    """What is said of a backlog of so many messages."""
    many = f"{count:,} messages" if count < _MOST else f"{_MOST:,} messages or more"
    send = f"`npsflow notify {name} --send-backlog` sends them"
    return f"{many} of the last {hours:g} hours before the first start wait: {send}"
