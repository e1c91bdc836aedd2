"""When digests are planned: once a day, by the process that owns the first partition."""

import asyncio

from aiokafka.errors import KafkaError

from npsflow.agents.notify.context import Context
from npsflow.agents.notify.delivery_log import PAUSE, Recorder
from npsflow.agents.notify.digests import Digests
from npsflow.schemas.errors import NpsflowError
from npsflow.streams.notify.queue import DIGEST_PARTITION, Queue


class DigestSchedule:
    """`steady` is held while a digest is written: the partition is not revoked in between."""

    def __init__(
        self, context: Context, digests: Digests, queue: Queue, recorder: Recorder, steady: asyncio.Lock
    ) -> None:
        self._context, self._digests, self._queue, self._recorder = context, digests, queue, recorder
        self._steady = steady
        self._task: asyncio.Task[None] | None = None

    def start_if_due(self) -> None:
        """Begin to plan a digest that is due, if this process owns it.

        The log of `DIGEST_PARTITION` has to be read to its end, or a digest may be planned twice.
        """
        if self._task is None and self._queue.owns(DIGEST_PARTITION):
            until = self._digests.last_slot()
            if until > self._queue.digested_until:
                self._task = asyncio.create_task(self._plan(self._queue.digested_until, until))

    async def cancel(self) -> None:
        """Stop planning."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _plan(self, since: int, until: int) -> None:
        try:
            planned = await self._digests.plan(since, until)
            async with self._steady:
                if self._queue.owns(DIGEST_PARTITION):
                    await self._recorder.record(DIGEST_PARTITION, planned)
        except (KafkaError, NpsflowError, TimeoutError) as error:
            self._recorder.failed(error)
            await asyncio.sleep(PAUSE)
        finally:
            self._task = None
