"""Counts as a window: with their score, its interval, and what else readers see."""

from collections.abc import Mapping

from npsflow.schemas.times import rfc3339_seconds
from npsflow.schemas.window import Window
from npsflow.streams.scoring import statistics
from npsflow.streams.scoring.scores import Scale


def scored(
    scale: Scale, segment: dict[str, str], name: str, start: int, end: int, counts: Mapping[int, int], sufficient: int
) -> Window:
    """The window of this name from `start` to `end`, ms; `counts` maps a score to its count and is not empty."""
    n = sum(counts.values())
    score = statistics.score(scale, counts)
    worst, middle, best = scale.count(counts) if scale.formula == "net" else (None, None, None)
    return Window(
        metric=scale.metric,
        scale=scale.name,
        segment=segment,
        window=name,
        start=rfc3339_seconds(start),
        end=rfc3339_seconds(end),
        n=n,
        histogram={str(answer): counts[answer] for answer in sorted(counts)},
        score=round(score.point, 4),
        low=round(score.low, 4),
        high=round(score.high, 4),
        margin=round((score.high - score.low) / 2, 4),
        sufficient=n >= sufficient,
        promoters=best,
        passives=middle,
        detractors=worst,
        unit=statistics.UNITS[scale.formula],
    )
