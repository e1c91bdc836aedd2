"""`faust`: npsflow beside a stock Faust program, each on one core, on Faust's job.

That is one dimension, windows and alerts, no follow-ups. Faust gets the first 40,000 of the same responses: it takes
as long for them as npsflow for all ten times over.
"""

import os
from collections.abc import Iterator

from npsflow.schemas import codec
from npsflow.schemas.topics import FOLLOW_UP, SERVICE_RECOVERY
from npsflow.streams.engine.installation import Installation
from tests.bench import data
from tests.bench.classify import ONE_DIMENSION, WITHOUT_FOLLOW_UPS, drained
from tests.bench.common import FIXED, bench_harness, measured, report, say, scaled
from tests.bench.data import Encoded
from tests.bench.limit import COUNT, per_million

_FAUST_COUNT = scaled(40_000)
_TIMES = 40
_WORKER = ("--quiet", "worker", "--loglevel", "info", "--logfile", os.devnull)  # below info it animates standard output


def run(at: Installation) -> None:
    with bench_harness(at, FIXED + WITHOUT_FOLLOW_UPS + ONE_DIMENSION) as here:
        # A topic of ours that is not used in this job, as its input; alerts go where npsflow would write them.
        say(f"faust: {here.fill(_by_survey(), FOLLOW_UP):,} responses wait for the stock program")
        names = {
            "INPUT": here.installation.topic(FOLLOW_UP),
            "ALERTS": here.installation.topic(SERVICE_RECOVERY),
            "APP_ID": here.installation.prefix + "faust",
            "COUNT": str(_FAUST_COUNT),
        }
        stock = measured("faust_program", *_WORKER, environment=here.environment | names)
    with bench_harness(at, FIXED + WITHOUT_FOLLOW_UPS + ONE_DIMENSION) as here:
        say(f"faust: {here.fill(data.waiting(COUNT)):,} responses wait for npsflow")
        ours = drained(here, "classify,rollup", COUNT)
    rate, stock_rate = COUNT / ours["seconds"], _FAUST_COUNT / stock["seconds"]
    report(
        "faust",
        rate / stock_rate,
        "times as fast",
        _TIMES,
        per_s=rate,
        faust_per_s=stock_rate,
        cpu_s_per_million=per_million(ours, COUNT),
        faust_cpu_s_per_million=per_million(stock, _FAUST_COUNT),
        starved_s=ours["starved_seconds"],
        waited_s=ours["waited_seconds"],
    )


def _by_survey() -> Iterator[Encoded]:
    """Keyed by survey, as a table of Faust needs its input to be."""
    for _, value in data.waiting(COUNT)[:_FAUST_COUNT]:
        yield codec.loads(value)["survey_id"].encode(), value
