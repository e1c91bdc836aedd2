"""Score and 95% interval of each metric, from textbook formulas alone."""

from collections.abc import Mapping
from functools import cache
from math import atan, cos, pi, sin, sqrt
from statistics import NormalDist

Z = 1.959964


def nps(detractors: int, passives: int, promoters: int) -> tuple[float, float, float]:
    """NPS with the adjusted Wald interval: 0.75, 1.5 and 0.75 are added to the counts."""
    n = detractors + passives + promoters
    d, p = (detractors + 0.75) / (n + 3), (promoters + 0.75) / (n + 3)
    half = Z * sqrt((p + d - (p - d) ** 2) / (n + 3))
    low, high = max(-100.0, 100 * (p - d - half)), min(100.0, 100 * (p - d + half))
    return _holding(100 * (promoters - detractors) / n, low, high)


def csat(satisfied: int, n: int) -> tuple[float, float, float]:
    """Share of the satisfied in percent, with the Wilson interval."""
    share = satisfied / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return _holding(100 * share, 100 * max(0.0, centre - half), 100 * min(1.0, centre + half))


def ces(histogram: Mapping[int, int]) -> tuple[float, float, float]:
    """Mean with its t interval, within the scale."""
    n = sum(histogram.values())
    mean = sum(score * count for score, count in histogram.items()) / n
    if n == 1:
        return mean, 1.0, 7.0
    variance = sum(count * (score - mean) ** 2 for score, count in histogram.items()) / (n - 1)
    half = t_quantile(n - 1) * sqrt(variance / n)
    return _holding(mean, max(1.0, mean - half), min(7.0, mean + half))


def _holding(point: float, low: float, high: float) -> tuple[float, float, float]:
    """An interval holds its score."""
    return point, low if low < point else point, high if high > point else point


@cache
def t_quantile(df: int) -> float:
    """The 0.975 quantile of Student's t.

    Up to 200 degrees of freedom by halving the interval on the finite series of Abramowitz and Stegun 26.7.3 and
    26.7.4, above that by the expansion 26.7.5, whose error is then below 1e-9.
    """
    if df > 200:
        x = NormalDist().inv_cdf(0.975)
        first = (x**3 + x) / 4
        second = (5 * x**5 + 16 * x**3 + 3 * x) / 96
        third = (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384
        return x + first / df + second / df**2 + third / df**3
    low, high = 0.0, 13.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_inside(middle, df) < 0.95 else (low, middle)
    return low


def _t_inside(t: float, df: int) -> float:
    """The probability that Student's t lies between -t and t."""
    angle = atan(t / sqrt(df))
    odd = df % 2
    term = cos(angle) if odd else 1.0
    total = 0.0 if df == 1 else term
    for k in range(2 + odd, df - 1, 2):
        term *= cos(angle) ** 2 * (k - 1) / k
        total += term
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
