"""Opening hours beside a walk through every minute, and what is wrong with settings of them."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npsflow.schemas.errors import SettingsError
from npsflow.schemas.times import HOUR, MINUTE
from npsflow.streams.config.settings import parse
from npsflow.streams.recovery.business_hours import BusinessHours
from npsflow.streams.recovery.settings import Business, Recovery, clock_of, mistakes

from .recovering import World

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
CLOSED = date(2026, 4, 6)  # Easter Monday


def ms(year: int, month: int, day: int, hour: int, minute: int = 0, zone: ZoneInfo = AMSTERDAM) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=zone).timestamp() * 1000)


def walked(hours: BusinessHours, start: int, minutes: int) -> int:
    """Minute after minute; one counts if it begins while it is open."""
    at, left = start, minutes
    while left:
        local = datetime.fromtimestamp(at / 1000, hours.zone)
        is_open = local.weekday() in hours.days and not hours.closed(local.date())
        if is_open and hours.opens <= local.time() < hours.closes:
            left -= 1
        at += MINUTE
    return at


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(
    minutes_in=st.integers(0, 60 * 24 * 45),
    duration=st.integers(1, 60 * 30),
    days=st.frozensets(st.integers(0, 6), min_size=1),
    opens=st.integers(0, 20),
    length=st.integers(1, 3),
)
def test_time_that_counts_is_what_a_walk_finds(
    minutes_in: int, duration: int, days: frozenset[int], opens: int, length: int
) -> None:
    """In the weeks in which clocks are put forward and back, and with a holiday."""
    hours = BusinessHours(AMSTERDAM, days, time(opens), time(opens + length), lambda day: day == CLOSED)
    for begin in (datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 10, 5, tzinfo=UTC)):
        start = int((begin + timedelta(minutes=minutes_in)).timestamp() * 1000)
        assert hours.after(start, duration * MINUTE) == walked(hours, start, duration)


def test_who_is_hardly_ever_open_takes_that_long() -> None:
    hours = BusinessHours(AMSTERDAM, frozenset([0]), time(9), time(10), lambda day: False)
    assert hours.after(ms(2026, 3, 2, 9), 100 * HOUR) == ms(2028, 1, 24, 10)  # the hundredth Monday
    never = BusinessHours(AMSTERDAM, frozenset([0]), time(9), time(10), lambda day: True)
    assert never.after(ms(2026, 3, 2, 9), 2 * HOUR) == ms(2026, 3, 2, 11)


def test_an_alert_on_friday_evening_is_due_on_monday() -> None:
    recovery = Recovery(
        zone="Europe/Amsterdam", clock="business", first_contact_hours=8, business=Business(country="NL")
    )
    clock = clock_of(recovery)
    assert clock.after(ms(2026, 3, 6, 16), 8 * HOUR) == ms(2026, 3, 9, 16)
    assert clock.after(ms(2026, 4, 2, 16), 2 * HOUR) == ms(2026, 4, 7, 10)  # Easter begins on Friday
    assert clock.after(ms(2026, 3, 7, 12), 0) == ms(2026, 3, 9, 9)
    world = World(recovery)
    world.respond(2)  # Monday 09:00 in UTC, an hour later there
    assert world.case["due_at"] == "2026-03-03T09:00:00.000Z"


def opening(day: tuple[int, int, int], **business: Any) -> int:
    """When an hour of opening hours begins that is asked for at midnight."""
    clock = clock_of(Recovery(zone="Europe/Amsterdam", clock="business", business=Business(**business)))
    return clock.after(ms(*day, 0), 0)


def test_a_holiday_of_a_region_is_one_only_there() -> None:
    assumption = (2025, 8, 15)  # of Mary, a Friday: a holiday in the Saarland, not in Berlin
    assert opening(assumption, country="DE", region="BE") == opening(assumption, country="DE") == ms(*assumption, 9)
    assert opening(assumption, country="DE", region="SL") == ms(2025, 8, 18, 9)


def test_days_that_are_named_are_open_whatever_the_calendar_says() -> None:
    good_friday, sunday = (2026, 4, 3), (2026, 3, 29)
    assert opening(good_friday, country="NL") == ms(2026, 4, 7, 9)
    assert opening(good_friday, country="NL", open=["2026-04-03"]) == ms(*good_friday, 9)
    assert opening(sunday, open=["2026-03-29"]) == ms(*sunday, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('zone = "Amsterdam"', "'Amsterdam' is not a time zone"),
        ('business = {opens = "17:00", closes = "09:00"}', "before it closes"),
        ('business = {opens = "09:00+01:00"}', "without an offset"),
        ("business = {days = []}", "opens on one day"),
        ('business = {opens = "9"}', "recovery.business"),
        ('business = {country = "XX"}', "recovery.business.country: 'XX' is no country in two letters"),
        ('business = {country = "UK"}', "'UK' is no country"),
        ('business = {country = "NLD"}', "'NLD' is no country"),
        ('business = {country = "nl"}', "'nl' is no country"),
        ('business = {country = "DE", region = "Bayern"}', "region: 'Bayern' is no part of DE: BB, BE, BW, BY,"),
        ('business = {region = "BY"}', "set country as well"),
        ('business = {open = ["Easter"]}', "recovery.business"),
        ('business = {open = ["2026-04-03"], closed = ["2026-04-03"]}', "2026-04-03 is in closed and in open"),
        ('business = {closed = ["Christmas"]}', "recovery.business"),
        (
            'questions = {de = "Warum?"}',
            "recovery: questions and thanks both need de, or a message mixes two languages",
        ),
        ('thanks = {"de-DE" = "Danke."}', "recovery.questions, thanks: 'de-DE' is not a language in two letters"),
        ('owners = [{owner = "a", when = {shoe = "42"}}]', "recovery.owners: 'shoe' is not a field of an alert"),
        ('severity = [{name = "a", at_least = "low"}]', "low"),
        ("first_contact = [{hours = 0.0}]", r"first_contact\[0\].hours = 0 is not between"),
        ("cooldown_hours = inf", "cooldown_hours = inf"),
        ("burst_alerts = -1", "burst_alerts = -1"),
        ("ask_every_days = -0.5", "ask_every_days = -0.5"),
        ("keep_days = 500.0", "remember_days is less than keep_days"),
    ],
)
def test_what_is_wrong_with_settings_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("(", r"\(")):
        parse(f"[recovery]\n{text}")


def test_defaults_are_right() -> None:
    assert not list(mistakes(Recovery()))
