"""Stops a partition whose producer has gone wrong, before its whole stream becomes dead letters."""

from collections import deque

_OUT_OF = 1000


class Breaker:
    """Trips when more than half of a thousand records in a row were refused; a person lets it go on."""

    def __init__(self) -> None:
        self.tripped = False
        self._recent: deque[bool] = deque()
        self._dead = 0

    def saw(self, dead: bool) -> None:
        """Take note of one record, in their order: whether it was refused."""
        self._recent.append(dead)
        self._dead += dead
        if len(self._recent) > _OUT_OF:
            self._dead -= self._recent.popleft()
        if len(self._recent) == _OUT_OF and self._dead * 2 > _OUT_OF:
            self.tripped = True

    def reset(self) -> None:
        """Go on; the next thousand are judged anew."""
        self.tripped = False
        self._recent.clear()
        self._dead = 0
