"""When a message that was not delivered is sent again: as Standard Webhooks advise, for about three days."""

_PAUSES = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)  # 5 s to a day, after each try in vain

TRIES = len(_PAUSES) + 1
"""After so many in vain it is given up."""


def pause(attempts: int, jitter: float, at_least: float = 0.0) -> float:
    """Seconds until the next try, `attempts` having failed. `jitter` from 0 to 1: not all come back at once."""
    wait = _PAUSES[min(attempts, len(_PAUSES)) - 1]
    return max(wait * (0.8 + 0.4 * jitter), at_least)
