"""Scores as levels: numbers from -1 to 1, the worst and the best that can be; a score is the mean of its answers."""

from collections.abc import Callable

from npsflow.streams.scoring.scores import BEST, Scale


def answer_level(scale: Scale) -> Callable[[int], float]:
    """What an answer is: of NPS -1, 0 or 1, of a share -1 or 1, of a mean where it lies on its scale."""
    if scale.formula == "mean":
        return lambda answer: to_level(scale, answer)
    if scale.formula == "share":
        return lambda answer: 1.0 if scale.ranks[answer - scale.low] == BEST else -1.0
    return lambda answer: scale.ranks[answer - scale.low] - 1.0


def to_level(scale: Scale, score: float) -> float:
    """The level of a score, 42.5 of NPS or 5.2 of CES."""
    low, high = limits(scale)
    level = 2 * (score - low) / (high - low) - 1
    return -level if scale.worst_score == scale.high else level


def to_score(scale: Scale, level: float) -> float:
    """The score of a level."""
    low, high = limits(scale)
    level = -level if scale.worst_score == scale.high else level
    return low + (level + 1) / 2 * (high - low)


def limits(scale: Scale) -> tuple[float, float]:
    """The least and the greatest score."""
    if scale.formula == "mean":
        return scale.low, scale.high
    return (-100.0, 100.0) if scale.formula == "net" else (0.0, 100.0)
