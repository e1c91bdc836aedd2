"""`npsflow` with a fault built in: `python -m tests.faults.faulty worker ...`, NPSFLOW_TEST_FAULT says which.

kill STEP STAGE N      SIGKILL when a task of the stage is at the step of a commit for the N-th time: see steps.py
stop STEP STAGE N      SIGSTOP there: whoever started it sends SIGCONT
slow-restore SECONDS   reading a changelog of classify takes so much longer for each of its records
clock SECONDS          the clock is so far ahead; SIGHUP sets it an hour on, SIGWINCH an hour back
poison                 a record with POISON in its value crashes the fold

A fault watches the engine as an observer, or is built into the folds of a stage as topology makes it.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the clock has to be replaced before anything is imported
    from npsflow.streams.engine.observer import Observer
    from npsflow.streams.stage import Fold, Record

FAULT = "NPSFLOW_TEST_FAULT"
POISON = b"unforeseen"
RESTORING, BROKEN_OFF = "a changelog is read", "reading a changelog is broken off"
JUMPED = "the clock jumped"

log = logging.getLogger(__name__)


def slow_restore(seconds: str) -> None:
    from npsflow.streams.engine.observer import Observer, Restoring, Step

    class Slow(Observer):
        async def hold(self, step: Step) -> None:
            if not isinstance(step, Restoring) or step.task.stage != "classify":
                return
            if not step.records:
                log.info(RESTORING)
            try:
                await asyncio.sleep(float(seconds) * step.records)
            except asyncio.CancelledError:
                log.info(BROKEN_OFF)
                raise

    watch(Slow())


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
    def build_in(fold: "Fold") -> None:
        read = fold.read

        def crashing(record: "Record") -> Any:
            if POISON in (record.value or b""):
                raise KeyError("what nobody thought of")
            return read(record)

        vars(fold)["read"] = crashing

    change_folds("classify", build_in)


def at_a_step(how: signal.Signals, *where: str) -> None:
    from tests.faults.steps import Countdown

    countdown = Countdown(how, *where)

    def build_in(fold: "Fold") -> None:
        apply = fold.apply

        def counted(change: Any) -> int:
            asks = apply(change)
            countdown.folded()
            return asks

        vars(fold)["apply"] = counted

    watch(countdown)
    change_folds(countdown.stage, build_in)


FAULTS: dict[str, Callable[..., None]] = {
    "kill": partial(at_a_step, signal.SIGKILL),
    "stop": partial(at_a_step, signal.SIGSTOP),
    "slow-restore": slow_restore,
    "clock": clock,
    "poison": poison,
}


def watch(observer: "Observer") -> None:
    """Let every worker of this process have this observer."""
    from npsflow.agents import worker

    vars(worker)["host"] = partial(worker.host, observers=[observer])


def change_folds(name: str, change: "Callable[[Fold], None]") -> None:
    """Let every fold of this stage be changed as it is opened."""
    from npsflow.streams.stage import Emit, Fold, Stage
    from npsflow.streams.topology import STAGES

    make, agent = STAGES[name]

    def changed(*arguments: Any) -> Stage:
        stage = make(*arguments)
        opened = stage.open

        def open_changed(partition: int, partitions: int, emit: Emit) -> Fold:
            fold = opened(partition, partitions, emit)
            change(fold)
            return fold

        vars(stage)["open"] = open_changed
        return stage

    STAGES[name] = type(STAGES[name])(changed, agent)


def run() -> None:
    name, *arguments = os.environ[FAULT].split()
    FAULTS[name](*arguments)
    from npsflow.agents.cli import main

    main()


if __name__ == "__main__":
    run()
