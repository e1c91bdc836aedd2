"""When a failed message is sent again: the schedule that Standard Webhooks advises, for about three days."""

_DELAYS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)  # seconds after each failed attempt

MAX_ATTEMPTS = len(_DELAYS) + 1
"""A message is given up after so many failed attempts."""


def delay(attempts: int, jitter: float, at_least: float = 0.0) -> float:
    """Seconds until the next attempt after `attempts` failed ones, `at_least` as long as asked for.

    `jitter` from 0 to 1 spreads messages that failed together over 0.8 to 1.2 times the schedule.
    """
    scheduled = _DELAYS[min(attempts, len(_DELAYS)) - 1]
    return max(scheduled * (0.8 + 0.4 * jitter), at_least)
