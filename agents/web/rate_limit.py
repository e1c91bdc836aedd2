"""A token bucket for each sender or address: for requests that come in, and for those that go out."""

from collections import OrderedDict

_MAX_BUCKETS = 10_000  # the least recently used is dropped first: it is full by then


class RateLimit:
    """`per_second` requests of each sender; its bucket holds twice as many, at least one."""

    def __init__(self, per_second: float) -> None:
        self._rate, self._size = per_second, max(1.0, 2 * per_second)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, sender: str, now: float) -> float:
        """Seconds until this sender may send; 0.0 takes a token. `now` in seconds of any steady clock."""
        tokens, since = self._buckets.pop(sender, (self._size, now))
        tokens = min(self._size, tokens + (now - since) * self._rate)
        missing = 1 - tokens
        self._buckets[sender] = (tokens if missing > 0 else tokens - 1, now)
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return max(0.0, missing / self._rate)
