"""Instants as milliseconds, text as RFC 3339."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st

from npsflow.schemas.times import rfc3339, rfc3339_seconds, to_datetime, to_ms


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-11, minutes=-30))])))
def test_an_instant_is_cut_to_its_millisecond(instant: datetime) -> None:
    assert (
        timedelta(0)
        <= instant - datetime(1970, 1, 1, tzinfo=UTC) - timedelta(milliseconds=to_ms(instant))
        < timedelta(milliseconds=1)
    )


@example(13_930_835_279_946)
@given(st.integers(-62_135_596_800_000, 253_370_764_800_000))
def test_milliseconds_come_back(ms: int) -> None:
    assert to_ms(to_datetime(ms)) == ms
    assert to_ms(datetime.fromisoformat(rfc3339(ms))) == ms
    assert to_ms(datetime.fromisoformat(rfc3339_seconds(ms // 1000 * 1000))) == ms // 1000 * 1000


def test_how_it_is_written() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_772_377_620_007) == "2026-03-01T15:07:00.007Z"
    assert rfc3339_seconds(1_772_377_620_000) == "2026-03-01T15:07:00Z"


def test_beyond_the_calendar_is_its_last_year_so_that_something_can_be_due_later() -> None:
    for ms in (253_370_764_800_000, 10**15, 2**62):
        assert rfc3339(ms) == "9999-01-01T00:00:00.000Z"
    assert to_datetime(-(2**62)) == datetime.min.replace(tzinfo=UTC)
