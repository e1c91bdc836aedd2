"""The sections of `npsflow.toml` that are about responses and scores, and what contradicts itself in them.

Those of recovery, notifiers and intake stand where they are used.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated

from msgspec import Meta, Struct, field

from npsflow.schemas.events import Action
from npsflow.schemas.response import Metric
from npsflow.schemas.score_alert import Kind
from npsflow.schemas.times import DAY
from npsflow.schemas.topics import CHANGEABLE
from npsflow.streams.scoring.levels import limits, to_level
from npsflow.streams.scoring.scores import DEFAULT_SCALES, Scale, Scales, scale_of
from npsflow.streams.scoring.segments import MOST_SEGMENTS, is_dimension, normal
from npsflow.streams.watching.rules import Rule
from npsflow.streams.windows.panes import WindowSpec, window_spec

Count = Annotated[int, Meta(ge=1, le=1_000_000)]

EACH = "*"
"""In a rule: each value of a dimension."""

_PERSONAL = ("comment", "response_url", "name", "email", "phone")  # as in events, which a setting may name
_DIMENSIONS = ["survey_id", "survey_kind", "channel", "journey_stage", "department", "product", "tier"]


class ScaleSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[scales]]`: thresholds of one more scale; scores that are neither worst nor middle are best."""

    metric: Metric
    min: int
    max: int
    worst: list[int]
    middle: list[int] = []

    def scale(self) -> Scale:
        """The scale that these thresholds make."""
        return scale_of(self.metric, self.min, self.max, self.worst, self.middle)


class Segments(Struct, frozen=True, forbid_unknown_fields=True):
    """`[segments]`: what scores are grouped by. `max_values`: of one dimension, the rest counts as `other`."""

    dimensions: list[str] = field(default_factory=lambda: list(_DIMENSIONS))
    pairs: list[tuple[str, str]] = []
    max_values: Count = 1000


class Windows(Struct, frozen=True, forbid_unknown_fields=True):
    """`[windows]`: lengths, and the n from which a score may be read."""

    lengths: list[str] = field(default_factory=lambda: ["1h", "24h", "7d", "30d"])
    sufficient: Count = 30

    def specs(self) -> tuple[WindowSpec, ...]:
        """The windows of these lengths. Raises ValueError for a text that is no length."""
        return tuple(window_spec(name) for name in self.lengths)


class WatchRule(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[watch]]`: a rule on scores. `segment`: dimension to value, `*` for each; `scale` if not the metric's own."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    metric: Metric
    kind: Kind
    segment: dict[str, str] = {}
    target: float | None = None
    scale: Annotated[str, Meta(pattern=r"^(\d+-\d+)?$")] = ""

    def rule(self, scales: Scales, aliases: Mapping[str, Mapping[str, str]]) -> Rule:
        """The rule with what it means. Raises ValueError where the metric has no such scale."""
        named = {dimension: {normal(k): normal(v) for k, v in to.items()} for dimension, to in aliases.items()}
        values = {dimension: normal(value) for dimension, value in self.segment.items()}
        segment = {d: None if v == EACH else named.get(d, {}).get(v, v) for d, v in values.items()}
        scale = scales.named(self.metric, self.scale) if self.scale else scales.defaults[self.metric]
        if scale is None:
            raise ValueError(f"{self.metric} has no scale {self.scale!r}")
        return Rule(self.name, self.kind, scale, segment, self.target)


class Watching(Struct, frozen=True, forbid_unknown_fields=True):
    """`[watching]`: how many alerts about scores may be false in a month, all rules together."""

    false_alarms_per_month: Annotated[float, Meta(ge=0.001, le=100)] = 1.0


class PromoterRule(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[follow_ups.promoters]]`: the first rule whose fields all fit decides what is asked."""

    action: Action
    when: dict[str, str] = {}


class FollowUps(Struct, frozen=True, forbid_unknown_fields=True):
    """`[follow_ups]`: whether those who are not unhappy get one, and what promoters are asked."""

    enabled: bool = True
    promoters: list[PromoterRule] = field(default_factory=lambda: [PromoterRule("referral")])


class Alerts(Struct, frozen=True, forbid_unknown_fields=True):
    """`[alerts]`: which metrics raise alerts; whether names, addresses and phone numbers may be in events."""

    metrics: list[Metric] = field(default_factory=lambda: ["nps", "csat", "csat_overall", "ces"])
    private_fields: bool = False


class Sealing(Struct, frozen=True, forbid_unknown_fields=True):
    """`[sealing]`: whether npsflow writes personal texts to Kafka only under a key of their customer.

    `attributes`: those of responses that are personal, too.
    """

    enabled: bool = False
    attributes: list[str] = []


class DeadLetters(Struct, frozen=True, forbid_unknown_fields=True):
    """`[dead_letters]`: whether a partition stops, until `npsflow dlq accept`, when most of its records are refused."""

    pause: bool = False


class Topics(Struct, frozen=True, forbid_unknown_fields=True):
    """`[topics]`: partitions of input and output topics, of `nps-panes` and `nps-windows`, and copies of each.

    `replication` 0: three, or one on each broker where there are fewer. `config`: Kafka's settings that topics are made
    with otherwise, where npsflow sets them; `broker` for one that is left to the broker. `tombstones_delete`: whether a
    record without a value deletes the response that its key names.
    """

    partitions: Count = 4
    pane_partitions: Count = 2
    replication: Annotated[int, Meta(ge=0, le=100)] = 0
    config: dict[str, str] = {}
    tombstones_delete: bool = False


def topic_mistakes(config: Mapping[str, str]) -> Iterator[str]:
    """A setting of Kafka that npsflow does not set, or that nothing else may decide."""
    if unknown := sorted(config.keys() - CHANGEABLE):
        yield f"topics.config has {unknown[0]!r}: only {', '.join(sorted(CHANGEABLE))} can be changed"
    if empty := sorted(key for key, value in config.items() if not value):
        yield f"topics.config: {empty[0]!r} is empty; `broker` leaves it to the broker"


def segment_mistakes(segments: Segments, aliases: Iterable[str]) -> Iterator[str]:
    """An unknown or repeated dimension, a wrong pair, or too many of them."""
    for dimension in dict.fromkeys((*segments.dimensions, *(d for pair in segments.pairs for d in pair), *aliases)):
        if not is_dimension(dimension):
            yield f"{dimension!r} is not a field that can be a dimension"
    yield from _repeated("segments.dimensions", segments.dimensions)
    yield from _repeated("segments.pairs", [" and ".join(sorted(pair)) for pair in segments.pairs])
    for pair in segments.pairs:
        if pair[0] == pair[1]:
            yield f"segments.pairs: {pair[0]!r} is paired with itself"
        elif missing := [d for d in pair if d not in segments.dimensions and is_dimension(d)]:
            yield f"segments.pairs names {missing[0]!r}, which is not in segments.dimensions"
    if len(segments.dimensions) + len(segments.pairs) > MOST_SEGMENTS - 1:
        yield f"segments: dimensions and pairs are together at most {MOST_SEGMENTS - 1}"


def sealing_mistakes(sealing: Sealing, compared: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Rules that look into what is sealed.

    `compared`: a setting and a field of responses, `attributes.NAME` too, that it compares with a text.
    """
    personal = {*_PERSONAL, *(f"attributes.{name}" for name in sealing.attributes)}
    for setting, field_name in compared:
        if sealing.enabled and field_name in personal:
            yield f"{setting} looks into {field_name!r}, which [sealing] hides from the stages: leave one out"


