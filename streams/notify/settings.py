"""`[notify.NAME]` in `npsflow.toml`: who is told of what, how, and what of it may leave the house."""

import re
from collections.abc import Mapping
from datetime import time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct, field

from npsflow.schemas.cases import Happening, Kind
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.events import Severity
from npsflow.streams.notify.texts import DIGEST_PLACES, LANGUAGES, PLACES, TITLES

Told = Happening | Literal["enriched"]
"""What happened to a case. `enriched` is the `noted` of a comment or context that came later."""
Private = Literal["comment", "name", "email", "phone"]

EVERYBODY = "*"
"""In `to`: where all goes that is for nobody who is named there."""

_NAME = re.compile("[a-z0-9][a-z0-9-]{0,63}")
_TAKEN = ("log", "replay")  # commands


class Notifier(Struct, frozen=True, forbid_unknown_fields=True):
    """One of them.

    `kind`: if not said, the name. `to`: owner of a case, or agent, to address; what is one depends on the kind.
    `texts`: titles in place of ours, by event. `private`: what of the customer is let through. `first_hours`: how old
    the events may be that a notifier begins with, on its very first start. `options`: particular to the kind.
    """

    kind: str = ""
    to: dict[str, str] = {}
    events: list[Told] = field(
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
    private: list[Private] = []
    first_hours: Annotated[float, Meta(ge=0, le=24 * 90)] = 24.0
    options: dict[str, Any] = {}


def digest_time(notifier: Notifier) -> time | None:
    """When the digest is sent each day, in the notifier's zone; None if there is none."""
    return time.fromisoformat(notifier.digest) if notifier.digest else None


def check(notifiers: Mapping[str, Notifier]) -> None:
    """Raises SettingsError."""
    for name, notifier in notifiers.items():
        if wrong := _wrong_name(name) or _wrong(notifier):
            raise SettingsError(f"notify.{name}: {wrong}")


def _wrong_name(name: str) -> str:
    if not _NAME.fullmatch(name) or name in _TAKEN:
        return f"a name is made of a-z, 0-9 and -, and {' and '.join(_TAKEN)} are taken"
    return ""


def _wrong(notifier: Notifier) -> str:
    try:
        ZoneInfo(notifier.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"zone: {notifier.zone!r} is not a time zone, as Europe/Amsterdam is"
    if notifier.digest and not re.fullmatch("([01][0-9]|2[0-3]):[0-5][0-9]", notifier.digest):
        return f"digest: {notifier.digest!r} is no time of day, as 08:30 is"
    if notifier.language not in LANGUAGES:
        return f"language: there are {', '.join(LANGUAGES)}"
    for what, text in notifier.texts.items():
        if what not in TITLES["en"]:
            return f"texts: {what!r} is no event"
        try:
            text.format_map(dict.fromkeys(DIGEST_PLACES if what == "digest" else PLACES, ""))
        except (KeyError, ValueError, IndexError, AttributeError):
            return f"texts.{what}: in braces may stand {', '.join(DIGEST_PLACES if what == 'digest' else PLACES)}"
    return ""
