"""Asks a receiver which of its tickets are resolved: a resolved ticket resolves its case, by an action."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from npsflow.agents.cases.actions import Actor
from npsflow.agents.kafka.diagnosis import KafkaFailed
from npsflow.agents.kafka.renewed_producer import RenewedProducer
from npsflow.agents.notify.context import Context
from npsflow.agents.notify.event_cache import EventCache
from npsflow.agents.notify.kind import ReportsResolutions, Resolution, Sender
from npsflow.schemas.cases import TeamAction
from npsflow.schemas.times import from_rfc3339
from npsflow.streams.notify.queue import OrderingKey, Queue, Thread

log = logging.getLogger(__name__)

POLL_SECONDS = 60.0


class StatusPoller:
    """`queue` knows the receiver's reference of each case; `seconds` from one poll to the next."""

    def __init__(
        self,
        context: Context,
        sender: ReportsResolutions,
        queue: Queue,
        events: EventCache,
        producer: RenewedProducer,
        seconds: float,
    ) -> None:
        self._sender, self._queue, self._events, self._seconds = sender, queue, events, seconds
        self._actor = Actor(producer, context.installation, context.sealer)
        self._written: dict[str, str] = {}  # by reference: the id of the newest action
        self._final: set[str] = set()  # references that need not be asked for again

    async def run(self) -> None:
        """Poll until cancelled. An action that is written again after a restart has the same id and counts once."""
        while True:
            try:
                await self._poll()
            except (KafkaError, KafkaFailed, TimeoutError) as error:
                log.warning("what is done elsewhere could not be kept", extra={"error": type(error).__name__})
            except Exception as error:  # whatever the receiver answers: the next poll may go better
                log.error("what is done elsewhere cannot be read", extra={"error": type(error).__name__})
            await asyncio.sleep(self._seconds)

    async def _poll(self) -> None:
        threads: dict[str, tuple[OrderingKey, Thread]] = {}
        for key, thread in self._queue.threads():
            threads[thread.reference] = key, thread
        self._final &= threads.keys()
        self._written = {reference: id_ for reference, id_ in self._written.items() if reference in threads}
        for resolution in await self._sender.resolutions(sorted(threads.keys() - self._final)):
            reference = resolution.reference
            if reference not in threads:
                continue
            key, thread = threads[reference]
            is_new = resolution.action_id != self._written.get(reference)
            # A ticket that was resolved before the case was opened does not resolve it.
            if is_new and from_rfc3339(resolution.at) > thread.event_at:
                await self._write(resolution, key, thread)
            if resolution.final:
                self._final.add(reference)

    async def _write(self, resolution: Resolution, key: OrderingKey, thread: Thread) -> None:
        partition, case_id = key
        record = await self._events.get(partition, thread.offset)
        if record is None:
            return
        action = TeamAction(
            action_id=resolution.action_id,
            action="resolve",
            by=resolution.by,
            at=resolution.at,
            case_id=case_id,
            comment=resolution.comment,
            root_cause=resolution.root_cause,
        )
        await self._actor.send(None if record.key is None else record.key.decode(), partition, action)
        self._written[resolution.reference] = resolution.action_id


@asynccontextmanager
async def polling(
    context: Context,
    sender: Sender,
    queue: Queue,
    events: EventCache,
    producer: RenewedProducer,
    seconds: float = POLL_SECONDS,
) -> AsyncIterator[None]:
    """Poll while the block runs, if this sender reports resolutions."""
    if not isinstance(sender, ReportsResolutions):
        yield
        return
    work = asyncio.create_task(StatusPoller(context, sender, queue, events, producer, seconds).run())
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
