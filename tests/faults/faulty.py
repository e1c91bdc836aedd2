"""`npsflow` with a fault built in: `python -m tests.faults.faulty worker ...`, NPSFLOW_TEST_FAULT says which.

kill STEP STAGE N      SIGKILL when a task of the stage is at the step of a commit for the N-th time: see steps.py
stop STEP STAGE N      SIGSTOP there: whoever started it sends SIGCONT
slow-restore SECONDS   reading a changelog of classify takes so much longer for each of its records
clock SECONDS          the clock is so far ahead; SIGHUP sets it an hour on, SIGWINCH an hour back
poison                 a record with POISON in its value crashes the fold
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

FAULT = "NPSFLOW_TEST_FAULT"
POISON = b"unforeseen"
RESTORING, BROKEN_OFF = "a changelog is read", "reading a changelog is broken off"
JUMPED = "the clock jumped"

log = logging.getLogger(__name__)


def slow_restore(seconds: str) -> None:
    from npsflow.streams.engine import changelog

    read = changelog._read

    async def slowly(consumer: Any, tp: Any, end: int) -> AsyncIterator[Any]:
        slow = "-classify-" in tp.topic
        if slow:
            log.info(RESTORING)
        try:
            async for record in read(consumer, tp, end):
                await asyncio.sleep(float(seconds) * slow)
                yield record
        except asyncio.CancelledError:
            if slow:
                log.info(BROKEN_OFF)
            raise

    setattr(changelog, "_read", slowly)  # noqa: B010, mypy: it is a generator there


def clock(ahead: str) -> None:
    """Before anything else is imported: some may keep the function they find."""
    offset = float(ahead)
    real, real_ns = time.time, time.time_ns

    def jump(by: float, *_: object) -> None:
        nonlocal offset
        offset += by
        log.warning(JUMPED)

    time.time = lambda: real() + offset
    time.time_ns = lambda: real_ns() + int(offset * 1e9)
    signal.signal(signal.SIGHUP, partial(jump, 3600.0))
    signal.signal(signal.SIGWINCH, partial(jump, -3600.0))


def poison() -> None:
    from npsflow.streams.classify.classifier import Change, Classifier
    from npsflow.streams.stage import Record

    read = Classifier.read

    def crashing(judge: Classifier, record: Record) -> Change:
        if POISON in (record.value or b""):
            raise KeyError("what nobody thought of")
        return read(judge, record)

    setattr(Classifier, "read", crashing)  # noqa: B010


def at_a_step(how: signal.Signals, *where: str) -> None:
    from tests.faults.steps import Countdown, build_in

    build_in(Countdown(how, *where))


FAULTS: dict[str, Callable[..., None]] = {
    "kill": partial(at_a_step, signal.SIGKILL),
    "stop": partial(at_a_step, signal.SIGSTOP),
    "slow-restore": slow_restore,
    "clock": clock,
    "poison": poison,
}


def run() -> None:
    name, *arguments = os.environ[FAULT].split()
    FAULTS[name](*arguments)
    from npsflow.agents.cli import main

    main()


if __name__ == "__main__":
    run()
