"""Rules over a whole task: alerts fire, are resolved and become unknown, once each, over restarts too."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import prod
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas import codec
from npsflow.schemas.times import HOUR
from npsflow.streams.scoring.scores import DEFAULT_SCALES, scale_of
from npsflow.streams.scoring.segments import Name
from npsflow.streams.watching.evidence import BETS
from npsflow.streams.watching.rules import Rule
from npsflow.streams.watching.watcher import Happened, Watcher

NPS = DEFAULT_SCALES["nps"]
WHOLE: Name = ("nps", "0-10", ())
A, B = (("nps", "0-10", (("channel", value),)) for value in "ab")
TARGET = Rule("target", "target", NPS, {}, 30.0)
EACH = Rule("each", "target", NPS, {"channel": None}, 30.0)
ONE = Rule("one", "drop", NPS, {"channel": "a"})
START = 20_000 * 24  # an hour: the first of a day

Counts = dict[int, int]


class Watched:
    """A watcher and its changelog."""

    def __init__(self, *rules: Rule, allowed: float = 1.0, names: Sequence[Name] = (WHOLE, A, B)) -> None:
        self.rules, self.allowed, self.names = rules, allowed, names
        self.state: dict[bytes, bytes] = {}
        self.happened: list[Happened] = []
        self.restart()

    def restart(self) -> None:
        self.watcher = Watcher(self.rules, self.allowed)
        for number, name in enumerate(self.names):
            self.watcher.know(number, name)
        for key, value in reversed(self.state.items()):
            assert self.watcher.restore(key, value)
        self.watcher.restored(lambda metric, _: DEFAULT_SCALES[metric])  # type: ignore[index]
        self.happened += self.watcher.take_ended()

    def commit(self) -> None:
        for key, value in self.watcher.dump():
            self.state.pop(key, None)
            if value is not None:
                self.state[key] = value

    def hour(self, hour: int, counts: Counts, segment: int = 0) -> list[Happened]:
        """Count these answers; then all tasks come to two hours later."""
        for score, n in counts.items():
            if self.watcher.watches(segment):
                self.watcher.count(segment, hour, score, n)
        found = self.watcher.advance(hour + 2)
        self.happened += found
        return found

    def days(self, days: Iterable[int], counts: Counts, segment: int = 0) -> list[str]:
        """The same counts at noon of these days since START, then midnight; what happened."""
        hours = [(START + 24 * d + hour, given) for d in days for hour, given in ((12, counts), (24, {}))]
        return [one.state for hour, given in hours for one in self.hour(hour, given, segment)]


def test_a_target_that_is_missed_fires_once_and_is_resolved_after_three_good_days() -> None:
    watched = Watched(TARGET)
    assert watched.days(range(10), {10: 5, 0: 2, 8: 3}) == []  # exactly at the target
    assert watched.days(range(10, 20), {10: 2, 0: 5, 8: 3}) == ["fired"]
    fired = watched.happened[0]
    assert (fired.rule, fired.segment) == (TARGET, 0)
    assert fired.alert.since == START + 10 * 24 + 12
    assert fired.alert.evidence >= 720
    good = watched.days(range(20, 40), {10: 9, 8: 1})
    assert good == ["resolved"]
    assert watched.happened[1].alert.revision == 2
    assert watched.days(range(40, 60), {10: 9, 8: 1}) == []


def test_it_takes_as_much_to_fire_again() -> None:
    watched = Watched(TARGET)
    bad, good = {10: 2, 0: 5, 8: 3}, {10: 9, 8: 1}
    first = watched.days(range(10), bad)
    began = watched.happened[0].at
    watched.days(range(10, 30), good)
    watched.days(range(30, 60), bad)
    assert first == ["fired"]
    assert [one.state for one in watched.happened] == ["fired", "resolved", "fired"]
    again = watched.happened[2]
    assert again.at // HOUR - again.alert.since >= began // HOUR - (START + 12)
    assert again.alert.since >= START + 30 * 24


def test_no_answers_are_unknown_once_and_no_resolution() -> None:
    watched = Watched(TARGET)
    watched.days(range(0, 20, 2), {0: 50})
    quiet = watched.days(range(20, 60), {})
    assert [one.state for one in watched.happened] == ["fired", "unknown"]
    assert quiet == ["unknown"]
    (last,) = watched.happened[1:]
    assert last.at // HOUR == START + 24 * (18 + 1 + 10)  # five times two days after the last day with answers
    assert watched.days(range(60, 62), {0: 1}) == []
    assert watched.days(range(62, 90), {10: 50}) == ["resolved"]
    assert watched.happened[-1].alert.revision == 3


def test_a_drop_is_measured_against_four_weeks_that_ended_a_day_before() -> None:
    watched = Watched(ONE)
    usual, lower = {10: 30, 8: 30, 0: 20}, {10: 20, 8: 30, 0: 30}
    assert watched.days(range(40), usual, 1) == []
    assert watched.days(range(40, 60), lower, 1)[:1] == ["fired"]
    alert = watched.happened[0].alert
    day = watched.happened[0].at // HOUR // 24 - 20_000
    past = [30 - 20] * max(0, 40 - (day - 29)) + [20 - 30] * max(0, day - 1 - 40)
    assert alert.level == pytest.approx(sum(past) / (80 * len(past)) - 0.05)
    assert watched.days(range(60, 120), lower, 1) == ["resolved"]  # it is the usual by then


def test_a_drop_needs_a_past() -> None:
    watched = Watched(ONE)
    assert watched.days(range(3), {10: 9}, 1) + watched.days(range(3, 4), {0: 500}, 1) == []


def test_a_drop_is_resolved_though_few_answers_came_since() -> None:
    """Where four weeks are no past any more, the level stands that was missed."""
    watched = Watched(ONE)
    watched.days(range(40), {10: 30, 8: 30, 0: 20}, 1)
    assert watched.days(range(40, 44), {0: 80}, 1) == ["fired"]
    assert watched.days(range(44, 75), {}, 1) == ["unknown"]
    assert watched.days(range(75, 77), {0: 1}, 1) == []
    assert watched.days(range(77, 140), {10: 1}, 1) == ["resolved"]


def test_answers_that_stop_again_are_unknown_again() -> None:
    watched = Watched(TARGET)
    watched.days(range(5), {0: 50})
    for began in (5, 68, 131):
        watched.commit()
        watched.restart()
        assert watched.days(range(began, began + 43), {}) == ["unknown"]
        assert watched.days(range(began + 43, began + 63), {0: 5}) == []
    assert [one.alert.revision for one in watched.happened] == [1, 2, 3, 4]
    assert len({one.alert.since for one in watched.happened}) == 1


def test_each_answer_is_used_once_and_those_of_a_closed_hour_never() -> None:
    watched = Watched(TARGET)
    watched.hour(START, {0: 1})
    watched.commit()
    known = watched.state[b"watched:0:target"]
    watched.watcher.count(0, START, 0, 500)
    assert watched.watcher.advance(START + 50) == []
    watched.commit()
    assert watched.state[b"watched:0:target"] == known


def test_values_of_a_dimension_are_watched_each_and_share_what_is_allowed() -> None:
    watched = Watched(EACH, ONE)
    for day in range(4):
        for segment in (1, 2):
            watched.hour(START + 24 * day + segment, {0: 20} if segment == 2 else {10: 5}, segment)
    (fired,) = watched.happened
    assert (fired.rule, fired.segment) == (EACH, 2)
    assert fired.alert.evidence >= 720 * 2 * 2


def test_what_is_not_of_the_rule_is_not_watched() -> None:
    watcher = Watcher([EACH, ONE], 1.0)
    channel, tier = (("channel", "a"),), (("tier", "a"),)
    others: list[Name] = [("csat", "1-5", channel), ("nps", "0-5", channel), WHOLE]
    others += [("nps", "0-10", tier), ("nps", "0-10", (*channel, *tier))]
    for number, name in enumerate([*others, A]):
        watcher.know(number, name)
    assert [number for number in range(6) if watcher.watches(number)] == [5]


def test_an_alert_ends_with_its_rule() -> None:
    watched = Watched(TARGET, EACH)
    watched.days(range(9), {0: 50})
    watched.commit()
    watched.rules = (Rule("target", "target", NPS, {}, 40.0), EACH)
    watched.restart()
    assert [one.state for one in watched.happened] == ["fired", "resolved"]
    assert watched.happened[1].rule == TARGET
    watched.commit()
    watched.restart()
    assert len(watched.happened) == 2
    assert watched.days(range(10, 20), {0: 50}) == ["fired"]


def test_an_alert_ends_when_scores_come_to_mean_something_else() -> None:
    watched = Watched(TARGET)
    watched.days(range(9), {0: 50})
    watched.commit()
    turned = scale_of("nps", 0, 10, range(9, 11), (7, 8))
    watched.rules = (Rule("target", "target", turned, {}, 30.0),)
    watched.restart()
    assert [one.state for one in watched.happened] == ["fired", "resolved"]
    assert watched.happened[1].rule.scale.ranks == NPS.ranks  # the alert is described as it was
    assert watched.days(range(10, 30), {0: 50}) == []


def test_what_an_older_version_stored_goes_on() -> None:
    """It did not store what scores mean; from now on that is compared."""
    watched = Watched(TARGET)
    watched.days(range(9), {0: 50})
    watched.commit()
    key = b"watched:0:target"
    meaning, state = codec.unpack(watched.state[key])
    watched.state[key] = codec.pack([meaning[:5], state])
    watched.restart()
    watched.commit()
    assert codec.unpack(watched.state[key]) == [meaning, state]
    watched.state[key] = codec.pack([meaning[:5], state])
    watched.rules = (Rule("target", "target", NPS, {}, 40.0),)
    watched.restart()
    assert [one.state for one in watched.happened] == ["fired", "resolved"]


steps = st.lists(
    st.tuples(
        st.integers(0, 3),  # segment
        st.integers(0, 300),  # hours since the start
        st.sampled_from([0, 3, 6, 7, 8, 9, 10]),
        st.integers(1, 30),
    ),
    min_size=1,
    max_size=40,
)


def brute_force(answers: Sequence[tuple[int, int, int, int]], allowed: float) -> list[tuple[int, int]]:
    """(hour, segment) of the first alert of each segment under EACH, from the definition alone."""
    found = list[tuple[int, int]]()
    counts: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for segment, hour, score, n in answers:
        if segment in (1, 2):
            counts[hour][segment] += [score] * n
    hours: dict[int, list[list[int]]] = defaultdict(list)
    for hour in sorted(counts):
        for segment in counts[hour]:
            hours[segment].append(counts[hour][segment])
        for segment in counts[hour]:
            worth = [
                [prod(1 + bet * (0.3 - ((s > 8) - (s < 7))) for s in scores) for scores in hours[segment]]
                for bet in BETS
            ]
            sums = [sum(prod(of[begin:]) for begin in range(len(of))) for of in worth]
            if sum(sums) / len(BETS) >= 720 * len(hours) / allowed and segment not in {s for _, s in found}:
                found.append((hour, segment))
    return found


@given(steps, st.sampled_from([1.0, 50.0, 700.0]), st.randoms(use_true_random=False))
def test_alerts_are_those_of_the_definition_in_any_order_and_over_restarts(
    answers: list[tuple[int, int, int, int]], allowed: float, random: Random
) -> None:
    expected = brute_force(answers, allowed)
    for _ in range(2):
        watched = Watched(EACH, allowed=allowed)
        left = sorted(answers, key=lambda one: one[1] + random.choice([0, 1]))  # an hour late at most
        for segment, hour, score, n in left:
            watched.happened += watched.watcher.advance(START + hour)
            if watched.watcher.watches(segment):
                watched.watcher.count(segment, START + hour, score, n)
            if random.random() < 0.3:
                watched.commit()
                watched.restart()
        watched.happened += watched.watcher.advance(START + 400)
        first = dict[int, Happened]()
        for one in watched.happened:
            first.setdefault(one.segment, one)
        assert [(one.at // HOUR - 1 - START, one.segment) for one in first.values()] == expected
        assert all(one.state == "fired" for one in first.values())


def test_the_changelog_holds_what_is_open_and_what_is_known_and_no_more() -> None:
    watched = Watched(EACH, ONE)
    watched.hour(START, {9: 1}, 1)
    watched.watcher.count(1, START + 5, 9, 1)
    watched.commit()
    assert sorted(watched.state) == [b"closed-hours", b"open-hour:480005:1", b"watched:1:each", b"watched:1:one"]
    watched.restart()
    watched.hour(START + 6, {}, 1)
    watched.commit()
    assert sorted(watched.state) == [b"closed-hours", b"watched:1:each", b"watched:1:one"]
