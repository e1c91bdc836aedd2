"""`rollup`: how many responses a second of classify one core of roll up can follow; and a month through both stages."""

from npsflow.streams.engine.installation import Installation
from tests.bench import data
from tests.bench.classify import drained
from tests.bench.common import bench_harness, report, say, scaled
from tests.bench.limit import COUNT

_LIMIT = 150_000
_MONTH = scaled(500_000)


def run(at: Installation) -> None:
    with bench_harness(at) as here:
        say(f"rollup: {here.fill(data.waiting(COUNT)):,} responses are classified, then rolled up")
        drained(here, "classify", COUNT)
        found = drained(here, "rollup", COUNT)
    cpu = found["cpu_seconds"]
    report("rollup", COUNT / cpu, "responses/s", _LIMIT, deltas=found["records"], cpu_s=cpu, peak_mb=found["peak_mb"])
    with bench_harness(at) as here:
        say(f"rollup: a month of {_MONTH:,} responses in random order, both stages in one worker")
        here.fill(map(data.encode, data.responses(data.month(_MONTH))))
        found = drained(here, "classify,rollup", _MONTH, one_core=False)
    report(
        "month",
        found["seconds"],
        "s",
        responses=_MONTH,
        cpu_s=found["cpu_seconds"],
        starved_s=found["starved_seconds"],
        waited_s=found["waited_seconds"],
        peak_mb=found["peak_mb"],
    )
