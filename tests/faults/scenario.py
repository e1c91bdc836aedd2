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
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError

from npsflow.agents.demo import oracle
from npsflow.agents.demo.sample import Line, sample
from npsflow.schemas.topics import RESPONSES
from tests.broker.harness import END, FIXED, Cluster, Harness, Process
from tests.support.waiting import eventually

from .faulty import FAULT, POISON

REPORTS: list[str] = []
"""One line for each scenario that has ended, until the summary takes it."""

PATIENCE = 180
"""Seconds until everything is committed after the load has ended, on a machine that is not overloaded far less."""

_A_MONTH = 60_000  # lines of the sample: more than any test offers, spread over a month
_LOOK = 0.1
_SHOWN = 20  # differences, of thousands perhaps
_LOST = "lost", "never forwarded"
_REPEATED = "repeated", "forwarded too often", "not expected"


@dataclass(frozen=True, slots=True)
class _Fault:
    """When it came, and where the input ended then: it is recovered from when all of that is committed."""

    at: float
    ends: dict[int, int]


@dataclass(frozen=True, slots=True)
class Load:
    """Which lines are sent, the sample unless others are given, and how many a second. When all are, it has ended."""

    lines: Iterable[Line] | None = None
    rate: float = 300


SAMPLE = Load()


class Scenario:
    """One installation under load. `fault` says in the report what is done to it.

    `session_ms` and `settings` as of an Installation.
    """

    def __init__(
        self,
        cluster: Cluster,
        prefix: str,
        folder: Path,
        fault: str,
        *,
        load: Load = SAMPLE,
        session_ms: int = 3000,
        settings: str = FIXED,
    ) -> None:
        self.harness = Harness(cluster, prefix, settings, session_ms)
        self.offered = 0
        self.keeps_all = True
        """Whether the input topic still holds all that was sent to it."""
        self.poisoned = False
        """Whether there are records with POISON in the input, and workers that crash on them: see faulty.py."""
        self._folder, self._fault, self._rate = folder, fault, load.rate
        self._lines = iter(sample(7, _A_MONTH, END) if load.lines is None else load.lines)
        self._enough = threading.Event()
        self._injected = 0
        self._pending: _Fault | None = None
        self._recoveries: list[float] = []
        self._ends: dict[int, int] = {}
        self._committed = 0
        self._open = AsyncExitStack()

    # What a test does with it.

    def worker(self, *options: str, fault: str | None = None, **environment: str) -> Process:
        """Start `npsflow worker` with these options, with a fault built in if one is named: see faulty.py.

        `environment`: variables beside the usual. The process is killed at the very end.
        """
        module = "npsflow.agents.entry"
        if fault is not None:
            module, environment = "tests.faults.faulty", environment | {FAULT: fault}
        started = self.harness.process(self._folder, *options, module=module, environment=environment)
        return self._open.enter_context(started)

    async def offer(self, lines: Iterable[Line]) -> None:
        """Send these beside the load, as fast as can be."""
        some = list(lines)
        await asyncio.to_thread(self.harness.produce, some)
        self.offered += len(some)

    def injected(self) -> None:
        """The fault has just happened. One that comes before the last is recovered from takes its place."""
        self._injected += 1
        self._pending = _Fault(time.monotonic(), dict(self._ends))

    async def recovered(self) -> bool:
        """Whether everything that stood in the input when the last fault came is committed by classify."""
        return self._pending is None

    async def committed(self, more: int = 1) -> None:
        """Return when classify has committed so many more records than now."""
        until = self._committed + more

        async def done() -> bool:
            if self._sending.done():
                self._sending.result()  # nothing more comes: it should say why
            return self._committed >= until

        await eventually(done, PATIENCE)

    async def quiet(self) -> None:
        """End the load, and return when everything is committed. A test needs it only to do something after that."""
        self._enough.set()
        await self._sending
        await eventually(self.harness.finished, PATIENCE)

    # The frame.

    async def __aenter__(self) -> "Scenario":
        await self._open.enter_async_context(self.harness)
        self._ends = await self.harness.ends(RESPONSES)
        self._sending = asyncio.create_task(asyncio.to_thread(self._send))
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self._classifier()
        finally:
            self._enough.set()
            self._watching.cancel()
            await asyncio.wait([self._sending, self._watching])
            await self._open.aclose()

    def _send(self) -> None:
        # Idempotent: what the client sends again while the broker is away stays in order and is there once. A leader
        # that it has overlooked it finds when it asks for metadata again, in five minutes by default.
        settings = {"enable.idempotence": True, "topic.metadata.refresh.interval.ms": 5_000}
        self.harness.produce(self._load(), self._rate, **settings)

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
                committed = await self.harness.offsets("classify")
                self._committed = sum(committed.values())
                fault = self._pending
                if fault is not None and all(committed.get(p, 0) >= end for p, end in fault.ends.items()):
                    self._recoveries.append(time.monotonic() - fault.at)
                    self._pending = None
                self._ends = await self.harness.ends(RESPONSES)
            await asyncio.sleep(_LOOK)

    async def _expect_crashes(self, expected: oracle.Expected) -> None:
        """Records with poison are bad anyway; here it is the fold that fails at them."""
        records = await self.harness.read(RESPONSES)
        places = {(record.partition, record.offset) for record in records if POISON in (record.value or b"")}
        for of in expected.dead.values():
            of -= places
        expected.dead["internal_error"] |= places

    async def _classifier(self) -> None:
        await self.quiet()
        await eventually(self.recovered)
        assert self._injected, "without a fault it proves nothing"
        expected = await self.harness.expected()
        if self.poisoned:
            await self._expect_crashes(expected)
        differences = await self.harness.differences(expected)
        written = expected.read - sum(expected.copies.values())
        lost, repeated = (sum(any(word in text for word in of) for text in differences) for of in (_LOST, _REPEATED))
        REPORTS.append(
            f"{self._fault:<60} {self._injected:3} times  {written:6,} records  "
            f"recovery {max(self._recoveries):5.1f} s  lost {lost}  repeated {repeated}"
        )
        print(REPORTS[-1])
        assert not differences, "\n".join(differences[:_SHOWN])
        assert written == self.offered or not self.keeps_all, "what was acknowledged to the client is there"
