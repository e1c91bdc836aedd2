"""`[recovery]` in `npsflow.toml`: who looks after an unhappy customer, by when, and what is left alone."""

from collections.abc import Container, Iterator
from datetime import date, time
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct, field

from npsflow.schemas.errors import SettingsError
from npsflow.schemas.events import Context, Severity
from npsflow.streams.recovery.business_hours import BusinessHours, Clock, WallClock
from npsflow.streams.scoring.questions import OPEN_QUESTIONS

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Positive = Annotated[float, Meta(gt=0, le=10_000)]
Share = Annotated[float, Meta(gt=0, le=1)]
NotNegative = Annotated[float, Meta(ge=0, le=10_000)]
When = dict[str, str]
"""Fields of the alert, or `severity`, and the value that each must have; upper and lower case are the same."""


class SeverityRule(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[recovery.severity]]`: an alert to which all of this applies is `at_least` so severe; `name` is the reason.

    `min_value`: of the customer; `words`: the comment contains one of them, in upper or lower case.
    """

    name: str
    at_least: Severity
    when: When = {}
    min_value: float | None = None
    words: list[str] = []


class OwnerRule(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[recovery.owners]]`: `owner` of the first rule whose fields all match owns the case."""

    owner: str
    when: When = {}


class FirstContact(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[recovery.first_contact]]`: `hours` until the first contact, of the first rule whose fields all match."""

    hours: Positive
    when: When = {}


class Escalation(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[recovery.escalations]]`: `to` hears of the case when `at` of the time for the first contact (1.0) is over."""

    to: str
    at: Annotated[float, Meta(gt=0, le=10)] = 1.0


class Business(Struct, frozen=True, forbid_unknown_fields=True):
    """`[recovery.business]`: opening hours.

    `country` (ISO 3166, two letters) and `region` (a part of it) name public holidays. `closed`: more days without
    opening hours; `open`: days with them, be they holidays or weekends.
    """

    days: list[Day] = field(default_factory=lambda: ["mon", "tue", "wed", "thu", "fri"])
    opens: str = "09:00"
    closes: str = "17:00"
    country: str = ""
    region: str = ""
    closed: list[str] = []
    open: list[str] = []


class Recovery(Struct, frozen=True, forbid_unknown_fields=True):
    """`[recovery]`; times are wall clock unless `clock` says that only opening hours count."""

    zone: str = "UTC"
    clock: Literal["wall", "business"] = "wall"
    business: Business = Business()
    drop_from_promoter: Literal["off", "medium", "high", "critical"] = "high"
    severity: list[SeverityRule] = []
    default_owner: str = "service-recovery"
    owners: list[OwnerRule] = []
    first_contact_hours: Positive = 24.0
    first_contact: list[FirstContact] = []
    warn_at: Share = 0.75
    escalations: list[Escalation] = []
    finish_days: Positive = 7.0
    cooldown_hours: NotNegative = 24.0
    burst_alerts: Annotated[int, Meta(ge=0, le=10_000)] = 0
    burst_minutes: Annotated[int, Meta(ge=1, le=10_000)] = 60
    ask_every_days: NotNegative = 90.0
    keep_days: Positive = 90.0
    remember_days: Positive = 400.0
    questions: dict[str, str] = {}
    thanks: dict[str, str] = {}
    root_causes: list[str] = []

    def all_questions(self) -> dict[str, str]:
        """Give the open questions by language: the built-in ones, and these in their place or besides."""
        return OPEN_QUESTIONS | self.questions


def clock_of(settings: Recovery) -> Clock:
    """Make the clock of the first contact. Raises SettingsError for a zone, country, time or day that is not valid."""
    try:
        zone = ZoneInfo(settings.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(f"recovery.zone: {settings.zone!r} is not a time zone, as Europe/Amsterdam is") from None
    hours = _hours(settings.business, zone)
    return WallClock() if settings.clock == "wall" else hours


def _hours(business: Business, zone: ZoneInfo) -> BusinessHours:
    try:
        opens, closes = time.fromisoformat(business.opens), time.fromisoformat(business.closes)
        closed, opened = (frozenset(map(date.fromisoformat, days)) for days in (business.closed, business.open))
    except ValueError as error:
        raise SettingsError(f"recovery.business: {error}") from None
    if opens.tzinfo or closes.tzinfo:
        raise SettingsError("recovery.business: opens and closes are times of recovery.zone, without an offset")
    if not opens < closes or not business.days:
        raise SettingsError("recovery.business: it opens on one day at least, and before it closes")
    if both := closed & opened:
        raise SettingsError(f"recovery.business: {min(both)} is in closed and in open")
    days, public = frozenset(get_args(Day).index(day) for day in business.days), _holidays(business)
    return BusinessHours(zone, days, opens, closes, lambda day: day in closed or day in public, opened)


def _holidays(business: Business) -> Container[date]:
    """Public holidays, of any year."""
    if not business.country:
        if business.region:
            raise SettingsError("recovery.business.region is a part of a country: set country as well")
        return ()
    import holidays  # it takes as long as a list of cases, which needs none

    regions = holidays.list_supported_countries(include_aliases=False).get(business.country)
    if regions is None:
        raise SettingsError(
            f"recovery.business.country: {business.country!r} is no country in two letters (ISO 3166), as NL and GB are"
        )
    if business.region and business.region not in regions:
        known = ", ".join(regions) or "it has none"
        raise SettingsError(f"recovery.business.region: {business.region!r} is no part of {business.country}: {known}")
    public: Container[date] = holidays.country_holidays(business.country, subdiv=business.region or None)
    return public


def mistakes(settings: Recovery) -> Iterator[str]:
    """Where settings contradict each other, or name a field that no alert has."""
    try:
        clock_of(settings)
    except SettingsError as error:
        yield str(error)
    for name, when in _conditions(settings):
        for alert_field in when:
            known = alert_field == "severity" or alert_field in Context.__struct_fields__
            if not known and not alert_field.startswith("attributes."):
                yield f"recovery.{name}: {alert_field!r} is not a field of an alert"
    for language in settings.questions.keys() | settings.thanks.keys():
        if not (len(language) == 2 and language.isascii() and language.islower()):
            yield f"recovery.questions, thanks: {language!r} is not a language in two letters, as de is"
    for language in sorted((settings.questions.keys() ^ settings.thanks.keys()) - OPEN_QUESTIONS.keys()):
        yield f"recovery: questions and thanks both need {language}, or a message mixes two languages"
    if settings.remember_days < settings.keep_days:
        yield "recovery.remember_days is less than keep_days: a case is kept only with its customer"


def _conditions(settings: Recovery) -> Iterator[tuple[str, When]]:
    yield from (("severity", rule.when) for rule in settings.severity)
    yield from (("owners", rule.when) for rule in settings.owners)
    yield from (("first_contact", rule.when) for rule in settings.first_contact)
