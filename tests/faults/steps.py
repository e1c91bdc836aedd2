"""Signals that a worker sends to itself at a step of a commit: SIGKILL, or SIGSTOP to be frozen right there."""

import asyncio
import logging
import os
import signal

from npsflow.streams.engine.observer import Committing, Observer, Step

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


class Countdown(Observer):
    """Strikes when a task of `stage` is at `step` for the last of so many times."""

    def __init__(self, how: signal.Signals, step: str, stage: str, times: str) -> None:
        self.stage = stage
        self._how, self._step, self._left = how, step, int(times)
        self._folded = 0
        self._after_output = False

    def folded(self) -> None:
        """A record of the stage was folded."""
        self._folded += 1
        if self._folded % _IN_A_BATCH == 0 and self._counts("fold"):
            self._strike()

    async def hold(self, step: Step) -> None:
        if not isinstance(step, Committing) or step.task.stage != self.stage:
            return
        match step.point:
            case "begun" if self._counts("begin"):
                self._strike()
            case "sending":
                await self._while_sending(step)
            case "delivered" if self._counts("offsets"):
                self._strike()
            case "ending" if self._counts("commit"):
                self._strike()
            case "ending" if self._counts("ending"):
                asyncio.get_running_loop().call_later(0.001, self._strike)  # asked, and not answered yet
            case "ended" if self._counts("committed"):
                self._strike()

    async def _while_sending(self, step: Committing) -> None:
        changelog = step.topic.endswith(("-state", "-remembered"))
        if step.sent and self._after_output and self._counts("sending"):
            await asyncio.sleep(0)  # the producer's sender has its turn
            self._strike()
        if step.sent and changelog and self._counts("outputs"):
            await asyncio.gather(*step.sent)
            self._strike()
        self._after_output = not changelog

    def _counts(self, step: str) -> bool:
        """Whether it is to strike now."""
        if step != self._step:
            return False
        self._left -= 1
        return self._left == 0

    def _strike(self) -> None:
        """SIGKILL: does not return. SIGSTOP: returns after SIGCONT."""
        log.warning(STRUCK)
        os.kill(os.getpid(), self._how)
