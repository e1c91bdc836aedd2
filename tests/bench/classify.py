"""`classify`: one worker of that stage on one core, 400,000 responses waiting, beside the limit on the same ones.

Limit and worker take turns, so that a machine that gets slower or faster in between favours neither.
"""

from statistics import mean
from typing import Any

from npsflow.streams.engine.installation import Installation
from tests.bench import data
from tests.bench.common import FIXED, BenchHarness, NotMeasured, bench_harness, measured, report, say
from tests.bench.limit import COUNT, limit, per_million

WITHOUT_FOLLOW_UPS = "[follow_ups]\nenabled = false\n"
ONE_DIMENSION = '[segments]\ndimensions = ["survey_id"]\n'

_TURNS = 2
_VARIANTS = {
    "classify": ("", "seven dimensions, alerts and follow-ups"),
    "classify_without_follow_ups": (WITHOUT_FOLLOW_UPS, "seven dimensions, alerts"),
    "classify_one_dimension": (ONE_DIMENSION, "one dimension, alerts and follow-ups"),
}


def run(at: Installation) -> None:
    for name, (toml, job) in _VARIANTS.items():
        limits, runs = [], []
        for turn in range(_TURNS):
            with bench_harness(at, FIXED + toml) as here:
                say(f"{name}: turn {turn + 1} of {_TURNS}, {here.fill(data.waiting(COUNT)):,} responses wait")
                limits.append(limit(here, COUNT))
                runs.append(drained(here, "classify", COUNT))
        report(
            name,
            value=mean(COUNT / found["seconds"] for found in runs),
            unit="responses/s",
            limit=mean(COUNT / found["seconds"] for found in limits),
            job=job,
            runs=[round(COUNT / found["seconds"]) for found in runs],
            cpu_s_per_million=mean(per_million(found, COUNT) for found in runs),
            limit_cpu_s_per_million=mean(per_million(found, COUNT) for found in limits),
            starved_s=mean(found["starved_seconds"] for found in runs),
            waited_s=mean(found["waited_seconds"] for found in runs),
            commit_ms=mean(found["commit_ms"] for found in runs),
            peak_mb=max(found["peak_mb"] for found in runs),
        )


def drained(here: BenchHarness, stages: str, count: int, *, one_core: bool = True) -> dict[str, Any]:
    """What a worker of these stages took for all that waits. Raises NotMeasured unless it has counted `count`."""
    pinned = ("--one-core",) if one_core else ()
    found = measured("worker", "drain", stages, *pinned, environment=here.environment)
    if "classify" in stages and found["counted"] != count:
        raise NotMeasured(f"{found['counted']} of {count} responses were counted, {found['read']} read")
    if found["dropped"]:
        say(f"{stages}: {found['dropped']} tasks were dropped and restored on the way, which took time")
    return found
