"""Scores of counts, with 95% intervals.

Sources: adjusted Wald for NPS (Rocks 2016, measuringu.com); Wilson (1927) for a share; Student's t for a mean, its
distribution by Abramowitz & Stegun 26.7.3-4 and 26.7.5 (expansion).
"""

from collections.abc import Mapping
from functools import lru_cache
from math import atan, cos, pi, sqrt
from typing import NamedTuple

from npsflow.schemas.window import Unit
from npsflow.streams.scoring.scores import BEST, MIDDLE, WORST, Formula, Scale

Z = 1.959963984540054
"""Two-sided 95% quantile of the normal distribution."""


UNITS: Mapping[Formula, Unit] = {"net": "points", "share": "percent", "mean": "mean"}
"""What the score of a formula is."""


class Score(NamedTuple):
    """`point` and the interval [low, high] it lies in with 95% confidence."""

    point: float
    low: float
    high: float


def score(scale: Scale, histogram: Mapping[int, int]) -> Score:
    """The score of a non-empty histogram (score -> count, all positive)."""
    if scale.formula == "mean":
        return mean(scale, histogram)
    ranks = scale.count(histogram)
    if scale.formula == "net":
        return net(ranks[BEST], ranks[MIDDLE], ranks[WORST])
    return share(ranks[BEST], sum(ranks))


def net(promoters: int, passives: int, detractors: int) -> Score:
    """Net Promoter Score, -100..100; adjusted Wald adds 0.75, 1.5 and 0.75 answers before the interval is taken."""
    n = promoters + passives + detractors
    p, d, m = (promoters + 0.75) / (n + 3), (detractors + 0.75) / (n + 3), n + 3
    error = Z * 100 * sqrt((p + d - (p - d) ** 2) / m)
    centre = 100 * (p - d)
    return _within(100 * (promoters - detractors) / n, max(-100.0, centre - error), min(100.0, centre + error))


def share(best: int, n: int) -> Score:
    """Share in percent, with Wilson's interval."""
    p, zz = best / n, Z * Z
    centre = (p + zz / (2 * n)) / (1 + zz / n)
    error = Z / (1 + zz / n) * sqrt(p * (1 - p) / n + zz / (4 * n * n))
    return _within(100 * p, 100 * max(0.0, centre - error), 100 * min(1.0, centre + error))


def mean(scale: Scale, histogram: Mapping[int, int]) -> Score:
    """Mean answer with its t interval, within the scale; of a single answer nothing is known."""
    n = sum(histogram.values())
    point = sum(answer * count for answer, count in histogram.items()) / n
    if n == 1:
        return Score(point, scale.low, scale.high)
    squares = sum(count * (answer - point) ** 2 for answer, count in histogram.items())
    error = t_quantile(n - 1) * sqrt(squares / (n - 1) / n)
    return _within(point, max(scale.low, point - error), min(scale.high, point + error))


def _within(point: float, low: float, high: float) -> Score:
    """An interval holds its point, that of a single promoter too, where adjusted Wald ends at 98.5."""
    return Score(point, min(low, point), max(high, point))


@lru_cache(4096)
def t_quantile(degrees: int) -> float:
    """Two-sided 95% quantile of Student's t."""
    if degrees > 200:
        v, z = degrees, Z
        return (
            z
            + (z**3 + z) / (4 * v)
            + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
            + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        )
    low, high = 0.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _probability(middle, degrees) < 0.95 else (low, middle)
    return (low + high) / 2


def _probability(t: float, degrees: int) -> float:
    """P(|T| < t), as a finite series."""
    angle = atan(t / sqrt(degrees))
    c = cos(angle)
    sine = sqrt(1 - c * c)
    if degrees % 2:
        term, total = c, 0.0
        for k in range(1, degrees - 1, 2):
            total += term
            term *= c * c * (k + 1) / (k + 2)
        return 2 / pi * (angle + sine * total)
    term, total = 1.0, 0.0
    for k in range(0, degrees - 1, 2):
        total += term
        term *= c * c * (k + 1) / (k + 2)
    return sine * total
