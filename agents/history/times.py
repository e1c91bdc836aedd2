"""Times as exports write them, made RFC 3339. Nothing is guessed: not the zone, and not which number is the month."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Literal

Order = Literal["day-first", "month-first"]

_UNIX = re.compile(r"\d{9,11}")
_TIME = re.compile(
    r"(?P<h>\d{1,2}):(?P<m>\d\d)(?::(?P<s>\d\d)(?:[.,](?P<f>\d{1,6})\d*)?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
)
_ZONE = re.compile(r"(?:UTC|GMT|Z)?\s*(?:(?P<sign>[+-])(?P<h>\d{1,2})(?::?(?P<m>\d\d))?)?|(?:UTC|GMT|Z)")
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})")


class NoTime(ValueError):
    """The text says what is wrong and what to do; it holds nothing of the file."""


@dataclass(frozen=True, slots=True)
class Clock:
    """`zone` of times that have none, `order` of dates like 03/04/2026; None where nobody has said."""

    zone: tzinfo | None = None
    order: Order | None = None

    def read(self, given: Any, zone: tzinfo | None = None) -> str:
        """RFC 3339, in UTC but where an offset was given. `zone`: what the platform documents. Raises NoTime.

        A number is seconds since 1970.
        """
        text = str(given).strip()
        if _UNIX.fullmatch(text):
            return _written(datetime.fromtimestamp(int(text), UTC))
        date, _, rest = text.partition("T") if "T" in text[:11] else text.partition(" ")
        time = _TIME.match(rest.strip())
        if time is None:
            raise NoTime("it is not a date and a time")
        naive = self._naive(date, time)
        own = _ZONE.fullmatch(rest.strip()[time.end() :].strip())
        if own is None:
            raise NoTime("what stands behind the time is no offset")
        if own[0]:
            return _written(naive.replace(tzinfo=_offset(own)))
        if (zone := zone or self.zone) is None:
            raise NoTime("it has no zone: say which with --zone")
        return _written(naive.replace(tzinfo=zone).astimezone(UTC))

    def _naive(self, date: str, time: re.Match[str]) -> datetime:
        if found := _YEAR_FIRST.fullmatch(date):
            year, month, day = found.groups()
        elif (found := _YEAR_LAST.fullmatch(date)) is None:
            raise NoTime("it is not a date and a time")
        elif self.order is None:
            raise NoTime("day and month could be either way round: say which with --dates")
        else:
            day, month, year = found.groups()
            if self.order == "month-first":
                day, month = month, day
        hour, half = int(time["h"]), (time["half"] or "").lower()
        if half:
            hour = hour % 12 + (12 if half.startswith("p") else 0) if 1 <= hour <= 12 else 99
        micros = int((time["f"] or "").ljust(6, "0"))
        try:
            return datetime(int(year), int(month), int(day), hour, int(time["m"]), int(time["s"] or 0), micros)
        except ValueError:
            raise NoTime("there is no such date or time") from None


def _offset(found: re.Match[str]) -> tzinfo:
    if not found["sign"]:
        return UTC
    offset = timedelta(hours=int(found["h"]), minutes=int(found["m"] or 0))
    if offset >= timedelta(hours=24):
        raise NoTime("there is no such offset")
    return timezone(-offset if found["sign"] == "-" else offset)


def _written(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
