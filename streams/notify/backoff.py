"""When a failed message is sent again, and when an address that takes nothing is tried again."""

_DELAYS = (5, 15, 30, 60, 120, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds after each failed attempt: soon at first, as most outages are short, then as Standard Webhooks advises."""
_LONGEST_HOLD = 300  # seconds: whoever mends an address waits no longer for its messages

MAX_ATTEMPTS = len(_DELAYS) + 1
"""A message is given up after so many failed attempts, in about three days."""


def delay(attempts: int, jitter: float, at_least: float = 0.0) -> float:
    """Seconds until the next attempt after `attempts` failed ones, `at_least` as long as asked for.

    `jitter` from 0 to 1 spreads messages that failed together over 0.8 to 1.2 times the schedule.
    """
    scheduled = _DELAYS[min(attempts, len(_DELAYS)) - 1]
    return max(scheduled * (0.8 + 0.4 * jitter), at_least)


def hold_delay(failures: int, jitter: float, at_least: float = 0.0) -> float:
    """Seconds until an address is tried again, with one message, after it took none `failures` times."""
    return max(min(delay(failures, jitter), _LONGEST_HOLD), at_least)
