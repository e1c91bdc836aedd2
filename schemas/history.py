"""Counts of one hour or day of one segment, as published to `nps-history`. Never a score: readers add, then divide."""

from typing import Literal

from msgspec import Struct

from npsflow.schemas.codec import dumps
from npsflow.schemas.events import Instant

Resolution = Literal["1h", "1d"]


class Counts(Struct, frozen=True, omit_defaults=True):
    """The responses submitted in [start, end), an hour (`1h`) or a day (`1d`) in UTC.

    `histogram` maps a score to its count; `promoters`, `passives` and `detractors` are of NPS and eNPS.
    """

    metric: str
    scale: str
    segment: dict[str, str]
    resolution: Resolution
    start: Instant
    end: Instant
    n: int
    histogram: dict[str, int]
    promoters: int | None = None
    passives: int | None = None
    detractors: int | None = None


def history_key(metric: str, scale: str, segment: dict[str, str], resolution: Resolution, start: str) -> bytes:
    """JSON [metric, scale, segment, resolution, start]."""
    return dumps([metric, scale, segment, resolution, start])
