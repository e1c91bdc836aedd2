"""How urgent an unhappy answer is, and by when somebody should have called."""

from datetime import timedelta
from functools import lru_cache

from npsflow.schemas.events import Severity
from npsflow.schemas.times import DAY
from npsflow.streams.scoring.scores import WORST, Scale

ALERT_DUE = timedelta(hours=24)
STALE_AFTER = 7 * DAY
"""An alert appended later than this after its answer was given is not worth a call."""


@lru_cache
def severity_of(scale: Scale, score: int, contact_requested: bool) -> tuple[Severity, tuple[str, ...]]:
    """How urgent, and why."""
    category = scale.words[WORST]
    if contact_requested:
        return "critical", (category, "contact_requested")
    if scale.formula == "net" and scale.high == 10:
        return ("critical" if score <= 2 else "high" if score <= 4 else "medium"), (category,)
    return ("critical" if score == scale.worst_score else "medium"), (category,)
