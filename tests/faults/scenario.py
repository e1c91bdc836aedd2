"""The frame of every fault test: load before, during and after the fault, then everything is held against the oracle.

    async with Scenario(broker, "zombie.", tmp_path, "worker frozen past its session") as scenario:
        frozen, other = scenario.worker(), scenario.worker()
        ...
        frozen.send(signal.SIGSTOP)
        scenario.injected()

The load is offered at its rate whatever the workers do. Leaving the block ends it, waits until both stages have
committed everything, compares windows, alerts, follow-ups, dead letters and outcomes with the oracle, adds one line to
`REPORTS` and fails if anything is lost, repeated or different. Workers that are still alive end after that.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from aiokafka.errors import KafkaError

from npsflow.agents.demo.sample import Line, sample
from npsflow.schemas.topics import RESPONSES
from tests.broker.harness import END, FIXED, Cluster, Installation, Process, eventually

REPORTS: list[str] = []
"""One line for each test that has ended."""

PATIENCE = 180
"""Seconds until everything is committed after the load has ended, on a machine that is not overloaded far less."""

_MOST_LINES = 60_000
_LOOK = 0.1
_LOST = "lost", "never forwarded"
_REPEATED = "repeated", "forwarded too often", "not expected"


@dataclass(slots=True)
class _Fault:
    """When it came, and where the input ended then: it is recovered from when all of that is committed."""

    at: float
    ends: dict[int, int]
    recovery: float | None = None


class Scenario:
    """One installation under load. `fault` says in the report what is done to it.

    `rate`: lines a second; `seed`: which lines; `session_ms` and `settings` as of an Installation. Of `lines` at most
    so many are offered, spread over the month, the load ends early when all are.
    """

    def __init__(
        self,
        cluster: Cluster,
        prefix: str,
        folder: Path,
        fault: str,
        *,
        rate: float = 300,
        lines: int = _MOST_LINES,
        seed: int = 7,
        session_ms: int = 1000,
        settings: str = FIXED,
    ) -> None:
        self.installation = Installation(cluster, prefix, settings, session_ms)
        self.offered = 0
        self._folder, self._fault, self._rate = folder, fault, rate
        self._lines: Iterator[Line] = islice(sample(seed, lines, END), lines)
        self._enough = threading.Event()
        self._faults: list[_Fault] = []
        self._ends: dict[int, int] = {}
        self._open = AsyncExitStack()

    # What a test does with it.

    def worker(
        self, *options: str, module: str = "npsflow.agents.cli", environment: dict[str, str] | None = None
    ) -> Process:
        """Start `npsflow worker` with these options; see Installation.process. It is killed at the very end."""
        started = self.installation.process(self._folder, *options, module=module, environment=environment)
        return self._open.enter_context(started)

    def injected(self) -> None:
        """The fault has just happened."""
        self._faults.append(_Fault(time.monotonic(), dict(self._ends)))

    async def recovered(self) -> bool:
        """Whether everything that stood in the input when the last fault came is committed by classify."""
        return all(fault.recovery is not None for fault in self._faults)

    async def committed(self, more: int = 1) -> None:
        """Return when classify has committed so many more records than now."""
        until: int | None = None

        async def done() -> bool:
            nonlocal until
            now = sum((await self.installation.offsets("classify")).values())
            until = now + more if until is None else until  # at the first answer: the broker may be away
            return now >= until

        await eventually(done, PATIENCE)

    async def quiet(self) -> None:
        """End the load, and return when everything is committed. A test needs it only to do something after that."""
        self._enough.set()
        await self._sending
        await eventually(self.installation.finished, PATIENCE)

    # The frame.

    async def __aenter__(self) -> "Scenario":
        await self._open.enter_async_context(self.installation)
        self._ends = await self.installation.ends(RESPONSES)
        self._sending = asyncio.create_task(asyncio.to_thread(self._send))
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self._judge()
        finally:
            self._enough.set()
            self._watching.cancel()
            await asyncio.wait([self._sending, self._watching])
            await self._open.aclose()

    def _send(self) -> None:
        # Idempotent: what the client sends again while the broker is away stays in order and is there once.
        self.installation.produce(self._load(), self._rate, **{"enable.idempotence": True})

    def _load(self) -> Iterator[Line]:
        for line in self._lines:
            if self._enough.is_set():
                return
            self.offered += 1
            yield line

    async def _watch(self) -> None:
        """Look where input and commits stand, and note when a fault has been recovered from."""
        while True:
            with suppress(KafkaError):
                committed = await self.installation.offsets("classify")
                for fault in self._faults:
                    if fault.recovery is None and all(committed.get(p, 0) >= end for p, end in fault.ends.items()):
                        fault.recovery = time.monotonic() - fault.at
                self._ends = await self.installation.ends(RESPONSES)
            await asyncio.sleep(_LOOK)

    async def _judge(self) -> None:
        await self.quiet()
        await eventually(self.recovered)
        expected = await self.installation.expected()
        differences = await self.installation.differences(expected)
        written = expected.read - sum(expected.copies.values())
        lost, repeated = (sum(any(word in text for word in of) for text in differences) for of in (_LOST, _REPEATED))
        times = [fault.recovery for fault in self._faults if fault.recovery is not None]
        REPORTS.append(
            f"{self._fault:<60} {len(times):3} times  {written:6,} records  "
            f"recovery {max(times, default=0.0):5.1f} s  lost {lost}  repeated {repeated}"
        )
        print(REPORTS[-1])
        assert differences == []
        assert written == self.offered, "what the client was told is written is there"
        assert times, "a fault was injected"
