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
        self._interrupted = self._running = False
        self._work: asyncio.Task[Any] | None = None

    def listen(self) -> None:
        """Handle both signals from now on; to be called in the main thread."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._interrupt)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """As `clients.run`; a signal cancels the work. Raises KeyboardInterrupt after that."""
        self._running = True
        try:
            return clients.run(self._cancellable(work))
        finally:
            self._running = False
            if self._interrupted:  # whatever the work made of it
                raise KeyboardInterrupt

    async def _cancellable(self, work: Coroutine[Any, Any, T]) -> T:
        self._work = asyncio.current_task()
        if self._interrupted and self._work is not None:
            self._work.cancel()  # takes effect where the work first waits
        try:
            return await work
        finally:
            self._work = None

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True
        if not self._running:
            raise KeyboardInterrupt
        if self._work is not None:
            self._work.get_loop().call_soon_threadsafe(self._work.cancel)
