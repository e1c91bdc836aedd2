"""Metrics, their scales, and the category of each score.

Sources: Reichheld, "The One Number You Need to Grow" (NPS 0-6, 7-8, 9-10); CSAT top-two-box on 1-5;
Customer Effort Score 2.0 on 1-7, where 7 is easy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from npsflow.schemas.response import Metric

Formula = Literal["net", "share", "mean"]
"""How a score is made of counts: 100 (best - worst) / n, 100 best / n, or the mean."""

WORST, MIDDLE, BEST = 0, 1, 2

_WORDS: dict[Metric, tuple[str, str, str]] = {
    "nps": ("detractor", "passive", "promoter"),
    "enps": ("detractor", "passive", "promoter"),
    "csat": ("dissatisfied", "neutral", "satisfied"),
    "csat_overall": ("dissatisfied", "neutral", "satisfied"),
    "ces": ("hard", "neutral", "easy"),
}
_FORMULAS: dict[Metric, Formula] = {
    "nps": "net",
    "enps": "net",
    "csat": "share",
    "csat_overall": "share",
    "ces": "mean",
}


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """A metric with one range of answers. `ranks[score - low]` is WORST, MIDDLE or BEST.

    Compared by identity: there is one of each, and it is a key of caches.
    """

    metric: Metric
    low: int
    high: int
    ranks: tuple[int, ...]

    @property
    def name(self) -> str:
        """The range, as `0-10`."""
        return f"{self.low}-{self.high}"

    @property
    def formula(self) -> Formula:
        """How a score of this metric is made."""
        return _FORMULAS[self.metric]

    @property
    def words(self) -> tuple[str, str, str]:
        """Names of the categories, worst first."""
        return _WORDS[self.metric]

    def count(self, histogram: Mapping[int, int]) -> list[int]:
        """Answers by category, worst first."""
        ranks = [0, 0, 0]
        for answer, count in histogram.items():
            ranks[self.ranks[answer - self.low]] += count
        return ranks

    @property
    def worst_score(self) -> int:
        """The answer of the unhappiest customer."""
        return self.low if self.ranks[0] == WORST else self.high


def scale_of(metric: Metric, low: int, high: int, worst: Iterable[int], middle: Iterable[int]) -> Scale:
    """A scale from the scores that are worst and middle; all others are best."""
    bad, mid = frozenset(worst), frozenset(middle)
    ranks = tuple(WORST if s in bad else MIDDLE if s in mid else BEST for s in range(low, high + 1))
    return Scale(metric, low, high, ranks)


DEFAULT_SCALES: Mapping[Metric, Scale] = {
    "nps": scale_of("nps", 0, 10, range(0, 7), (7, 8)),
    "enps": scale_of("enps", 0, 10, range(0, 7), (7, 8)),
    "csat": scale_of("csat", 1, 5, (1, 2), (3,)),
    "csat_overall": scale_of("csat_overall", 1, 5, (1, 2), (3,)),
    "ces": scale_of("ces", 1, 7, (1, 2, 3), (4,)),
}


class Scales:
    """The scales in use: one default for each metric, and those that settings add."""

    def __init__(self, extra: Iterable[Scale] = (), *, ces_seven_is_hard: bool = False) -> None:
        """`ces_seven_is_hard` turns the Customer Effort Score: some platforms ask "how much effort"."""
        self.defaults: dict[str, Scale] = {scale.metric: scale for scale in DEFAULT_SCALES.values()}
        if ces_seven_is_hard:
            self.defaults["ces"] = scale_of("ces", 1, 7, (5, 6, 7), (4,))
        self._all: dict[tuple[str, int, int], Scale] = {
            (s.metric, s.low, s.high): s for s in (*self.defaults.values(), *extra)
        }

    @property
    def turned(self) -> frozenset[Metric]:
        """The metrics of which a high score is the worst."""
        return frozenset(scale.metric for scale in self._all.values() if scale.worst_score == scale.high)

    def named(self, metric: str, name: str) -> Scale | None:
        """The same by the name of the range, `0-10`."""
        low, _, high = name.partition("-")
        return self.find(metric, int(low), int(high))

    def find(self, metric: str, low: int, high: int) -> Scale | None:
        """The scale of a metric with this range, or None where no setting gives its thresholds."""
        return self._all.get((metric, low, high))
