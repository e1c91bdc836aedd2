"""How much one sender may send, and how long it may take over it."""

from collections import OrderedDict
from dataclasses import dataclass

MAX_BODY = 1 << 20
"""Bytes of a body, as it is sent: none is taken compressed."""

MAX_LINE = 4096
"""Bytes of the first line of a request, and of each header."""

MAX_HEADERS = 64

_MOST = 10_000  # senders remembered; the one longest unheard is forgotten first, with a bucket that is full by then


@dataclass(frozen=True)
class Limits:
    """`rate`: requests a second of one sender. `connections`: in all and of one sender; `at_once`: requests in work.

    Seconds: for the head of a request from its first byte, for its body, for the whole until its answer is taken, and
    without any request.
    """

    rate: float = 200.0
    connections: int = 1000
    connections_of_one: int = 100
    at_once: int = 256
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    whole_seconds: float = 30.0
    idle_seconds: float = 75.0  # longer than the 60 that balancers keep connections they do not use


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
