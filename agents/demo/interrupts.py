"""Ctrl-C and SIGTERM end the demo wherever it is, and never in the middle of making or closing an event loop."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from npsflow.agents.kafka import clients

T = TypeVar("T")


class Interrupts:
    """Raises KeyboardInterrupt at once in ordinary code; cancels what `run` runs, and raises it after that.

    asyncio's own handling leaves a gap before and after each loop, in which a signal tears it apart, loudly.
    """

    def __init__(self) -> None:
        self._came = self._running = False
        self._work: asyncio.Task[Any] | None = None

    def listen(self) -> None:
        """From now on. The main thread calls it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._interrupt)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """As `kafka.run`."""
        self._running = True
        try:
            return clients.run(self._heard(work))
        finally:
            self._running = False
            if self._came:  # whatever the work made of it
                raise KeyboardInterrupt

    async def _heard(self, work: Coroutine[Any, Any, T]) -> T:
        self._work = asyncio.current_task()
        if self._came and self._work is not None:
            self._work.cancel()  # takes effect where the work first waits
        try:
            return await work
        finally:
            self._work = None

    def _interrupt(self, *_: object) -> None:
        self._came = True
        if not self._running:
            raise KeyboardInterrupt
        if self._work is not None:
            self._work.get_loop().call_soon_threadsafe(self._work.cancel)
