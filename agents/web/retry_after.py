"""The header `Retry-After` (RFC 9110, 10.2.3)."""

from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST = 86_400.0
"""Seconds: whoever names a longer time is asked again after this one."""


def retry_after(header: str, now: float) -> float:
    """Seconds to wait, from a number of seconds or a date, at most LONGEST; 0 if the header has neither.

    `now` in seconds since 1970.
    """
    if header.isascii() and header.isdigit():
        return min(float(header), LONGEST)
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now), LONGEST)
