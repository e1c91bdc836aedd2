"""One rule about the score of one segment, a target or a drop: hours with answers in, what becomes of the alert out."""

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from npsflow.schemas.score_alert import State
from npsflow.streams.scoring.levels import answer_level, to_level
from npsflow.streams.watching import evidence
from npsflow.streams.watching.rules import Rule

_EVIDENT_EMPLOYEES = 5  # as for windows: below that one could tell what each of them said
_PAST, _PAUSE = 28, 1  # days that a drop is measured against; days between them and the day that is judged
_FEWEST = 30  # answers that make a past
_LOOK_DAYS, _LOOK_ANSWERS = 7, 50
_LOOKS = 3
_GAPS = 5


class Alert(Struct, array_like=True):
    """An alert that stands: `since` is an hour (number since 1970), `level` was missed, `looks` were good in a row."""

    since: int
    evidence: float
    level: float
    histogram: dict[int, int]
    revision: int = 1
    looks: int = 0
    unknown: bool = False


class ScoreState(Struct, array_like=True):
    """What a rule knows of a segment. `since` and `histogram`: answers since the likeliest hour of a change.

    `days` maps a day (number since 1970) to its answers and the sum of their levels.
    """

    evidence: list[float]
    cusum: float = 0.0
    since: int = 0
    histogram: dict[int, int] = {}
    days: dict[int, tuple[int, float]] = {}
    first_day: int = 0
    answered_days: int = 0
    alert: Alert | None = None


class ScoreWatch:
    """How a rule judges: all segments under it share this, each has its own state."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._level_of = answer_level(rule.scale)
        self._target = None if rule.target is None else to_level(rule.scale, rule.target)
        self._fewest = _EVIDENT_EMPLOYEES if rule.scale.metric == "enps" else 1

    def begin(self) -> ScoreState:
        """What is known at first."""
        return ScoreState([0.0] * len(evidence.BETS))

    def begin_day(self, state: ScoreState, day: int) -> State | None:
        """Look at an alert that stands, once each day, before the answers of that day."""
        if state.alert is None or not state.days:
            return None
        last = max(state.days)
        if last == day - 1:
            return self._look(state, state.alert, day)
        usual = max(1.0, (last - state.first_day) / max(1, state.answered_days - 1))
        if state.alert.unknown or day - 1 - last < _GAPS * usual:
            return None
        state.alert.unknown = True
        state.alert.revision += 1
        return "unknown"

    def _look(self, state: ScoreState, alert: Alert, day: int) -> State | None:
        """Resolved when the score of the last days was good at three looks in a row, each after a day with answers.

        Where so few answered that there is no past to hold it against, what was missed still has to be reached.
        """
        level = self._level(state, day)
        alert.looks = alert.looks + 1 if _recent(state.days, day) >= (alert.level if level is None else level) else 0
        if alert.looks < _LOOKS:
            return None
        alert.revision += 1
        return "resolved"

    def end(self, state: ScoreState) -> None:
        """After `resolved`: evidence begins at 0, so that the next alert takes as much as this one did."""
        state.alert, state.evidence = None, [0.0] * len(evidence.BETS)
        state.cusum, state.histogram = 0.0, {}

    def take(self, state: ScoreState, hour: int, counts: Mapping[int, int], threshold: float) -> State | None:
        """Take the answers of a closed hour, each only once and in the order of hours."""
        level = self._level(state, hour // 24)
        self._note_day(state, hour // 24, counts)
        if state.alert is not None:
            state.alert.histogram, state.alert.unknown = _sum(state.alert.histogram, counts), False
            return None
        if level is None:
            return None
        worths = evidence.worth(counts, self._level_of, level)
        state.cusum = evidence.changed(state.cusum, worths)
        if not state.histogram:
            state.since = hour
        state.histogram = _sum(state.histogram, counts) if state.cusum else {}
        state.evidence = evidence.grown(state.evidence, worths)
        if evidence.total(state.evidence) < threshold:
            return None
        return self._fire(state, hour, counts, level)

    def _fire(self, state: ScoreState, hour: int, counts: Mapping[int, int], level: float) -> State | None:
        histogram = state.histogram or dict(counts)
        if sum(histogram.values()) < self._fewest:
            return None
        since = state.since if state.histogram else hour
        state.alert = Alert(since, evidence.total(state.evidence), level, histogram)
        return "fired"

    def _level(self, state: ScoreState, day: int) -> float | None:
        """What the score of this day is held against, known before it begins; None while nothing is."""
        if self._target is not None:
            return self._target
        past = [state.days[d] for d in range(day - _PAUSE - _PAST, day - _PAUSE) if d in state.days]
        n = sum(n for n, _ in past)
        return sum(total for _, total in past) / n - self.rule.margin if n >= _FEWEST else None

    def _note_day(self, state: ScoreState, day: int, counts: Mapping[int, int]) -> None:
        if day not in state.days:
            state.first_day = state.first_day or day
            state.answered_days += 1
            state.days = _kept(state.days, day)
        n, total = state.days.get(day, (0, 0.0))
        more = sum(count * self._level_of(score) for score, count in sorted(counts.items()))
        state.days[day] = n + sum(counts.values()), total + more


def _sum(histogram: Mapping[int, int], counts: Mapping[int, int]) -> dict[int, int]:
    return dict(sorted((Counter(histogram) + Counter(counts)).items()))


def _recent(days: Mapping[int, tuple[int, float]], day: int) -> float:
    """The level of the last seven days before this one, or of as many more as fifty answers take."""
    n, total = 0, 0.0
    for before in sorted((d for d in days if d < day), reverse=True):
        if before < day - _LOOK_DAYS and n >= _LOOK_ANSWERS:
            break
        n, total = n + days[before][0], total + days[before][1]
    return total / n


def _kept(days: Mapping[int, tuple[int, float]], today: int) -> dict[int, tuple[int, float]]:
    """Those that a past or a look can still need."""
    n, kept = 0, dict[int, tuple[int, float]]()
    for day in sorted(days, reverse=True):
        if day < today - _PAST - _PAUSE and n >= _LOOK_ANSWERS:
            break
        n, kept[day] = n + days[day][0], days[day]
    return dict(sorted(kept.items()))
