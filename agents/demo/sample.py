"""A deterministic month of survey responses in which every difficulty of the input is planted and named.

In: a seed, a number of lines and the time at which the month ends. Out: lines in the order in which to produce them.
What the stream processor makes of them does not depend on how partitions are interleaved: all versions of a response
have the right key, a response with a wrong key has one version, and nothing is near the border of being too late.
"""

from collections.abc import Iterator
from datetime import datetime
from random import Random

from npsflow.agents.demo.lines import Line, line_to_json
from npsflow.agents.demo.month import DROP, MONTH, Month
from npsflow.agents.demo.vocabulary import DROPPED_DEPARTMENT, STRONG_DEPARTMENT, WEAK_DEPARTMENT

__all__ = [
    "DROP",
    "DROPPED_DEPARTMENT",
    "MONTH",
    "STRONG_DEPARTMENT",
    "WEAK_DEPARTMENT",
    "Line",
    "line_to_json",
    "sample",
]


def sample(seed: int, count: int, end: datetime, *, partitions: int = 4, live: bool = False) -> Iterator[Line]:
    """Give `count` lines over the month that ends at `end`; the same arguments give the same lines.

    `partitions` is that of the topic: late lines begin when each of them has surely seen some time pass.
    `live` says that the lines are produced at about `end`. Only then some have a `submitted_at` in the future,
    since that becomes the append time, which must not be far from the time of the other lines.
    """
    month = Month(Random(seed), count, end, live)  # noqa: S311 (a sample that anybody can make again)
    for number in range(count):
        yield month.next(number, settled=number >= 64 * partitions)
