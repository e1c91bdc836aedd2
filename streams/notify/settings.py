"""`[notify.NAME]` in `npsflow.toml`: who hears of which events, how, and which private fields are sent."""

import re
from collections.abc import Iterator, Mapping
from datetime import time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct, field

from npsflow.schemas.cases import CaseEvent, Kind
from npsflow.schemas.events import Severity
from npsflow.streams.notify.texts import DIGEST_PLACEHOLDERS, LANGUAGES, PLACEHOLDERS, TITLES

EventName = CaseEvent | Literal["enriched"]
"""What happened to a case. `enriched` is the `noted` of a comment or context that came later."""
PrivateField = Literal["comment", "name", "email", "phone"]

EVERYBODY = "*"
"""In `to`: the address of everybody who is not named there."""

_NAME = re.compile("[a-z0-9][a-z0-9-]{0,63}")
_RESERVED = ("log", "replay", "try")  # commands


class NotifierSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of one notifier.

    `kind`: its name if empty. `to`: from the owner of a case, or an agent, to an address of this kind. `texts`: titles
    in place of the built-in ones, by event. `private`: fields of the customer that are sent. `first_hours`: how far
    back the very first start begins. `per_second`: messages to one address. `options`: the kind's own settings.
    """

    kind: str = ""
    to: dict[str, str] = {}
    events: list[EventName] = field(
        default_factory=lambda: ["opened", "enriched", "warned", "escalated", "breached", "reopened", "won_back"]
    )
    at_least: Severity = "medium"
    departments: list[str] = []
    cases: list[Kind] = field(default_factory=lambda: ["recovery", "bundle"])
    language: str = "en"
    texts: dict[str, str] = {}
    zone: str = "UTC"
    settle_seconds: Annotated[float, Meta(ge=0, le=120)] = 0.0
    digest: str = ""
    per_second: Annotated[float, Meta(ge=0.01, le=1000)] | None = None
    private: list[PrivateField] = []
    first_hours: Annotated[float, Meta(ge=0, le=24 * 90)] = 24.0
    options: dict[str, Any] = {}


def digest_time(notifier: NotifierSettings) -> time | None:
    """When the digest is sent each day, in the notifier's zone; None if it sends none."""
    return time.fromisoformat(notifier.digest) if notifier.digest else None


def mistakes(notifiers: Mapping[str, NotifierSettings]) -> Iterator[str]:
    """What is wrong with names and settings."""
    for name, notifier in notifiers.items():
        for problem in (*_name_problems(name), *_problems(notifier)):
            yield f"notify.{name}: {problem}"


def _name_problems(name: str) -> Iterator[str]:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        yield f"a name is made of a-z, 0-9 and -, and {', '.join(_RESERVED)} are taken"
    if name.endswith("-next"):
        yield "NPSFLOW_SECRET_*_NEXT is the secret that replaces another: rename it"


def _problems(notifier: NotifierSettings) -> Iterator[str]:
    try:
        ZoneInfo(notifier.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"zone: {notifier.zone!r} is not a time zone, as Europe/Amsterdam is"
    if notifier.digest and not re.fullmatch("([01][0-9]|2[0-3]):[0-5][0-9]", notifier.digest):
        yield f"digest: {notifier.digest!r} is no time of day, as 08:30 is"
    if notifier.language not in LANGUAGES:
        yield f"language: there are {', '.join(LANGUAGES)}"
    for event, text in notifier.texts.items():
        if event not in TITLES["en"]:
            yield f"texts: {event!r} is no event"
        placeholders = DIGEST_PLACEHOLDERS if event == "digest" else PLACEHOLDERS
        try:
            text.format_map(dict.fromkeys(placeholders, ""))
        except (KeyError, ValueError, IndexError, AttributeError):
            yield f"texts.{event}: in braces may stand {', '.join(placeholders)}"
