"""Settings: `npsflow.toml` for meaning, `NPSFLOW_*` for where and secrets. An unknown key is an error that names it."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from npsflow.schemas.errors import SettingsError
from npsflow.schemas.response import Customer, Response
from npsflow.schemas.times import DAY
from npsflow.schemas.topics import HISTORY_DAYS
from npsflow.streams.classify.policy import Rule
from npsflow.streams.classify.settings import ClassifySettings
from npsflow.streams.config.errors import Mistake
from npsflow.streams.config.mistakes import convert, line_of
from npsflow.streams.config.sections import (
    Alerts,
    DeadLetters,
    FollowUps,
    ScaleSettings,
    Sealing,
    Segments,
    Topics,
    Watching,
    WatchRule,
    Windows,
    scale_mistakes,
    sealing_mistakes,
    segment_mistakes,
    topic_mistakes,
    watch_mistakes,
    window_mistakes,
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
    history_days: Annotated[int, Meta(ge=1, le=36_500)] = HISTORY_DAYS
    scales: list[ScaleSettings] = []
    segments: Segments = Segments()
    aliases: dict[str, dict[str, str]] = {}
    windows: Windows = Windows()
    watch: list[WatchRule] = []
    watching: Watching = Watching()
    alerts: Alerts = Alerts()
    follow_ups: FollowUps = FollowUps()
    dead_letters: DeadLetters = DeadLetters()
    sealing: Sealing = Sealing()
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
            watched=bool(self.watch),
        )

    def window_settings(self, event_source: str) -> WindowSettings:
        """What roll up needs; `event_source` as in `ce_source`."""
        return WindowSettings(
            self.all_scales(),
            self.windows.specs(),
            self.segments.max_values,
            self.windows.sufficient,
            event_source,
            self.aliases,
            self.horizon_days,
            tuple(rule.rule(self.all_scales(), self.aliases) for rule in self.watch),
            self.watching.false_alarms_per_month,
        )


_FILE = "npsflow.toml"
_ENTRANCE = re.compile("[a-z0-9][a-z0-9-]{0,63}")


def settings_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The file of `NPSFLOW_CONFIG`, else `./npsflow.toml`; None where the latter is not there. Raises SettingsError."""
    if named := environment.get("NPSFLOW_CONFIG"):
        return Path(named)
    return Path(_FILE) if os.path.lexists(_FILE) else None


def described(file: Path | None) -> str:
    """Where settings come from, for people; with the folder, so that nobody takes one file for another."""
    return str(file.absolute()) if file is not None else f"defaults, as there is no {Path(_FILE).absolute()}"


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """From `settings_file`, else defaults. Raises SettingsError, with a line for each mistake."""
    if (file := settings_file(environment)) is None:
        return Settings()
    try:
        return parse(file.read_text("utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"NPSFLOW_CONFIG names {file}, which does not exist") from None
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not in UTF-8") from None
    except SettingsError as error:
        raise SettingsError("\n".join(f"{file}: {line}" for line in str(error).splitlines())) from None


def parse(text: str) -> Settings:
    """Settings from TOML. Raises SettingsError with a line for each typo, wrong type and contradiction."""
    try:
        data = _with_recipes(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(str(error)) from None
    settings, mistakes = convert(data, Settings)
    lines = [_located(text, mistake) for mistake in mistakes]
    if settings is not None:
        unclear = {mistake.where[0] for mistake in mistakes}
        lines += [line for of, found in _contradictions(settings) if not unclear & set(of) for line in found]
    if settings is None or lines:
        raise SettingsError("\n".join(lines))
    return settings


def _located(text: str, mistake: Mistake) -> str:
    line = line_of(text, mistake.where)
    return str(mistake) if line is None else f"{mistake} (line {line})"


def _with_recipes(written: dict[str, Any]) -> dict[str, Any]:
    """The same, with what `platform` stands for in each `[intake.NAME]`."""
    intake = written.get("intake")
    if not isinstance(intake, dict):
        return written
    return written | {"intake": {name: recipes.completed(spelled_out(mapping)) for name, mapping in intake.items()}}


def _contradictions(s: Settings) -> Iterator[tuple[tuple[str, ...], Iterator[str]]]:
    """Keys that contradict each other, by the sections that they are in."""
    yield ("segments", "aliases"), segment_mistakes(s.segments, s.aliases)
    yield ("windows", "horizon_days"), window_mistakes(s.windows, s.horizon_days)
    yield ("scales",), scale_mistakes(s.scales)
    yield ("watch", "segments", "aliases", "scales", "ces_seven_is_hard"), _watch_mistakes(s)
    yield ("sealing", "segments", "aliases", "follow_ups", "recovery"), sealing_mistakes(s.sealing, _compared(s))
    yield ("topics",), topic_mistakes(s.topics.config)
    yield ("intake",), _intake_mistakes(s)
    yield ("recovery",), recovering.mistakes(s.recovery)
    yield ("notify",), notifying.mistakes(s.notify)
    yield ("follow_ups",), _follow_up_mistakes(s.follow_ups)


def _watch_mistakes(s: Settings) -> Iterator[str]:
    if s.watch and not any(scale_mistakes(s.scales)):
        yield from watch_mistakes(s.watch, s.segments, s.all_scales(), s.aliases)


def _follow_up_mistakes(follow_ups: FollowUps) -> Iterator[str]:
    for rule in follow_ups.promoters:
        for name in rule.when:
            if name not in Response.__struct_fields__ and name not in Customer.__struct_fields__:
                yield f"follow_ups.promoters: {name!r} is not a field of a response or its customer"


def _compared(s: Settings) -> Iterator[tuple[str, str]]:
    """Each setting that compares a field of responses with a text, and the field."""
    dimensions = {*s.segments.dimensions, *s.aliases, *(name for pair in s.segments.pairs for name in pair)}
    yield from (("segments", name) for name in dimensions)
    yield from (("follow_ups.promoters", name) for rule in s.follow_ups.promoters for name in rule.when)
    for section in ("severity", "owners", "first_contact"):
        for rule in getattr(s.recovery, section):
            yield from ((f"recovery.{section}", name) for name in rule.when)
    yield from (("recovery.severity: words", "comment") for rule in s.recovery.severity if rule.words)


def _intake_mistakes(s: Settings) -> Iterator[str]:
    for name, form in s.intake.items():
        if not _ENTRANCE.fullmatch(name):
            yield f"intake.{name}: a name is made of a-z, 0-9 and -"
        elif name in ("customers", "board", "keys") or name.startswith("notify-"):
            yield f"intake.{name}: NPSFLOW_SECRET_* of this name is that of something else"
        elif name.endswith("-next"):
            yield f"intake.{name}: NPSFLOW_SECRET_*_NEXT is the secret that replaces another: rename it"
        for wrong in mapping.mistakes(form):
            yield f"intake.{name}: {wrong}"
