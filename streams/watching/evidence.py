"""Evidence that the mean of answers has fallen below a level: a Shiryaev-Roberts e-detector on bets.

Source: Shin, Ramdas, Rinaldo, "E-detectors" (New England Journal of Statistics in Data Science); the bets are those of
Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting".

Answers are numbers x in [-1, 1], `level` is one too. An hour's answers are worth e = product of 1 + bet (level - x),
and evidence grows as M = (1 + M) e. While the mean is at or above the level, an e is 1 at most in expectation, whatever
the distribution: M less the number of hours with answers is a supermartingale. So who alarms at M >= A and begins again
at 0 has at most (hours with answers) / A false alarms in expectation, over as many segments as there are.
"""

from collections.abc import Callable, Mapping, Sequence
from math import exp, log, log1p

BETS = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Small ones find small drops with many answers, great ones the reverse. Each is below 1/2: no factor is negative."""

_MOST = 700.0  # as a logarithm: what a float holds


def worth(counts: Mapping[int, int], x_of: Callable[[int], float], level: float) -> list[float]:
    """Logarithms of what these answers (score to count) are worth under each bet. In the order of their scores."""
    gaps = [(level - x_of(score), counts[score]) for score in sorted(counts)]
    return [sum(count * log1p(bet * gap) for gap, count in gaps) for bet in BETS]


def grown(evidence: Sequence[float], worths: Sequence[float]) -> list[float]:
    """Evidence under each bet after an hour with answers."""
    return [min((1 + m) * exp(max(-_MOST, min(_MOST, w))), 1e300) for m, w in zip(evidence, worths, strict=True)]


def total(evidence: Sequence[float]) -> float:
    """The evidence: the mean over all bets, which are weighted alike."""
    return sum(evidence) / len(evidence)


def changed(cusum: float, worths: Sequence[float]) -> float:
    """Page's CUSUM after these answers: the logarithm of what all since the likeliest hour of a change are worth.

    At 0 there is no sign of a change yet: it came later.
    """
    return max(0.0, cusum + log(max(total([exp(max(-_MOST, min(_MOST, w))) for w in worths]), 1e-300)))


def threshold(segments: int, rules: int, false_alarms_per_month: float) -> float:
    """The evidence from which a rule alarms that watches so many segments, where `rules` share what is allowed.

    A segment has at most 720 hours with answers in a month of 30 days.
    """
    return 720 * segments * rules / false_alarms_per_month
