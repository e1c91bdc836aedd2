"""How often the tasks of a worker commit: the more it folds, the more a commit carries, and the fewer there are.

A commit costs the worker 3 ms and Kafka 10, whatever is in it. A worker that is hardly busy can afford many small ones,
and an alert is out at once. One that is busy cannot, and need not: there each commit carries many alerts.
"""

from math import exp

_MEMORY = 5.0  # seconds over which the time spent folding is averaged
_SPACING, _PER_SHARE, _MOST = 0.15, 1.5, 0.6  # seconds: at rest, more at a share of one, and at most


class Pace:
    """Of all stages of a worker. Times are in seconds of any clock that only goes on, and is the same for all calls."""

    def __init__(self, per_second: float) -> None:
        """`per_second`: the most commits that there may be, whichever task asks."""
        self._gap, self._next = 1 / per_second, 0.0
        self._busy, self._at = 0.0, 0.0

    def claim(self, now: float) -> float:
        """Take the next free slot for a commit; gives the seconds until it begins."""
        start = max(now, self._next)
        self._next = start + self._gap
        return start - now

    def folded(self, now: float, seconds: float) -> None:
        """Note that `seconds` up to `now` were spent folding."""
        self._busy, self._at = self._remembered(now) + seconds, now

    def spacing(self, now: float) -> float:
        """Seconds from one commit of a task to its next, as far as only urgent records wait for that."""
        return min(_MOST, _SPACING + _PER_SHARE * self._remembered(now) / _MEMORY)

    def _remembered(self, now: float) -> float:
        return self._busy * exp((self._at - now) / _MEMORY)
