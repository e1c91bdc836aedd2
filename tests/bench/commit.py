"""`commit`: the share of a core that a worker of 16 tasks takes, idle; and with sixteen responses a second for them."""

import time
from collections.abc import Callable
from itertools import islice

from npsflow.streams.engine.installation import Installation
from tests.bench import data
from tests.bench.common import Process, bench_harness, report, say, scaled

_TASKS = 16
_SETTLE, _SECONDS = 5, scaled(15)


def run(at: Installation) -> None:
    with (
        bench_harness(at, f"[topics]\npartitions = {_TASKS}\n") as here,
        Process("worker", "serve", "classify", environment=here.environment) as worker,
    ):
        worker.answer()
        say(f"commit: {_TASKS} tasks for {_SECONDS} s idle, then for {_SECONDS} s with little to do")
        time.sleep(_SETTLE)  # the first commit of each
        idle = _share(worker, lambda: None)
        waiting = map(data.encode, data.responses(data.steady(_SECONDS * _TASKS)))
        little = _share(worker, lambda: here.fill(islice(waiting, _TASKS)))
    report("commit", 100 * idle, "% of a core", tasks=_TASKS, trickle_percent=100 * little, trickle_per_s=_TASKS)


def _share(worker: Process, each_second: Callable[[], object]) -> float:
    """Of one core, that the worker has used while something happens once a second."""
    worker.ask("what have you used?")
    before = worker.answer()
    for second in range(_SECONDS):
        each_second()
        time.sleep(max(0.0, before["time"] + second + 1 - time.monotonic()))
    worker.ask("and now?")
    after = worker.answer()
    share: float = (after["cpu_seconds"] - before["cpu_seconds"]) / (after["time"] - before["time"])
    return share