def window_mistakes(windows: Windows, horizon_days: int) -> Iterator[str]:
    """A wrong or repeated length, and one beyond the horizon."""
    yield from _repeated("windows.lengths", windows.lengths)
    for name in windows.lengths:
        try:
            spec = window_spec(name)
        except ValueError as error:
            yield f"windows.lengths: {error}"
        else:
            if spec.length > horizon_days * DAY:
                yield f"window {name} is longer than horizon_days = {horizon_days}: raise that first"


def watch_mistakes(
    rules: Sequence[WatchRule], segments: Segments, scales: Scales, aliases: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """A name that is repeated, a segment that is not counted, a scale or target that is not there."""
    yield from _repeated("watch", [rule.name for rule in rules])
    counted = (
        {frozenset[str]()} | {frozenset([d]) for d in segments.dimensions} | {frozenset(p) for p in segments.pairs}
    )
    for rule in rules:
        where = f"watch {rule.name!r}"
        if unknown := [d for d in rule.segment if d not in segments.dimensions]:
            yield f"{where}: {unknown[0]!r} is not in segments.dimensions"
        elif frozenset(rule.segment) not in counted:
            yield f"{where}: {' and '.join(rule.segment)} are not counted together: name them in segments.pairs"
        if (rule.target is None) == (rule.kind == "target"):
            yield f"{where}: " + (
                "the key 'target' is missing" if rule.target is None else "only kind target has a target"
            )
        try:
            watched = rule.rule(scales, aliases)
        except ValueError as error:
            yield f"{where}: {error}"
        else:
            for dimension in (d for d, value in watched.segment.items() if value == ""):  # it is counted nowhere
                yield f"{where}: the value of {dimension!r} is empty: say {EACH!r} for each"
            if rule.target is not None and not -1 < to_level(watched.scale, rule.target) <= 1:  # -1 is never missed
                low, high = limits(watched.scale)
                yield f"{where}: target {rule.target:g} is not between {low:g} and {high:g}, or is never missed"


def scale_mistakes(scales: Sequence[ScaleSettings]) -> Iterator[str]:
    """A scale that is repeated, fixed, or contradicts itself."""
    names = [f"{scale.metric} {scale.min}-{scale.max}" for scale in scales]
    yield from _repeated("scales", names)
    own = {f"{scale.metric} {scale.name}" for scale in DEFAULT_SCALES.values()}
    for name, scale in zip(names, scales, strict=True):
        scores = range(scale.min, scale.max + 1)
        if not 0 <= scale.min < scale.max <= 1000 or any(score not in scores for score in scale.worst + scale.middle):
            yield f"scales: {name}: 0 <= min < max <= 1000, worst and middle within"
        if set(scale.worst) & set(scale.middle):
            yield f"scales: {name}: a score is both worst and middle"
        if name in own:
            yield f"scales: {name} is the metric's own, its thresholds are fixed"


def _repeated(name: str, values: list[str]) -> Iterator[str]:
    for value in dict.fromkeys(value for value in values if values.count(value) > 1):
        yield f"{name} names {value!r} more than once"
