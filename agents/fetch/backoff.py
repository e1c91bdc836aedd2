"""When a failed fetch is tried again: soon at first, then every two hours, for about a day."""

MAX_ATTEMPTS = 20
"""After so many failed attempts an event becomes a dead letter."""

_FIRST, _LONGEST = 15.0, 7200.0  # seconds


def delay(attempts: int, jitter: float, at_least: float = 0.0) -> float:
    """Seconds until the next attempt after `attempts` failed ones, and no fewer than `at_least`.

    `jitter` from 0 to 1 spreads fetches that failed together over 0.8 to 1.2 times the schedule.
    """
    scheduled = min(_FIRST * 2.0 ** min(attempts - 1, 30), _LONGEST)
    return max(scheduled * (0.8 + 0.4 * jitter), at_least)
