"""Times as platforms write them, made RFC 3339.

A webhook's time that is none stays as it is: it is refused by name later on. An export's time that is none, or not
clear, is refused at once.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Literal

from npsflow.schemas.times import SECOND, rfc3339_seconds

_SPACE = re.compile(r" (?=[+-]\d\d:?\d\d$)")  # 2016-08-04 13:57:26 -0700
_YEAR_10000 = 253_402_300_800  # in seconds since 1970

Order = Literal["day-first", "month-first"]

_UNIX = re.compile(r"\d{9,11}")
_TIME = re.compile(
    r"(?P<h>\d{1,2}):(?P<m>\d\d)(?::(?P<s>\d\d)(?:[.,](?P<f>\d{1,6})\d*)?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
)
_ZONE = re.compile(r"(?:UTC|GMT|Z)?\s*(?:(?P<sign>[+-])(?P<h>\d{1,2})(?::?(?P<m>\d\d))?)?|(?:UTC|GMT|Z)")
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})")


def from_text(value: Any) -> Any:
    """RFC 3339 of an ISO time with an offset, as `2013-12-12T05:35Z` or `2016-08-04 13:57:26 -0700`; else the value."""
    moment = parse_iso(value)
    return value if moment is None else _rfc3339(moment)


def from_seconds(value: Any, later: int = 0) -> Any:
    """RFC 3339 of seconds since 1970, a number or a text, and `later` seconds more; else the value."""
    digits = str(value)
    if isinstance(value, bool) or not (digits.isascii() and digits.isdigit() and len(digits) < 12):
        return value
    return rfc3339_seconds(min(int(digits) + later, _YEAR_10000) * SECOND)


def parse_iso(value: Any) -> datetime | None:
    """The moment, None where it is no ISO time with an offset."""
    try:
        moment = datetime.fromisoformat(_SPACE.sub("", value))
    except (TypeError, ValueError):
        return None
    return None if moment.tzinfo is None else moment


class InvalidTime(ValueError):
    """The text says what is wrong and what to do; it holds nothing of the file."""


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """How the times of an export are meant. Nothing is guessed: not the zone, and not which number is the month.

    `zone`: of times that have none; `order`: of dates like 03/04/2026. None where the command line does not say it.
    """

    zone: tzinfo | None = None
    order: Order | None = None

    def parse(self, value: Any, zone: tzinfo | None = None) -> str:
        """RFC 3339; in UTC, except where the value has an offset. A number is seconds since 1970.

        `zone`: the one that the platform documents. Raises InvalidTime when the value is no time, or not clear.
        """
        text = str(value).strip()
        if _UNIX.fullmatch(text):
            return _rfc3339(datetime.fromtimestamp(int(text), UTC))
        date, _, rest = text.partition("T") if "T" in text[:11] else text.partition(" ")
        time = _TIME.match(rest.strip())
        if time is None:
            raise InvalidTime("it is not a date and a time")
        naive = self._naive(date, time)
        own = _ZONE.fullmatch(rest.strip()[time.end() :].strip())
        if own is None:
            raise InvalidTime("what stands behind the time is no offset")
        if own[0]:
            return _rfc3339(naive.replace(tzinfo=_offset(own)))
        if (zone := zone or self.zone) is None:
            raise InvalidTime("it has no zone: say which with --zone")
        return _rfc3339(naive.replace(tzinfo=zone).astimezone(UTC))

    def _naive(self, date: str, time: re.Match[str]) -> datetime:
        if match := _YEAR_FIRST.fullmatch(date):
            year, month, day = match.groups()
        elif (match := _YEAR_LAST.fullmatch(date)) is None:
            raise InvalidTime("it is not a date and a time")
        elif self.order is None:
            raise InvalidTime("day and month could be either way round: say which with --dates")
        else:
            day, month, year = match.groups()
            if self.order == "month-first":
                day, month = month, day
        hour, half = int(time["h"]), (time["half"] or "").lower()
        if half:
            hour = hour % 12 + (12 if half.startswith("p") else 0) if 1 <= hour <= 12 else 99
        micros = int((time["f"] or "").ljust(6, "0"))
        try:
            return datetime(int(year), int(month), int(day), hour, int(time["m"]), int(time["s"] or 0), micros)
        except ValueError:
            raise InvalidTime("there is no such date or time") from None


def _offset(zone: re.Match[str]) -> tzinfo:
    if not zone["sign"]:
        return UTC
    offset = timedelta(hours=int(zone["h"]), minutes=int(zone["m"] or 0))
    if offset >= timedelta(hours=24):
        raise InvalidTime("there is no such offset")
    return timezone(-offset if zone["sign"] == "-" else offset)


def _rfc3339(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
