"""Clocks for deadlines: all time counts, or only opening hours. Instants and durations in ms."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from npsflow.schemas.times import to_datetime, to_ms

_DAY, _YEAR = timedelta(days=1), timedelta(days=366)


class Clock(Protocol):
    """Says which time counts."""

    def after(self, start: int, duration: int) -> int:
        """Give the instant at which `duration` of counted time has passed since `start`."""


class WallClock:
    """All time counts."""

    def after(self, start: int, duration: int) -> int:
        """Give `start` plus `duration`."""
        return start + duration


@dataclass(frozen=True)
class BusinessHours:
    """Only the time from `opens` to `closes` in `zone` counts, on `days` (Monday is 0) that are not `closed`.

    On the days in `opened` it counts whatever day that is.
    A change to or from summer time in opening hours makes that day shorter or longer.
    """

    zone: ZoneInfo
    days: frozenset[int]
    opens: time
    closes: time
    closed: Callable[[date], bool]
    opened: frozenset[date] = frozenset()

    def after(self, start: int, duration: int) -> int:
        """Give the instant at which `duration` of opening hours has passed since `start`.

        It lies in opening hours even where `duration` is 0. After a year without an open day the rest of `duration`
        counts as wall clock time since `start`.
        """
        day = to_datetime(start).astimezone(self.zone).date()
        last_open = day
        while day - last_open < _YEAR:
            if day in self.opened or (day.weekday() in self.days and not self.closed(day)):
                begin, end = max(start, self._instant(day, self.opens)), self._instant(day, self.closes)
                if begin < end:
                    if begin + duration <= end:
                        return begin + duration
                    duration -= end - begin
                    last_open = day
            day += _DAY
        return start + duration

    def _instant(self, day: date, at: time) -> int:
        return to_ms(datetime.combine(day, at, self.zone).astimezone(UTC))
