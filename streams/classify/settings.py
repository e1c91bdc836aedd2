"""The settings that classify depends on."""

from collections.abc import Mapping
from dataclasses import dataclass

from npsflow.streams.classify.policy import Rule
from npsflow.streams.scoring.scores import Scales


@dataclass(frozen=True, slots=True)
class ClassifySettings:
    """What `npsflow.toml` says, ready for use. `horizon` in ms, `pane_partitions` of `nps-panes`.

    Responses on `alert_metrics` may raise alerts; promoters are asked by `promoter_rules`, the unhappy by `questions`,
    which has one text for each language. `watched`: whether any rule watches scores, which hears of late changes.
    """

    scales: Scales
    dimensions: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    aliases: dict[str, dict[str, str]]
    horizon: int
    alert_metrics: frozenset[str]
    promoter_rules: tuple[Rule, ...]
    questions: Mapping[str, str]
    follow_ups: bool
    private_fields: bool
    idle_ticks: bool
    pause_on_dead_letters: bool
    tombstones_delete: bool
    event_source: str
    pane_partitions: int
    watched: bool = False
