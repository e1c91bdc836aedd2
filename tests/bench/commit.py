"""`commit`: the share of a core that a worker of 16 tasks takes, idle, and with a response a second for each task."""

import time
from itertools import count
from typing import Any

from npsflow.streams.settings import Where
from tests.bench import data
from tests.bench.common import Installation, Process, installation, report, say

_TASKS = 16
_SETTLE, _SECONDS = 4, 15


def run(at: Where) -> None:
    with (
        installation(at, f"[topics]\npartitions = {_TASKS}\n") as here,
        Process("worker", "serve", "classify", environment=here.environment) as worker,
    ):
        worker.answer()
        say(f"commit: {_TASKS} tasks idle for {_SETTLE + _SECONDS} s, then busy for as long")
        time.sleep(_SETTLE)  # the first tick of each task
        idle = _share(worker, _wait)
        busy = _share(worker, lambda: _trickle(here))
    report("commit", idle, "% of a core", tasks=_TASKS, idle=..., busy_percent=busy)
