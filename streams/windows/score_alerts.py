"""Events on `nps-alerts`: what became of an alert about a score, in words and numbers."""

from collections.abc import Callable
from hashlib import blake2b

from npsflow.schemas import codec, topics
from npsflow.schemas.headers import CloudEvents
from npsflow.schemas.score_alert import SCORE_ALERT, ScoreAlert, score_alert_key
from npsflow.schemas.times import HOUR, SECOND, rfc3339, rfc3339_seconds
from npsflow.streams.scoring import statistics
from npsflow.streams.scoring.levels import to_score
from npsflow.streams.scoring.segments import Names, Segment
from npsflow.streams.stage import Output
from npsflow.streams.watching.watcher import Happened


class ScoreAlerts:
    """Makes events; `shown` says how the values of a segment are spelled."""

    def __init__(
        self, event_source: str, partition: int, names: Names, shown: Callable[[Segment], dict[str, str]]
    ) -> None:
        self._events = CloudEvents(event_source, [*SCORE_ALERT.values()])
        self._partition, self._names, self._shown = partition, names, shown

    def output(self, happened: Happened) -> Output:
        """The record that says what happened."""
        state, rule, number, alert, at = happened
        metric, scale, segment = self._names.by_number[number]
        key = score_alert_key(rule.name, metric, scale, dict(segment))
        own = self._alert(happened, "s-" + blake2b(b"%s %d" % (key, alert.since), digest_size=16).hexdigest())
        kind = SCORE_ALERT[state]
        value, headers = self._events.event(kind, own.alert_id, alert.revision, rfc3339(at), codec.encode(own))
        return Output(topics.SCORE_ALERTS, self._partition, key, value, headers)

    def _alert(self, happened: Happened, alert_id: str) -> ScoreAlert:
        state, rule, number, alert, at = happened
        metric, scale, segment = self._names.by_number[number]
        score = statistics.score(rule.scale, alert.histogram)
        since = alert.since * HOUR
        return ScoreAlert(
            alert_id=alert_id,
            revision=alert.revision,
            rule=rule.name,
            kind=rule.kind,
            metric=metric,
            scale=scale,
            segment=self._shown(segment),
            n=sum(alert.histogram.values()),
            evidence=float(f"{alert.evidence:.4g}"),
            since=rfc3339_seconds(since),
            at=rfc3339_seconds(at),
            target=rule.target,
            reference=None if rule.kind == "target" else round(to_score(rule.scale, alert.level), 4),
            score=round(score.point, 4),
            low=round(score.low, 4),
            high=round(score.high, 4),
            lasted_s=(at - since) // SECOND if state == "resolved" else None,
        )
