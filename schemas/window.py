"""One rolling window of one segment, as published to `nps-windows`."""

from typing import Literal

from msgspec import Struct

from npsflow.schemas.codec import dumps
from npsflow.schemas.events import Instant

Unit = Literal["points", "percent", "mean"]
"""Of a score: points of NPS from -100 to 100, percent of answers, or a mean on the scale of the answers."""


class Window(Struct, frozen=True, omit_defaults=True):
    """Counts and score of the responses submitted in [start, end), times RFC 3339 in UTC.

    `histogram` maps a score to its count. `score`: NPS -100..100, CSAT 0..100, CES mean; `low` and `high` its 95%
    interval, `margin` half its width, and `unit` what these are; `sufficient` whether n is large enough to be read at
    all.
    """

    metric: str
    scale: str
    segment: dict[str, str]
    window: str
    start: Instant
    end: Instant
    n: int
    histogram: dict[str, int]
    score: float
    low: float
    high: float
    margin: float
    sufficient: bool
    promoters: int | None = None
    passives: int | None = None
    detractors: int | None = None
    unit: Unit | None = None


def window_key(metric: str, scale: str, segment: dict[str, str], window: str) -> bytes:
    """JSON [metric, scale, segment, window]."""
    return dumps([metric, scale, segment, window])
