"""What a soak offers, expects and measures.

Nine million responses are too many for the oracle, which keeps everything in memory. So the load is simple enough that
what must come out follows from the number of a response alone: its time, its score, and with that one event for each
(an alert for a detractor, a follow-up for others) and the counts of every window.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.demo.sample import Line

SETTINGS = """
idle_ticks = false
horizon_days = 1
[windows]
lengths = ["1h", "24h"]
[segments]
dimensions = ["channel"]
"""
HORIZONS = 10
LENGTHS = {"1h": (timedelta(hours=1), timedelta(minutes=5)), "24h": (timedelta(days=1), timedelta(hours=1))}
"""Of each window, and the panes it moves by."""

CHANNELS = ("email", "phone", "chat", "store", "app", "web", "post")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_AGAIN = 50
"""Every so many responses one is sent a second time, which must change nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """`count` responses, evenly over ten horizons."""

    count: int

    def lines(self) -> Iterator[Line]:
        for number in range(self.count):
            yield self.line(number)
            if number % _AGAIN == 0:
                yield self.line(number)

    def line(self, number: int) -> Line:
        key, at = f"soak/{number}", self.time(number).isoformat(timespec="milliseconds")
        value = (
            f'{{"source":"soak","response_id":"{number}","survey_id":"s","metric":"nps","score":{score(number)},'
            f'"submitted_at":"{at}","channel":"{channel(number)}","customer":{{"id":"c{number % 9973}"}},'
            f'"comment":"Number {number} had this to say, and took its time to say it in a whole sentence."}}'
        )
        return Line(key.encode(), value.encode(), "response")

    def time(self, number: int) -> datetime:
        return EPOCH + timedelta(days=HORIZONS) * (number / self.count)

    def outcomes(self) -> Counter[str]:
        return Counter(counted=self.count, repeated=-(-self.count // _AGAIN))

    def windows(self) -> dict[tuple[str, str], Counter[int]]:
        """By channel (empty for all) and window, how often each score was given."""
        last, found = self.time(self.count - 1), dict[tuple[str, str], Counter[int]]()
        for name, (length, pane) in LENGTHS.items():
            end = EPOCH + ((last - EPOCH) // pane + 1) * pane
            for number in range(self.count - 1, -1, -1):
                if self.time(number) < end - length:
                    break
                for segment in ("", channel(number)):
                    found.setdefault((segment, name), Counter())[score(number)] += 1
        return found


def score(number: int) -> int:
    return number * 7919 % 11


def channel(number: int) -> str:
    return CHANNELS[number % len(CHANNELS)]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a worker takes at one moment, and what its changelogs take on the broker's disk."""

    at: float
    memory: float
    """MB resident."""
    files: float
    threads: float
    lag: float
    """Records of the input whose effects are not committed."""
    changelog: float
    """MB of the segments of all changelogs."""


def sample(at: float, pid: int, lag: int, broker: Broker, prefix: str) -> Sample:
    """Measure now. Raises OSError where the worker has ended."""
    process = Path(f"/proc/{pid}")
    pages = int((process / "statm").read_text().split()[1])
    folders = (broker.data / "kafka").glob(f"{prefix}npsflow-*")
    segments = [segment for folder in folders for segment in folder.glob("*.log")]
    return Sample(
        at,
        pages * os.sysconf("SC_PAGESIZE") / 2**20,
        len(list((process / "fd").iterdir())),
        len(list((process / "task").iterdir())),
        lag,
        sum(_size(segment) for segment in segments) / 2**20,
    )


def _size(segment: Path) -> int:
    try:
        return segment.stat().st_size
    except FileNotFoundError:  # compacted or purged meanwhile
        return 0


@dataclass(frozen=True, slots=True)
class Trend:
    """Of one measure: its mean, and how much it changes in an hour (least squares)."""

    name: str
    mean: float
    slope: float

    def __str__(self) -> str:
        return f"{self.name} {self.mean:.1f} {self.slope:+.1f}/h"


def trends(samples: list[Sample]) -> list[Trend]:
    hours = [sample.at / 3600 for sample in samples]
    middle = sum(hours) / len(hours)
    spread = sum((hour - middle) ** 2 for hour in hours)
    found = []
    for name in ("memory", "files", "threads", "lag", "changelog"):
        values = [float(getattr(sample, name)) for sample in samples]
        mean = sum(values) / len(values)
        products = ((hour - middle) * (value - mean) for hour, value in zip(hours, values, strict=True))
        found.append(Trend(name, mean, sum(products) / spread))
    return found


def number_of(value: bytes | None) -> int:
    """Which response an event on an output topic is about."""
    return int(json.loads(value or b"")["response_id"])
