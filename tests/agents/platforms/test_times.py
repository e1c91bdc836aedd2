"""Times of exports: what they say is understood, what they do not say is not guessed."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.agents.platforms.times import InvalidTime, TimeFormat, from_seconds, from_text

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


@pytest.mark.parametrize(
    ("text", "format_", "read"),
    [
        ("2026-03-01T15:02:11Z", TimeFormat(), "2026-03-01T15:02:11Z"),
        ("2026-03-01T15:02:11.904+01:00", TimeFormat(AMSTERDAM), "2026-03-01T15:02:11.904000+01:00"),
        ("2026-03-01 15:02:11 -0700", TimeFormat(), "2026-03-01T15:02:11-07:00"),
        ("2026-03-01 15:02:11 UTC", TimeFormat(AMSTERDAM), "2026-03-01T15:02:11Z"),
        ("2026/03/01 3:02:11 PM GMT+1", TimeFormat(), "2026-03-01T15:02:11+01:00"),
        ("2026/03/01 12:02:11 am GMT+5:30", TimeFormat(), "2026-03-01T00:02:11+05:30"),
        ("2026-07-01 15:02", TimeFormat(AMSTERDAM), "2026-07-01T13:02:00Z"),
        ("2026-03-01 15:02", TimeFormat(AMSTERDAM), "2026-03-01T14:02:00Z"),
        ("03/04/2026 01:02:03 PM", TimeFormat(UTC, "month-first"), "2026-03-04T13:02:03Z"),
        ("03/04/2026 13:02", TimeFormat(UTC, "day-first"), "2026-04-03T13:02:00Z"),
        ("3.4.2026 13:02", TimeFormat(UTC, "day-first"), "2026-04-03T13:02:00Z"),
        ("2026-02-20 13:02:11 CET", TimeFormat(AMSTERDAM), "2026-02-20T12:02:11Z"),
        ("2022/06/22 11:07:29 AM ADT", TimeFormat(ZoneInfo("America/Halifax")), "2022-06-22T14:07:29Z"),
        ("Fri, 20 Nov 2026 10:00:00 GMT", TimeFormat(), "2026-11-20T10:00:00Z"),
        ("Nov 20, 2026 1:05 PM", TimeFormat(AMSTERDAM), "2026-11-20T12:05:00Z"),
        ("November 2, 2026 at 10:00 AM CET", TimeFormat(AMSTERDAM), "2026-11-02T09:00:00Z"),
        ("2-Sep-2026 10:00", TimeFormat(UTC), "2026-09-02T10:00:00Z"),
        ("20 sept. 2026 10:00 UTC", TimeFormat(), "2026-09-20T10:00:00Z"),
        (
            "Fri Nov 20 2026 10:00:00 GMT+0100 (Central European Standard Time)",
            TimeFormat(),
            "2026-11-20T10:00:00+01:00",
        ),
        ("2026-11-20T10:00+01:00[Europe/Amsterdam]", TimeFormat(), "2026-11-20T10:00:00+01:00"),
        (1772183720, TimeFormat(), "2026-02-27T09:15:20Z"),
        (1772183720000, TimeFormat(), "2026-02-27T09:15:20Z"),
        ("1772183720.25", TimeFormat(), "2026-02-27T09:15:20.250000Z"),
        ("1772183720", TimeFormat(), "2026-02-27T09:15:20Z"),
    ],
)
def test_times_are_read(text: object, format_: TimeFormat, read: str) -> None:
    assert format_.parse(text) == read


@pytest.mark.parametrize(
    ("text", "format_", "message"),
    [
        ("2026-03-01 15:02:11", TimeFormat(), "--zone"),
        ("03/04/2026 13:02", TimeFormat(UTC), "--dates"),
        ("25/04/2026 13:02", TimeFormat(UTC), "--dates"),
        ("25/04/2026 13:02", TimeFormat(UTC, "month-first"), "no such date"),
        ("2026-02-30 13:02", TimeFormat(UTC), "no such date"),
        ("2026-02-20 13:02 PM", TimeFormat(UTC), "no such date"),
        ("2026-02-20 13:02:11 CET", TimeFormat(UTC), "no offset"),
        ("2026-02-20 13:02:11 +99", TimeFormat(UTC), "no such offset"),
        ("2026-02-20", TimeFormat(UTC), "not a date and a time"),
        ("yesterday 10:00", TimeFormat(UTC), "not a date and a time"),
        ("Nov 20, 2026 10:00", TimeFormat(), "--zone"),
        ("31 Nov 2026 10:00", TimeFormat(UTC), "no such date"),
        ("20 Nov 2026", TimeFormat(UTC), "not a date and a time"),
        ("20 brumaire 2026 10:00", TimeFormat(UTC), "not a date and a time"),
        ("2026-11-20 10:00 [Europe/Amsterdam]", TimeFormat(), "--zone"),
        ("", TimeFormat(UTC), "not a date and a time"),
    ],
)
def test_what_is_not_clear_is_refused(text: str, format_: TimeFormat, message: str) -> None:
    with pytest.raises(InvalidTime, match=message) as refused:
        format_.parse(text)
    assert not text or text not in str(refused.value)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_any_instant_stays_what_it_is(naive: datetime, minutes: int) -> None:
    instant = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert datetime.fromisoformat(TimeFormat().parse(instant.isoformat())) == instant
    in_utc = instant.astimezone(UTC).replace(tzinfo=None)
    assert datetime.fromisoformat(TimeFormat(UTC).parse(in_utc.isoformat(" "))) == instant


@given(
    st.datetimes(datetime(1995, 1, 1), datetime(2037, 1, 1)),
    st.sampled_from(
        ["America/New_York", "Europe/Amsterdam", "Europe/London", "America/Los_Angeles", "Australia/Sydney"]
    ),
)
def test_a_wall_time_with_the_name_of_its_zone_is_one_instant(naive: datetime, name: str) -> None:
    """In the hour that comes twice as well."""
    zone, instant = ZoneInfo(name), naive.replace(tzinfo=UTC, microsecond=0)
    autumn = datetime(naive.year, 10, 25, tzinfo=UTC) + timedelta(minutes=naive.timestamp() % (10 * 1440))
    for moment in (instant, autumn.replace(second=0, microsecond=0)):
        text = moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")
        assert datetime.fromisoformat(TimeFormat(zone).parse(text)) == moment


@pytest.mark.parametrize("text", ["2026-03-29 02:30:00 CET", "2026-03-29 02:30:00 CEST", "2026-07-01 12:00:00 CET"])
def test_no_zone_calls_a_time_so_that_it_does_not_have(text: str) -> None:
    with pytest.raises(InvalidTime, match="not what its zone is called then"):
        TimeFormat(AMSTERDAM).parse(text)


@given(st.text(max_size=30) | st.integers())
def test_anything_is_a_time_or_refused(text: object) -> None:
    for format_ in (TimeFormat(), TimeFormat(UTC, "day-first")):
        with suppress(InvalidTime):
            assert datetime.fromisoformat(format_.parse(text)).tzinfo is not None


def test_what_a_platform_calls_a_time() -> None:
    assert from_text("2013-12-12T05:35Z") == "2013-12-12T05:35:00Z"
    assert from_text("2016-08-04 13:57:26 -0700") == "2016-08-04T13:57:26-07:00"
    assert from_seconds("1772377325") == "2026-03-01T15:02:05Z"
    for nothing in ("yesterday", "2026-03-01T15:02:05", "", None, 5):
        assert from_text(nothing) == nothing
    for nothing in ("-5", "1772377325.5", "9" * 12, None, True):
        assert from_seconds(nothing) == nothing
