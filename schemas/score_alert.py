"""An alert about the score of a segment, as published to `nps-alerts`: fired, then resolved or unknown."""

from typing import Literal

from msgspec import Struct

from npsflow.schemas.codec import dumps
from npsflow.schemas.events import Instant

Kind = Literal["target", "drop"]
"""Of a rule: a target is missed, a score is below its own past."""

State = Literal["fired", "resolved", "unknown"]

SCORE_ALERT: dict[State, str] = {
    "fired": "npsflow.score_alert.fired.v1",
    "resolved": "npsflow.score_alert.resolved.v1",
    "unknown": "npsflow.score_alert.unknown.v1",
}
"""State to the type of the event."""


class ScoreAlert(Struct, frozen=True, omit_defaults=True):
    """`npsflow.score_alert.{fired,resolved,unknown}.v1`. `score`, `low`, `high` and `n` are of all since `since`.

    `target`, or of another kind than target `reference`: what the score is held against. `evidence` is that with which
    the alert fired. `lasted_s` stands in `resolved` alone: the seconds since `since`.
    """

    alert_id: str
    revision: int
    rule: str
    kind: Kind
    metric: str
    scale: str
    segment: dict[str, str]
    n: int
    evidence: float
    since: Instant
    at: Instant
    target: float | None = None
    reference: float | None = None
    score: float | None = None
    low: float | None = None
    high: float | None = None
    lasted_s: int | None = None


def score_alert_key(rule: str, metric: str, scale: str, segment: dict[str, str]) -> bytes:
    """JSON [rule, metric, scale, segment]."""
    return dumps([rule, metric, scale, segment])
