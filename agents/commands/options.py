"""What options of several commands mean: times and zones as people write them, who it is, words of a list, names."""

import getpass
import os
import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar, get_args
from zoneinfo import ZoneInfo, available_timezones

import click
from click.shell_completion import CompletionItem

from npsflow.schemas.errors import SettingsError
from npsflow.schemas.events import Severity
from npsflow.schemas.times import DAY, HOUR, MINUTE, SECOND, to_ms

if TYPE_CHECKING:
    from npsflow.streams.config.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

_ROOT = "root"
_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}


class Since(click.ParamType):
    """A time in ms: an age, a day or an RFC 3339 time. Without an offset it is of the option --zone, else UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Raises BadParameter for anything else."""
        if isinstance(value, int):
            return value
        if age := re.fullmatch(r"(\d{1,6}) ?([smhdw])", value.strip()):
            return int(time.time() * 1000) - int(age[1]) * _UNITS[age[2]]
        try:
            instant = datetime.fromisoformat(value.strip())
        except ValueError:
            self.fail("it is an age (90m, 24h, 7d), a day (2026-10-01) or a time (2026-10-01T12:00:00Z)", param, ctx)
        zone = (ctx.params.get("zone") if ctx is not None else None) or UTC
        return to_ms(instant if instant.tzinfo else instant.replace(tzinfo=zone))


class Zone(click.ParamType):
    """A time zone, by its name."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tzinfo:
        """Raises BadParameter for a name that is none."""
        if isinstance(value, tzinfo):
            return value
        try:
            return UTC if value in ("", "UTC") else ZoneInfo(value)
        except (KeyError, ValueError, OSError):  # what is not there, is no name, is a folder
            self.fail(f"{value!r} is not a time zone, as Europe/Amsterdam is", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names that begin like this."""
        return completions(sorted(available_timezones()), incomplete)


class Words(click.Choice[str]):
    """One of these words, however it is written: `close-loop`, `Close_Loop`. Gives it with underscores."""

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__([word.replace("_", "-") for word in words], case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Raises BadParameter for any other word."""
        return str(super().convert(value.replace("_", "-"), param, ctx)).replace("-", "_")


def since(help_text: str) -> Callable[[F], F]:
    """The option --since."""
    return click.option("--since", type=Since(), help=f"{help_text}: an age (90m, 24h, 7d), a day or a time.")


zone = click.option(
    "--zone", type=Zone(), envvar="NPSFLOW_ZONE", default="UTC", is_eager=True, metavar="ZONE",
    help="Time zone of what is shown, as Europe/Amsterdam; NPSFLOW_ZONE if not given, else UTC.",
)  # fmt: skip
severity = click.option(
    "--severity", "severities", type=Words(get_args(Severity)), multiple=True, help="Only these; may be repeated."
)
by = click.option("--by", envvar="NPSFLOW_BY", help="Who did it; NPSFLOW_BY if not given, else your login name.")


def login() -> str:
    """Who runs this, where nobody has said so. Raises UsageError where the system does not know."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # KeyError before Python 3.13: a user without a name
        raise click.UsageError("this user has no name: say who you are with --by or NPSFLOW_BY") from None
    return os.environ.get("SUDO_USER") or name if name == _ROOT else name


def warn_of_root(name: str) -> None:
    """Say that something was done in the name of nobody in particular."""
    if name == _ROOT:
        click.echo(f"done by `{_ROOT}`, who may be anybody: say who you are with --by or NPSFLOW_BY", err=True)


def completions(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Those of the names that begin like this."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def of_settings(names: Callable[["Settings"], Iterable[str]]) -> Callable[..., list[CompletionItem]]:
    """A completion by names in npsflow.toml; by none where that cannot be read."""

    def complete(ctx: click.Context, param: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
        from npsflow.streams.config.settings import load  # a list of cases needs no settings, and has a second

        try:
            return completions(names(load()), incomplete)
        except SettingsError:
            return []

    return complete
