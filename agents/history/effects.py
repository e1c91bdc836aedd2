"""What responses cause that are sent now: their alerts and follow-ups, as a worker decides on them."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple, get_args

from npsflow.schemas.events import Severity
from npsflow.schemas.response import Metric, Response
from npsflow.streams.classify import policy
from npsflow.streams.scoring.scores import WORST, Scale
from npsflow.streams.scoring.severity import ALERT_DUE, STALE_AFTER, severity_of

_SEVERITIES = get_args(Severity)
_DUE = int(ALERT_DUE.total_seconds() * 1000)


class Effect(NamedTuple):
    """`severity`: of the alert that a response raises; `reachable`: it has a contact. Or else it has a follow-up."""

    severity: Severity | None = None
    reachable: bool = False
    follow_up: bool = False


def effect_of(response: Response, scale: Scale, alert_metrics: Collection[Metric], follow_ups: bool) -> Effect:
    """What the response causes unless it is stale; `alert_metrics` and `follow_ups` as in the settings of classify."""
    if response.test or response.internal or response.metric == "enps":
        return Effect()
    unhappy = scale.ranks[response.score - scale.low] == WORST and response.metric in alert_metrics
    if not unhappy:
        return Effect(follow_up=follow_ups)
    severity, _ = severity_of(scale, response.score, bool(response.contact_requested))
    return Effect(severity, policy.not_actionable(response, 0, 0) is None)


def effect_lines(effects: Iterable[tuple[int, Effect]], now: int, done: bool) -> list[str]:
    """Lines of a report on responses, each with its `submitted_at`, that are sent `now` (ms), or would be.

    An upper bound: what was raised before, when the same response came by webhook, is not raised again.
    """
    counts = Counter((effect, _age(now - at)) for at, effect in effects)
    stale, overdue = (_alerts(counts, {age}) for age in ("stale", "overdue"))
    fresh = _alerts(counts, {"overdue", "fresh"})
    unreachable = sum(count for effect, count in fresh.items() if not effect.reachable)
    follow_ups = sum(count for (effect, _), count in counts.items() if effect.follow_up)
    be = "are" if done else "would be"
    note = f"; {unreachable:,} without a contact, not actionable" if unreachable else ""
    lines = [
        f"{stale.total():>9,} alerts at most {be} stale, not actionable: older than seven days{_severities(stale)}",
        f"{fresh.total():>9,} alerts at most {be} fresh and reach subscribers now{_severities(fresh)}{note}",
    ]
    if overdue:
        lines.append(f"{overdue.total():>9,} of these {be} overdue already: over a day old; nobody is warned of that")
    if follow_ups:
        lines.append(f"{follow_ups:>9,} follow-ups at most {be} sent to subscribers")
    return lines


def _age(ms: int) -> str:
    return "stale" if ms > STALE_AFTER else "overdue" if ms > _DUE else "fresh"


def _alerts(counts: Counter[tuple[Effect, str]], ages: Collection[str]) -> Counter[Effect]:
    alerts = Counter[Effect]()
    for (effect, age), count in counts.items():
        if effect.severity is not None and age in ages:
            alerts[effect] += count
    return alerts


def _severities(alerts: Counter[Effect]) -> str:
    counts = Counter[Severity | None]()
    for effect, count in alerts.items():
        counts[effect.severity] += count
    parts = [f"{severity} {counts[severity]:,}" for severity in _SEVERITIES if counts[severity]]
    return f" ({', '.join(parts)})" if parts else ""
