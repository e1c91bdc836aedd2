"""Settings: `npsflow.toml` for meaning, `NPSFLOW_*` for where and secrets. An unknown key is an error that names it."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from npsflow.schemas.errors import SettingsError
from npsflow.schemas.response import Customer, Response
from npsflow.schemas.times import DAY
from npsflow.streams.classify.policy import Rule
from npsflow.streams.classify.settings import ClassifySettings
from npsflow.streams.config.errors import explain
from npsflow.streams.config.sections import (
    Alerts,
    DeadLetters,
    FollowUps,
    ScaleSettings,
    Segments,
    Topics,
    Windows,
    check_scales,
    check_segments,
    check_windows,
)
from npsflow.streams.intake import mapping, recipes
from npsflow.streams.intake.mapping import FormMapping
from npsflow.streams.intake.signature import spelled_out
from npsflow.streams.notify import settings as notifying
from npsflow.streams.notify.settings import NotifierSettings
from npsflow.streams.recovery import settings as recovering
from npsflow.streams.recovery.settings import Recovery
from npsflow.streams.scoring.scores import Scales
from npsflow.streams.scoring.segments import normal
from npsflow.streams.windows.stage import WindowSettings


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `npsflow.toml`; every key has a default."""

    horizon_days: Annotated[int, Meta(ge=1, le=3650)] = 35
    ces_seven_is_hard: bool = False
    idle_ticks: bool = True
    scales: list[ScaleSettings] = []
    segments: Segments = Segments()
    aliases: dict[str, dict[str, str]] = {}
    windows: Windows = Windows()
    alerts: Alerts = Alerts()
    follow_ups: FollowUps = FollowUps()
    dead_letters: DeadLetters = DeadLetters()
    recovery: Recovery = Recovery()
    topics: Topics = Topics()
    intake: dict[str, FormMapping] = {}
    notify: dict[str, NotifierSettings] = {}

    def all_scales(self) -> Scales:
        """The scales of every metric, those that need no settings among them."""
        return Scales((s.scale() for s in self.scales), ces_seven_is_hard=self.ces_seven_is_hard)

    def classify_settings(self, event_source: str, pane_partitions: int) -> ClassifySettings:
        """What classify needs; `event_source` as in `ce_source`, `pane_partitions` those of the topic `nps-panes`."""
        return ClassifySettings(
            scales=self.all_scales(),
            dimensions=tuple(self.segments.dimensions),
            pairs=tuple(self.segments.pairs),
            aliases=self.aliases,
            horizon=self.horizon_days * DAY,
            alert_metrics=frozenset(self.alerts.metrics),
            promoter_rules=tuple(
                Rule(r.action, tuple((k, normal(v)) for k, v in r.when.items())) for r in self.follow_ups.promoters
            ),
            questions=self.recovery.all_questions(),
            follow_ups=self.follow_ups.enabled,
            private_fields=self.alerts.private_fields,
            idle_ticks=self.idle_ticks,
            pause_on_dead_letters=self.dead_letters.pause,
            tombstones_delete=self.topics.tombstones_delete,
            event_source=event_source,
            pane_partitions=pane_partitions,
        )

    def window_settings(self, event_source: str) -> WindowSettings:
        """What roll up needs; `event_source` as in `ce_source`."""
        return WindowSettings(
            self.all_scales(),
            self.windows.specs(),
            self.segments.max_values,
            self.windows.sufficient,
            event_source,
        )


_ENTRANCE = re.compile("[a-z0-9][a-z0-9-]{0,63}")


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """From `NPSFLOW_CONFIG`, else `./npsflow.toml`, else defaults. Raises SettingsError."""
    named = environment.get("NPSFLOW_CONFIG")
    path = Path(named or "npsflow.toml")
    if not path.exists():
        if named:
            raise SettingsError(f"NPSFLOW_CONFIG names {named}, which does not exist")
        return Settings()
    try:
        return parse(path.read_text("utf-8"))
    except (SettingsError, OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None


def parse(text: str) -> Settings:
    """Settings from TOML. Raises SettingsError for a typo, a wrong type or a contradiction."""
    try:
        data = _with_recipes(tomllib.loads(text))
        settings = msgspec.convert(data, Settings)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(str(error)) from None
    except msgspec.ValidationError as error:
        raise SettingsError(explain(error, Settings, data)) from None
    _check(settings)
    return settings


def _with_recipes(written: dict[str, Any]) -> dict[str, Any]:
    """The same, with what `platform` stands for in each `[intake.NAME]`."""
    intake = written.get("intake")
    if not isinstance(intake, dict):
        return written
    return written | {"intake": {name: recipes.completed(spelled_out(mapping)) for name, mapping in intake.items()}}


def _check(s: Settings) -> None:
    """Raises SettingsError for keys that contradict each other."""
    check_segments(s.segments, s.aliases)
    check_windows(s.windows, s.horizon_days)
    check_scales(s.scales)
    _check_intake(s)
    recovering.check(s.recovery)
    notifying.check(s.notify)
    for rule in s.follow_ups.promoters:
        for name in rule.when:
            if name not in Response.__struct_fields__ and name not in Customer.__struct_fields__:
                raise SettingsError(f"follow_ups.promoters: {name!r} is not a field of a response or its customer")


def _check_intake(s: Settings) -> None:
    for name, form in s.intake.items():
        if not _ENTRANCE.fullmatch(name):
            raise SettingsError(f"intake.{name}: a name is made of a-z, 0-9 and -")
        if name in ("customers", "board") or name.startswith("notify-"):
            raise SettingsError(f"intake.{name}: NPSFLOW_SECRET_* of this name is that of something else")
        if name.endswith("-next"):
            raise SettingsError(f"intake.{name}: NPSFLOW_SECRET_*_NEXT is the secret that replaces another: rename it")
        if wrong := mapping.check(form):
            raise SettingsError(f"intake.{name}: {wrong}")
