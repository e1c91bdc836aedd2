"""Rules: which segments are watched, and for what."""

from dataclasses import dataclass

from npsflow.schemas.score_alert import Kind
from npsflow.streams.scoring.scores import Formula, Scale
from npsflow.streams.scoring.segments import Name

_MARGIN: dict[Formula, float] = {"net": 0.05, "share": 0.1, "mean": 0.1}
"""How far below its past a score may be, as a level, before that is a drop: 5 points, 5 percent, 5% of a scale."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`segment`: dimension to the value that is watched, None for each; {} is the whole. `target`: a score, or None."""

    name: str
    kind: Kind
    scale: Scale
    segment: dict[str, str | None]
    target: float | None = None

    def watches(self, name: Name) -> bool:
        """Whether it watches the segment of this name."""
        metric, scale, segment = name
        if (metric, scale) != (self.scale.metric, self.scale.name) or {d for d, _ in segment} != self.segment.keys():
            return False
        return all(self.segment[dimension] in (None, value) for dimension, value in segment)

    @property
    def meaning(self) -> list[object]:
        """All that evidence depends on: under another meaning it is worth nothing."""
        segment = [[dimension, value] for dimension, value in sorted(self.segment.items())]
        scale = self.scale
        return [self.kind, scale.metric, scale.name, segment, self.target, [*scale.ranks]]

    @property
    def margin(self) -> float:
        """Of a drop, as a level."""
        return _MARGIN[self.scale.formula]
