"""How many requests a second: of those who send to us, and of ours to those who set a limit."""

from collections import OrderedDict

_MOST = 10_000  # remembered; the one longest unheard is forgotten first, with a bucket that is full by then


class RateLimit:
    """`per_second` requests of each sender, and twice that at once, one at least."""

    def __init__(self, per_second: float) -> None:
        self._rate, self._size = per_second, max(1.0, 2 * per_second)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, sender: str, now: float) -> float:
        """Seconds until this sender may send; 0.0 takes a token. `now` in seconds of any steady clock."""
        tokens, since = self._buckets.pop(sender, (self._size, now))
        tokens = min(self._size, tokens + (now - since) * self._rate)
        short = 1 - tokens
        self._buckets[sender] = (tokens if short > 0 else tokens - 1, now)
        if len(self._buckets) > _MOST:
            self._buckets.popitem(last=False)
        return max(0.0, short / self._rate)
