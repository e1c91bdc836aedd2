"""When a fetch that failed is tried again: soon at first, then every two hours, for about a day."""

TRIES = 20
"""After so many in vain it becomes a dead letter."""

_FIRST = 15.0
_MOST = 7200.0


def pause(attempts: int, jitter: float, at_least: float = 0.0) -> float:
    """Seconds until the next try, `attempts` having failed. `jitter` from 0 to 1: not all come back at once."""
    wait = min(_FIRST * 2.0 ** min(attempts - 1, 30), _MOST)
    return max(wait * (0.8 + 0.4 * jitter), at_least)
