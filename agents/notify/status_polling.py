"""What the other side does with what it was told: a ticket that is solved resolves its case, by an action."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from npsflow.agents.notify.event_cache import Events
from npsflow.agents.notify.kind import Done, Sender, Watched
from npsflow.schemas import codec, topics
from npsflow.schemas.cases import TeamAction
from npsflow.schemas.times import from_rfc3339
from npsflow.streams.engine.installation import Installation
from npsflow.streams.notify.queue import Line, Queue, Thread

log = logging.getLogger(__name__)

_EVERY = 60.0


@asynccontextmanager
async def watched(
    sender: Sender,
    queue: Queue,
    events: Events,
    producer: AIOKafkaProducer,
    installation: Installation,
    every: float = _EVERY,
) -> AsyncIterator[None]:
    """As long as the block lasts, if this sender tells at all; `every` so many seconds."""
    if not isinstance(sender, Watched):
        yield
        return
    work = asyncio.create_task(Watching(sender, queue, events, producer, installation, every).run())
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


class Watching:
    """`queue` knows what the other side calls each case."""

    def __init__(
        self,
        sender: Watched,
        queue: Queue,
        events: Events,
        producer: AIOKafkaProducer,
        installation: Installation,
        every: float,
    ) -> None:
        self._sender, self._queue, self._events, self._producer = sender, queue, events, producer
        self._topic, self._every = installation.topic(topics.ACTIONS), every
        self._written: dict[str, str] = {}  # by reference, the newest action
        self._over: set[str] = set()

    async def run(self) -> None:
        """Until it is cancelled. What is written again after a restart has the same id, and so counts once."""
        while True:
            try:
                await self._look()
            except (KafkaError, TimeoutError) as error:
                log.warning("what is done elsewhere could not be kept", extra={"error": type(error).__name__})
            except Exception as error:  # whatever the other side may say: the next look may be better
                log.error("what is done elsewhere cannot be read", extra={"error": type(error).__name__})
            await asyncio.sleep(self._every)

    async def _look(self) -> None:
        lines: dict[str, tuple[Line, Thread]] = {}
        for line, thread in self._queue.threads():
            lines[thread.reference] = line, thread
        self._over &= lines.keys()
        self._written = {name: action for name, action in self._written.items() if name in lines}
        for done in await self._sender.done(sorted(lines.keys() - self._over)):
            if done.reference not in lines:
                continue
            # What was done before the case was there is no answer to it.
            news = done.action_id != self._written.get(done.reference)
            if news and from_rfc3339(done.at) > lines[done.reference][1].event_at:
                await self._write(done, *lines[done.reference])
            if done.final:
                self._over.add(done.reference)

    async def _write(self, done: Done, line: Line, thread: Thread) -> None:
        partition, case_id = line
        record = await self._events.get(partition, thread.offset)
        if record is None:
            return
        action = TeamAction(
            done.action_id, "resolve", done.by, done.at, case_id, comment=done.comment, root_cause=done.root_cause
        )
        await self._producer.send_and_wait(self._topic, codec.encode(action), record.key, partition=partition)
        self._written[done.reference] = done.action_id
