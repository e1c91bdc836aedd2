"""`npsflow` with faults built in: `python -m tests.faults.crashing worker ...`, told what by NPSFLOW_TEST_CRASH.

`POINT STAGE N`: the process kills itself with SIGKILL when a task of the stage is at the point for the N-th time; the
points are in `POINTS`. The product knows nothing of this: its producer is replaced by one that dies.
"""

import asyncio
import os
import signal
from typing import Any, NoReturn

from aiokafka import AIOKafkaProducer

from npsflow.agents.cli import main
from npsflow.streams import transaction
from npsflow.streams.classification import Classification
from npsflow.streams.rollup import Rolling

CRASH = "NPSFLOW_TEST_CRASH"

POINTS = {
    "fold": "in the middle of a batch",
    "begin": "when a transaction has begun",
    "sending": "when outputs are on their way",
    "outputs": "between outputs and changelog, outputs delivered",
    "offsets": "when everything is delivered, before the offsets",
    "commit": "when the offsets are added, before the commit",
    "ending": "when the commit is asked for, before the answer",
    "committed": "when the commit is answered, before the task hears of it",
}
"""In the order in which a commit comes to them."""

_IN_A_BATCH = 37
"""Records folded between two passings of the point `fold`: in the middle of the batches, at another place each time."""


class Countdown:
    """Dies at the last of so many passings of one point of one stage."""

    def __init__(self, told: str) -> None:
        self.point, self.stage, times = told.split()
        self._left = int(times)
        self._folded = 0

    def passing(self, point: str, stage: str) -> bool:
        """Whether this is the end."""
        if (point, stage) != (self.point, self.stage):
            return False
        self._left -= 1
        return self._left == 0

    def folding(self, stage: str) -> None:
        self._folded += 1
        if self._folded % _IN_A_BATCH == 0 and self.passing("fold", stage):
            die()


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody survives SIGKILL")


def build_in(countdown: Countdown) -> None:
    """Replace what passes the points by what counts them."""

    class Dying(AIOKafkaProducer):  # type: ignore[misc]
        """The producer of a task, whose transactional id names the stage."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._stage = kwargs["transactional_id"].split("-")[-2]
            self._sent: list[asyncio.Future[Any]] = []

        async def begin_transaction(self) -> None:
            self._sent = []
            await super().begin_transaction()
            if countdown.passing("begin", self._stage):
                die()

        async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
            changelog = topic.endswith(("-state", "-remembered"))
            if self._sent and changelog and countdown.passing("outputs", self._stage):
                await asyncio.gather(*self._sent)
                die()
            sent: asyncio.Future[Any] = await super().send_batch(batch, topic, partition=partition)
            self._sent.append(sent)
            if not changelog and countdown.passing("sending", self._stage):
                await asyncio.sleep(0)  # the producer's sender has its turn
                die()
            return sent

        async def send_offsets_to_transaction(self, offsets: Any, group_id: str) -> None:
            if countdown.passing("offsets", self._stage):
                die()
            await super().send_offsets_to_transaction(offsets, group_id)

        async def commit_transaction(self) -> None:
            if countdown.passing("commit", self._stage):
                die()
            if countdown.passing("ending", self._stage):
                asyncio.get_running_loop().call_later(0.001, die)  # the request has left, the answer has not come
            await super().commit_transaction()
            if countdown.passing("committed", self._stage):
                die()

    setattr(transaction, "AIOKafkaProducer", Dying)  # noqa: B010, mypy would have it exported
    for fold, stage in ((Classification, "classify"), (Rolling, "rollup")):
        count_folds(fold, stage, countdown)


def count_folds(fold: type[Any], stage: str, countdown: Countdown) -> None:
    apply = fold.apply

    def counted(self: Any, change: Any) -> None:
        apply(self, change)
        countdown.folding(stage)

    fold.apply = counted


if __name__ == "__main__":
    build_in(Countdown(os.environ[CRASH]))
    main()
