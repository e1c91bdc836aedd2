"""`restore`: from the start of a worker to ready, with 1,000,000 responses remembered in its one partition."""

from time import monotonic

from npsflow.streams.engine.installation import Installation
from tests.bench import data
from tests.bench.classify import drained
from tests.bench.common import FIXED, Process, bench_harness, report, say, scaled

_COUNT = scaled(1_000_000)
_LIMIT = 20
_ONE_PARTITION = "[topics]\npartitions = 1\n"


def run(at: Installation) -> None:
    with bench_harness(at, FIXED + _ONE_PARTITION) as here:
        say(f"restore: {_COUNT:,} responses are made")
        here.fill(map(data.encode, data.responses(data.steady(_COUNT))))
        say("restore: they are classified, then the worker starts again")
        drained(here, "classify", _COUNT, one_core=False)
        began = monotonic()
        with Process("worker", "serve", "classify", environment=here.environment) as worker:
            ready, seconds = worker.answer(), monotonic() - began
    report("restore", seconds, "s", _LIMIT, cpu_s=ready["cpu_seconds"], peak_mb=ready["peak_mb"])
