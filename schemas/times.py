"""Instants are integers here: milliseconds since 1970-01-01T00:00Z. Text is RFC 3339."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WITHOUT_ZONE = _EPOCH.replace(tzinfo=None)  # text of what has no zone is made in half the time
_MILLISECOND = timedelta(milliseconds=1)
_FIRST, _LAST = -62_135_596_800_000, 253_370_764_800_000  # the years 1 and 9999: something can be due a week later


def to_ms(instant: datetime) -> int:
    """An aware datetime in whole milliseconds."""
    return (instant - _EPOCH) // _MILLISECOND


def to_datetime(ms: int) -> datetime:
    """What lies beyond the calendar becomes its first or last year: nobody's clock says so, and nothing may crash."""
    return _EPOCH + _MILLISECOND * min(max(ms, _FIRST), _LAST)


def rfc3339(ms: int) -> str:
    """`2026-10-01T12:00:00.000Z`."""
    return (_EPOCH_WITHOUT_ZONE + _MILLISECOND * min(max(ms, _FIRST), _LAST)).isoformat(timespec="milliseconds") + "Z"


@lru_cache(10_000)
def rfc3339_seconds(ms: int) -> str:
    """`2026-10-01T12:00:00Z`, for instants that lie on a second: borders of panes, of which there are few."""
    return to_datetime(ms).isoformat(timespec="seconds").replace("+00:00", "Z")


def from_rfc3339(text: str | None) -> int:
    """Back from what we wrote; 0 for nothing."""
    return 0 if text is None else to_ms(datetime.fromisoformat(text))
