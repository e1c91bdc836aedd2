"""Times as platforms write them, made RFC 3339.

`TimeFormat` reads those of exports and of `generic`: a time that is none, or not clear, is refused at once. A webhook's
time that `from_text` or `from_seconds` cannot read stays as it is: it is refused by name later on.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Literal

from npsflow.schemas.times import SECOND, rfc3339_seconds

_SPACE = re.compile(r" (?=[+-]\d\d:?\d\d$)")  # 2016-08-04 13:57:26 -0700
_YEAR_10000 = 253_402_300_800  # in seconds since 1970

Order = Literal["day-first", "month-first"]

_USUAL = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_UNIX = re.compile(r"(\d{9,14})(?:\.(\d{1,9}))?", re.ASCII)
_DATE = re.compile(r"([^ Tt,]+)(?:,\s|[ Tt])\s*")
_TIME = re.compile(
    r"(?P<h>\d{1,2}):(?P<m>\d\d)(?::(?P<s>\d\d)(?:[.,](?P<f>\d{1,6})\d*)?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
)
_ZONE = re.compile(r"(?:UTC|GMT|[Zz])?\s*(?:(?P<sign>[+-])(?P<h>\d{1,2})(?::?(?P<m>\d\d))?)?|(?:UTC|GMT|[Zz])")
_ABBREVIATION = re.compile("[A-Z]{3,5}")
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    "Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    "Nov(?:ember)?|Dec(?:ember)?"
)
_WITH_MONTH = re.compile(  # Fri, 20 Nov 2026 10:00:00 GMT; November 20, 2026 at 10:00 AM; Fri Nov 20 2026 10:00:00
    rf"(?:[A-Z][a-z]{{2,8}},?\s+)?(?:(\d{{1,2}})[\s-]({_MONTH})\.?|({_MONTH})\.?\s(\d{{1,2}})),?[\s-](\d{{4}})"
    r"(?:,?\sat)?(?=[,\s]\s?\d)",
    re.ASCII | re.IGNORECASE,
)
_NAME_OF_ZONE = re.compile(r"(?<=\d)\s?(?:\[[^\[\]]*\]|\([^()]*\))$")  # as JavaScript and Java add to an offset
_SAY_ZONE = "say which with --zone, or for webhooks with zone in [intake.NAME]"


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
    """How the times of an export or a webhook are meant. Nothing is guessed: no zone, and no order of day and month.

    `zone`: of times that have none; `order`: of dates like 03/04/2026. None where no setting says it.
    """

    zone: tzinfo | None = None
    order: Order | None = None

    def parse(self, value: Any, zone: tzinfo | None = None) -> str:
        """RFC 3339; in UTC, except where the value has an offset.

        A number, or a text of digits, is time since 1970: up to eleven digits are seconds, more are milliseconds. A
        month may be an English word. A time without an offset is one of the zone; in the hour that comes twice when
        clocks are put back, the first, unless an abbreviation (CET, EDT) says which. An abbreviation counts only where
        the zone itself has it then.

        `zone`: the one that the platform documents. Raises InvalidTime when the value is no time, or not clear.
        """
        text = _without_name_of_zone(str(value).strip())
        if _USUAL.fullmatch(text) and (usual := _usual(text, zone or self.zone)):
            return _rfc3339(usual)
        if unix := _UNIX.fullmatch(text):
            return _rfc3339(_since_1970(unix))
        if (moment := parse_iso(text)) is not None:
            return _rfc3339(moment)
        text = _WITH_MONTH.sub(_in_digits, text, count=1)
        date = _DATE.match(text)
        time = None if date is None else _TIME.match(text, date.end())
        if date is None or time is None:
            raise InvalidTime("it is not a date and a time")
        naive = self._naive(date[1], time)
        rest, zone = text[time.end() :].strip(), zone or self.zone
        if own := _ZONE.fullmatch(rest):
            if own[0]:
                return _rfc3339(naive.replace(tzinfo=_offset(own)))
            if zone is None:
                raise InvalidTime(f"it has no zone: {_SAY_ZONE}")
            return _rfc3339(_in_utc(naive.replace(tzinfo=zone)))
        if not _ABBREVIATION.fullmatch(rest):
            raise InvalidTime("what stands behind the time is no offset")
        if zone is None:
            raise InvalidTime(f"what stands behind the time is no offset but the name of a zone: {_SAY_ZONE}")
        return _rfc3339(_called(naive, rest, zone))

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


def _without_name_of_zone(text: str) -> str:
    return _NAME_OF_ZONE.sub("", text) if text.endswith((")", "]")) else text


def _in_digits(date: re.Match[str]) -> str:
    day, month = date[1] or date[4], date[2] or date[3]
    return f"{date[5]}-{_MONTHS.index(month[:3].lower()) + 1}-{day}"


def _usual(text: str, zone: tzinfo | None) -> datetime | None:
    """The moment of a usual time, four times as fast as step by step; None where something is wrong with it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        return moment
    return None if zone is None else _in_utc(moment.replace(tzinfo=zone))


def _since_1970(unix: re.Match[str]) -> datetime:
    whole, per_second = int(unix[1]), 1 if len(unix[1]) <= 11 else 1_000
    micros = (whole * 1_000_000 + int((unix[2] or "").ljust(6, "0")[:6])) // per_second
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)


def _called(naive: datetime, name: str, zone: tzinfo) -> datetime:
    """The moment in UTC that the zone calls by this wall time and this abbreviation."""
    for fold in (0, 1):
        local = naive.replace(tzinfo=zone, fold=fold)
        moment = _in_utc(local)
        if local.tzname() == name and moment.astimezone(zone).replace(tzinfo=None) == naive:
            return moment
    raise InvalidTime("what stands behind the time is no offset, and not what its zone is called then")


def _in_utc(local: datetime) -> datetime:
    try:
        return local.astimezone(UTC)
    except OverflowError:  # in the first hours of year 1, or the last of 9999
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
