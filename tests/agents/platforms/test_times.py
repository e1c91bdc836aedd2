"""Times of exports: what they say is understood, what they do not say is not guessed."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.agents.history.times import Clock, NoTime

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


@pytest.mark.parametrize(
    ("text", "clock", "read"),
    [
        ("2026-03-01T15:02:11Z", Clock(), "2026-03-01T15:02:11Z"),
        ("2026-03-01T15:02:11.904+01:00", Clock(AMSTERDAM), "2026-03-01T15:02:11.904000+01:00"),
        ("2026-03-01 15:02:11 -0700", Clock(), "2026-03-01T15:02:11-07:00"),
        ("2026-03-01 15:02:11 UTC", Clock(AMSTERDAM), "2026-03-01T15:02:11Z"),
        ("2026/03/01 3:02:11 PM GMT+1", Clock(), "2026-03-01T15:02:11+01:00"),
        ("2026/03/01 12:02:11 am GMT+5:30", Clock(), "2026-03-01T00:02:11+05:30"),
        ("2026-07-01 15:02", Clock(AMSTERDAM), "2026-07-01T13:02:00Z"),
        ("2026-03-01 15:02", Clock(AMSTERDAM), "2026-03-01T14:02:00Z"),
        ("03/04/2026 01:02:03 PM", Clock(UTC, "month-first"), "2026-03-04T13:02:03Z"),
        ("03/04/2026 13:02", Clock(UTC, "day-first"), "2026-04-03T13:02:00Z"),
        ("3.4.2026 13:02", Clock(UTC, "day-first"), "2026-04-03T13:02:00Z"),
        (1772183720, Clock(), "2026-02-27T09:15:20Z"),
        ("1772183720", Clock(), "2026-02-27T09:15:20Z"),
    ],
)
def test_times_are_read(text: object, clock: Clock, read: str) -> None:
    assert clock.read(text) == read


@pytest.mark.parametrize(
    ("text", "clock", "said"),
    [
        ("2026-03-01 15:02:11", Clock(), "--zone"),
        ("03/04/2026 13:02", Clock(UTC), "--dates"),
        ("25/04/2026 13:02", Clock(UTC), "--dates"),
        ("25/04/2026 13:02", Clock(UTC, "month-first"), "no such date"),
        ("2026-02-30 13:02", Clock(UTC), "no such date"),
        ("2026-02-20 13:02 PM", Clock(UTC), "no such date"),
        ("2026-02-20 13:02:11 CET", Clock(UTC), "no offset"),
        ("2026-02-20 13:02:11 +99", Clock(UTC), "no such offset"),
        ("2026-02-20", Clock(UTC), "not a date and a time"),
        ("yesterday 10:00", Clock(UTC), "not a date and a time"),
        ("", Clock(UTC), "not a date and a time"),
    ],
)
def test_what_is_not_clear_is_refused(text: str, clock: Clock, said: str) -> None:
    with pytest.raises(NoTime, match=said) as refused:
        clock.read(text)
    assert not text or text not in str(refused.value)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_any_instant_stays_what_it_is(naive: datetime, minutes: int) -> None:
    instant = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert datetime.fromisoformat(Clock().read(instant.isoformat())) == instant
    in_utc = instant.astimezone(UTC).replace(tzinfo=None)
    assert datetime.fromisoformat(Clock(UTC).read(in_utc.isoformat(" "))) == instant


@given(st.text(max_size=30) | st.integers())
def test_anything_is_a_time_or_refused(text: object) -> None:
    for clock in (Clock(), Clock(UTC, "day-first")):
        with suppress(NoTime):
            assert datetime.fromisoformat(clock.read(text)).tzinfo is not None
