"""Time that counts: all of it, or only while a business is open. Instants and durations in ms."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from npsflow.schemas.times import to_datetime, to_ms

_DAY, _YEAR = timedelta(days=1), timedelta(days=366)


class Clock(Protocol):
    def after(self, start: int, duration: int) -> int:
        """The instant at which so much time that counts has passed since `start`."""


class WallClock:
    """All time counts."""

    def after(self, start: int, duration: int) -> int:
        return start + duration


@dataclass(frozen=True)
class BusinessHours:
    """Open on these weekdays (Monday is 0) from `opens` to `closes` in `zone`, but on days for which `closed` holds.

    Clocks that are put forward or back between the two make that day shorter or longer.
    """

    zone: ZoneInfo
    days: frozenset[int]
    opens: time
    closes: time
    closed: Callable[[date], bool]

    def after(self, start: int, duration: int) -> int:
        """Nothing at all left to wait still waits until it is open. A year without an open day ends the search."""
        day = to_datetime(start).astimezone(self.zone).date()
        last = day
        while day - last < _YEAR:
            if day.weekday() in self.days and not self.closed(day):
                begin, end = max(start, self._instant(day, self.opens)), self._instant(day, self.closes)
                if begin < end:
                    if begin + duration <= end:
                        return begin + duration
                    duration -= end - begin
                    last = day
            day += _DAY
        return start + duration

    def _instant(self, day: date, at: time) -> int:
        return to_ms(datetime.combine(day, at, self.zone).astimezone(UTC))
