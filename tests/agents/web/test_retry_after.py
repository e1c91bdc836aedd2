"""`Retry-After` in both its forms, and in none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.agents.web.retry_after import LONGEST, retry_after

NOW = 1_772_377_331.0  # 2026-03-01T15:02:11Z


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("007", 7),
        ("99999999", LONGEST),
        ("9" * 400, LONGEST),  # no float is as large
        ("Sun, 01 Mar 2026 15:02:31 GMT", 20),
        ("Sunday, 01-Mar-26 15:02:31 GMT", 20),  # RFC 850
        ("Sun Mar  1 15:02:31 2026", 20),  # asctime, in UTC
        ("Sun, 01 Mar 2026 16:02:31 +0100", 20),
        ("Sun, 01 Mar 2026 15:02:11 GMT", 0),
        ("Sun, 01 Mar 2026 14:00:00 GMT", 0),  # past
        ("Wed, 01 Mar 2028 15:02:31 GMT", LONGEST),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST),  # behind the last moment that there is in UTC
        # Rubbish.
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("1.5", 0),
        ("٣", 0),
        ("²", 0),
        ("Sun, 31 Feb 2026 15:02:31 GMT", 0),
        ("Sun, 01 Mar 99999999999999999999 15:02:31 GMT", 0),
        ("Sun, 01 Mar 2026 15:02:31 +99999999999999", 0),
    ],
)
def test_seconds_to_wait(header: str, seconds: float) -> None:
    assert retry_after(header, NOW) == seconds


@given(st.text() | st.from_regex(r"Sun, \d{1,30} Mar \d{1,30} \d{1,30}:02:31 [+-]\d{1,30}", fullmatch=True))
def test_anything_is_a_time_within_a_day(header: str) -> None:
    assert 0 <= retry_after(header, NOW) <= LONGEST
