"""Signals that a worker sends to itself at a step of a commit: SIGKILL, or SIGSTOP to be frozen right there.

The product knows nothing of this: the producer of its tasks is replaced by one that counts the steps.
"""

import asyncio
import logging
import os
import signal
from typing import Any

from aiokafka import AIOKafkaProducer

from npsflow.streams.classify.stage import ClassifyFold
from npsflow.streams.engine import transaction
from npsflow.streams.recovery.stage import RecoveryFold
from npsflow.streams.windows.stage import WindowsFold

STEPS = {
    "fold": "in the middle of a batch",
    "begin": "when a transaction has begun",
    "sending": "when outputs are on their way",
    "outputs": "between outputs and changelog, outputs delivered",
    "offsets": "when everything is delivered, before the offsets",
    "commit": "when the offsets are added, before the commit",
    "ending": "when the commit is asked for, before the answer",
    "committed": "when the commit is answered, before the task knows",
}
"""In the order in which a commit comes to them."""

STRUCK = "signal at a step of a commit"
"""What the worker logs just before."""

log = logging.getLogger(__name__)

_IN_A_BATCH = 37  # records folded between two passings of `fold`: somewhere else in the batch each time


class Countdown:
    """Strikes when a task of `stage` is at `step` for the last of so many times."""

    def __init__(self, how: signal.Signals, step: str, stage: str, times: str) -> None:
        self._how, self._at, self._left = how, (step, stage), int(times)
        self._folded = 0

    def passing(self, step: str, stage: str) -> bool:
        """Whether it is to strike now."""
        if (step, stage) != self._at:
            return False
        self._left -= 1
        return self._left == 0

    def at(self, step: str, stage: str) -> None:
        if self.passing(step, stage):
            self.strike()

    def folded(self, stage: str) -> None:
        self._folded += 1
        if self._folded % _IN_A_BATCH == 0:
            self.at("fold", stage)

    def strike(self) -> None:
        """SIGKILL: does not return. SIGSTOP: returns after SIGCONT."""
        log.warning(STRUCK)
        os.kill(os.getpid(), self._how)


def build_in(countdown: Countdown) -> None:
    """Replace what passes the steps by what counts them."""

    class Counting(AIOKafkaProducer):  # type: ignore[misc]
        """The producer of a task, whose transactional id names the stage."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._stage = kwargs["transactional_id"].split("-")[-2]
            self._sent: list[asyncio.Future[Any]] = []

        async def begin_transaction(self) -> None:
            self._sent = []
            await super().begin_transaction()
            countdown.at("begin", self._stage)

        async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
            changelog = topic.endswith(("-state", "-remembered"))
            if self._sent and changelog and countdown.passing("outputs", self._stage):
                await asyncio.gather(*self._sent)
                countdown.strike()
            sent: asyncio.Future[Any] = await super().send_batch(batch, topic, partition=partition)
            self._sent.append(sent)
            if not changelog and countdown.passing("sending", self._stage):
                await asyncio.sleep(0)  # the producer's sender has its turn
                countdown.strike()
            return sent

        async def send_offsets_to_transaction(self, offsets: Any, group_id: str) -> None:
            countdown.at("offsets", self._stage)
            await super().send_offsets_to_transaction(offsets, group_id)

        async def commit_transaction(self) -> None:
            countdown.at("commit", self._stage)
            if countdown.passing("ending", self._stage):
                asyncio.get_running_loop().call_later(0.001, countdown.strike)  # asked, and not answered yet
            await super().commit_transaction()
            countdown.at("committed", self._stage)

    setattr(transaction, "AIOKafkaProducer", Counting)  # noqa: B010, mypy would have it exported
    for fold, stage in ((ClassifyFold, "classify"), (WindowsFold, "rollup"), (RecoveryFold, "recover")):
        _count_folds(fold, stage, countdown)


def _count_folds(fold: type[Any], stage: str, countdown: Countdown) -> None:
    apply = fold.apply

    def counted(self: Any, change: Any) -> None:
        apply(self, change)
        countdown.folded(stage)

    fold.apply = counted
