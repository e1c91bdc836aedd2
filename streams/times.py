"""Instants are integers here: milliseconds since 1970-01-01T00:00Z. Text is RFC 3339."""

from datetime import UTC, datetime, timedelta

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(instant: datetime) -> int:
    """An aware datetime in whole milliseconds."""
    return (instant - _EPOCH) // _MILLISECOND


def to_datetime(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def rfc3339(ms: int) -> str:
    """`2026-10-01T12:00:00.000Z`."""
    return to_datetime(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_seconds(ms: int) -> str:
    """`2026-10-01T12:00:00Z`, for instants that lie on a second."""
    return to_datetime(ms).strftime("%Y-%m-%dT%H:%M:%SZ")
