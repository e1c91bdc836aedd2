"""All rules of one task: counts of open hours are collected, and judged once, when all of classify is past them."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple

from npsflow.schemas import codec
from npsflow.schemas.deltas import LATENESS
from npsflow.schemas.score_alert import State
from npsflow.schemas.times import HOUR
from npsflow.streams.scoring.scores import Scale
from npsflow.streams.scoring.segments import Name
from npsflow.streams.watching import evidence
from npsflow.streams.watching.rules import Rule
from npsflow.streams.watching.score_watch import Alert, ScoreState, ScoreWatch

_STATE, _OPEN, _CLOSED = b"watched:", b"open-hour:", b"closed-hours"
_LATENESS = LATENESS // HOUR
_WITHOUT_RANKS = 5  # entries of a meaning that does not hold yet what the scores mean


class Happened(NamedTuple):
    """What became of an alert; `segment` is a number, `at` in ms. The alert is as it stood then."""

    state: State
    rule: Rule
    segment: int
    alert: Alert
    at: int


class Watcher:
    """Segments are numbers; `know` says their names. `false_alarms_per_month` of all rules on the whole installation.

    In the changelog stand under `watched:SEGMENT:RULE` what a rule means and knows, under `open-hour:HOUR:SEGMENT`
    counts that are not judged yet, and under `closed-hours` the first hour that is still open.
    """

    def __init__(self, rules: Sequence[Rule], false_alarms_per_month: float) -> None:
        self._watches = {rule.name: ScoreWatch(rule) for rule in rules}
        self._budget = false_alarms_per_month
        self._names: dict[int, Name] = {}
        self._watched_by: dict[int, list[str]] = {}
        self._states: defaultdict[str, dict[int, ScoreState]] = defaultdict(dict)
        self._alerts: set[tuple[str, int]] = set()
        self._open: defaultdict[int, dict[int, dict[int, int]]] = defaultdict(dict)
        self._first_open = 0
        self._touched: set[tuple[bytes, int, int | str]] = set()
        self._stored: list[tuple[int, str, list[Any]]] = []
        self._ended: list[Happened] = []

    def know(self, segment: int, name: Name) -> None:
        """Look which rules watch a segment."""
        names = [rule for rule, watch in self._watches.items() if watch.rule.watches(name)]
        if names:
            self._watched_by[segment], self._names[segment] = names, name

    def watches(self, segment: int) -> bool:
        """Whether any rule does."""
        return segment in self._watched_by

    def count(self, segment: int, hour: int, score: int, count: int) -> None:
        """Collect answers of an hour (number since 1970) that is open; a negative count takes some back."""
        if hour < self._first_open:
            return
        histogram = self._open[hour].setdefault(segment, {})
        histogram[score] = histogram.get(score, 0) + count
        self._touched.add((_OPEN, segment, hour))

    def advance(self, hour: int) -> list[Happened]:
        """Judge all hours that are closed now: every task of classify has come to this hour."""
        happened: list[Happened] = []
        closed = hour - _LATENESS
        if closed <= self._first_open or not self._watched_by:
            return happened
        for each in range(self._first_open or min([closed, *self._open]), closed):
            if each % 24 == 0:
                happened += self._begin_day(each)
            if each in self._open:
                happened += self._judge(each, self._open.pop(each))
        self._first_open = closed
        self._touched.add((_CLOSED, 0, 0))
        return happened

    def take_ended(self) -> list[Happened]:
        """What ended with the settings, since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def _begin_day(self, hour: int) -> Iterator[Happened]:
        for rule, segment in sorted(self._alerts, key=self._place):
            state, watch = self._states[rule][segment], self._watches[rule]
            alert, became = state.alert, watch.begin_day(state, hour // 24)
            self._touched.add((_STATE, segment, rule))
            if became is None or alert is None:
                continue
            if became == "resolved":
                watch.end(state)
                self._alerts.discard((rule, segment))
            yield Happened(became, watch.rule, segment, copy(alert), hour * HOUR)

    def _judge(self, hour: int, counted: Mapping[int, Mapping[int, int]]) -> Iterator[Happened]:
        """Judge the answers of one hour, by segment."""
        self._touched.update((_OPEN, segment, hour) for segment in counted)
        answers = {segment: {s: n for s, n in counts.items() if n > 0} for segment, counts in counted.items()}
        judged = [
            (rule, segment) for segment, counts in answers.items() if counts for rule in self._watched_by[segment]
        ]
        for rule, segment in judged:
            self._states[rule].setdefault(segment, self._watches[rule].begin())
        for rule, segment in sorted(judged, key=self._place):
            state, watch = self._states[rule][segment], self._watches[rule]
            enough = evidence.threshold(len(self._states[rule]), len(self._watches), self._budget)
            became = watch.take(state, hour, answers[segment], enough)
            self._touched.add((_STATE, segment, rule))
            if became is not None and state.alert is not None:
                self._alerts.add((rule, segment))
                yield Happened(became, watch.rule, segment, copy(state.alert), (hour + 1) * HOUR)

    def _place(self, judged: tuple[str, int]) -> tuple[str, Name]:
        """The same order whatever numbers segments have."""
        return judged[0], self._names[judged[1]]

    # The changelog.

    def dump(self) -> list[tuple[bytes, bytes | None]]:
        """Records (key, value) of what changed since the last call; None deletes."""
        records = [self._record(*touched) for touched in sorted(self._touched, key=str)]
        self._touched.clear()
        return records

    def _record(self, kind: bytes, segment: int, of: int | str) -> tuple[bytes, bytes | None]:
        if kind == _CLOSED:
            return _CLOSED, codec.pack(self._first_open)
        if isinstance(of, int):
            counts = self._open.get(of, {}).get(segment)
            return b"%s%d:%d" % (_OPEN, of, segment), None if counts is None else codec.pack(counts)
        state = self._states[of].get(segment)
        stored = None if state is None else codec.pack([self._watches[of].rule.meaning, state])
        return b"%s%d:%s" % (_STATE, segment, of.encode()), stored

    def restore(self, key: bytes, value: bytes) -> bool:
        """Take back a record, in any order; False where it is not one of `dump`."""
        if key == _CLOSED:
            self._first_open = codec.unpack(value)
        elif key.startswith(_OPEN):
            hour, segment = map(int, key.removeprefix(_OPEN).split(b":"))
            self._open[hour][segment] = codec.unpack(value)
        elif key.startswith(_STATE):
            number, _, rule = key.removeprefix(_STATE).partition(b":")
            self._stored.append((int(number), rule.decode(), codec.unpack(value)))
        else:
            return False
        return True

    def restored(self, scale_of: Callable[[str, str], Scale | None]) -> None:
        """End the restoring, after all names are known. An alert of a rule that changed or is gone ends with it.

        `scale_of` gives the scale of a metric by its name.
        """
        for hour, counted in self._open.items():
            for segment in counted.keys() - self._watched_by.keys():
                del counted[segment]
                self._touched.add((_OPEN, segment, hour))
        for segment, name, (meaning, stored) in sorted(self._stored, key=lambda one: one[:2]):
            state = codec.convert(stored, ScoreState)
            if name in self._watched_by.get(segment, ()) and _is_same(meaning, self._watches[name].rule.meaning):
                self._states[name][segment] = state
                self._touched |= {(_STATE, segment, name)} if len(meaning) == _WITHOUT_RANKS else set()
                self._alerts |= {(name, segment)} if state.alert is not None else set()
            else:
                self._touched.add((_STATE, segment, name))
                self._end(segment, _rule(name, meaning, scale_of), state.alert)
        self._stored.clear()

    def _end(self, segment: int, rule: Rule | None, alert: Alert | None) -> None:
        if rule is not None and alert is not None:
            alert.revision += 1
            self._ended.append(Happened("resolved", rule, segment, alert, self._first_open * HOUR))


def _rule(name: str, meaning: list[Any], scale_of: Callable[[str, str], Scale | None]) -> Rule | None:
    """The rule that had this meaning; None where its scale is gone."""
    kind, metric, scale_name, segment, target, *ranks = meaning
    scale = scale_of(metric, scale_name)
    if scale is not None and ranks and tuple(ranks[0]) != scale.ranks:
        scale = replace(scale, ranks=tuple(ranks[0]))
    return None if scale is None else Rule(name, kind, scale, dict(segment), target)


def _is_same(stored: list[Any], meaning: list[object]) -> bool:
    """Whether a rule has the meaning that is stored of it."""
    return stored == (meaning[:_WITHOUT_RANKS] if len(stored) == _WITHOUT_RANKS else meaning)
