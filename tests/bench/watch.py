"""`watch`: the alerts about scores, simulated: false ones, how late true ones come, and how often they come and go.

Everything is seeded. What answers are worth is taken from the product; sums of evidence are kept in plain floats.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from math import exp, inf, lgamma, log, sqrt
from random import Random
from typing import NamedTuple

from npsflow.schemas.times import HOUR
from npsflow.streams.engine.installation import Installation
from npsflow.streams.scoring import statistics
from npsflow.streams.scoring.levels import answer_level
from npsflow.streams.scoring.scores import DEFAULT_SCALES
from npsflow.streams.watching import evidence
from npsflow.streams.watching.rules import Rule
from npsflow.streams.watching.watcher import Watcher
from tests.bench.common import report, say, scaled

_NPS = DEFAULT_SCALES["nps"]
_TARGET = 0.3
_SEED = 17
_HOURS = scaled(2_400_000)  # of one segment after the other, of each mix
_EASY = 1e3  # a segment and 0.7 false alarms a month: low, so that they can be counted
_USUAL = 1e5  # 139 segments and a false alarm a month
_TRIALS = scaled(200)
_MOST_HOURS = 24 * 730
_SEGMENTS, _MONTHS = 100, max(4, scaled(12))

Mix = tuple[float, float, float]
"""Shares of promoters, passives and detractors."""
Hour = tuple[int, int, int]
"""Promoters, passives and detractors of one hour."""


def mix(mean: float, passives: float = 0.25) -> Mix:
    return (1 - passives + mean) / 2, passives, (1 - passives - mean) / 2


class Source:
    """Hours of answers at a rate (answers an hour), each with what it is worth; `alike`: answers of one customer."""

    def __init__(self, rate: float, of: Mix, alike: tuple[int, ...] = (1,)) -> None:
        self.of = of
        weights: dict[Hour, float] = {(0, 0, 0): 1.0}
        for answer in range(3):  # counts of each answer are Poisson, and so are those of each number of answers alike
            for times in alike:
                weights = _with(weights, answer, times, rate * of[answer] / sum(alike))
        self.hours = list(weights)
        self.cumulated = [*_cumulated(weights.values())]
        self.worth = {hour: _worth(hour) for hour in self.hours}

    def draw(self, random: Random, count: int) -> list[Hour]:
        return random.choices(self.hours, cum_weights=self.cumulated, k=count)


def _with(weights: dict[Hour, float], answer: int, times: int, mean: float) -> dict[Hour, float]:
    """The same with a Poisson number of customers who give this answer so many times."""
    found: dict[Hour, float] = {}
    for hour, weight in weights.items():
        for n in range(int(mean + 8 * sqrt(mean) + 10)):
            p = weight * (exp(n * log(mean) - mean - lgamma(n + 1)) if mean else float(n == 0))
            if p > 1e-12:
                key = tuple(c + n * times if at == answer else c for at, c in enumerate(hour))
                found[key] = found.get(key, 0.0) + p  # type: ignore[index, arg-type]
    return found


def _cumulated(weights: Iterable[float]) -> Iterator[float]:
    total = 0.0
    for weight in weights:
        total += weight
        yield total


def counts(hour: Hour) -> dict[int, int]:
    return {score: n for score, n in zip((10, 8, 0), hour, strict=True) if n}


def _worth(hour: Hour) -> tuple[float, ...]:
    return tuple(map(exp, evidence.worth(counts(hour), answer_level(_NPS), _TARGET)))


class Detector:
    """Evidence in plain floats; `take` gives whether it reaches the threshold, and begins again then."""

    def __init__(self, threshold: float) -> None:
        self.most = threshold * len(evidence.BETS)
        self.of = [0.0] * len(evidence.BETS)

    def take(self, worth: tuple[float, ...]) -> bool:
        a, b, c, d, e = self.of
        v, w, x, y, z = worth
        self.of = of = [(1 + a) * v, (1 + b) * w, (1 + c) * x, (1 + d) * y, (1 + e) * z]
        if sum(of) < self.most:
            return False
        self.of = [0.0] * len(of)
        return True


def run(_: Installation) -> None:
    _false_alarms()
    _delays()
    _flaps()


# (a) At the target.


def _false_alarms() -> None:
    rate = 2.0
    typical, swings = mix(_TARGET), (0.05, -0.05, 0.025, -0.025, 0.0, 0.05, -0.05)
    null: dict[str, list[Source]] = {
        "least variance": [Source(rate, mix(_TARGET, 0.65))],
        "typical variance": [Source(rate, typical)],
        "greatest variance": [Source(rate, mix(_TARGET, 0.0))],
        "weekdays 5 above and below": [Source(rate, mix(_TARGET + swing)) for swing in swings],
        "customers answer up to three times alike": [Source(rate, typical, (1, 2, 3))],
    }
    for name, sources in null.items():
        say(f"watch: {_HOURS:,} hours, {name}")
        panes, alarms = _counted(sources, Random(f"{_SEED} {name}"))
        budget = panes / _EASY
        report(
            "watch false alarms",
            upper(alarms) / budget,
            "x budget",
            1.0,
            mix=name,
            panes=panes,
            alarms=alarms,
            budget=budget,
            upper_95=upper(alarms),
        )


def _counted(sources: Sequence[Source], random: Random) -> tuple[int, int]:
    """Hours with answers, and false alarms."""
    detector, panes, alarms, hours, day = Detector(_EASY), 0, 0, 0, 0
    length = 24 if len(sources) > 1 else 24_000
    while hours < _HOURS:
        source = sources[day % len(sources)]
        for hour in source.draw(random, length):
            if any(hour):
                panes += 1
                alarms += detector.take(source.worth[hour])
        hours, day = hours + length, day + 1
    return panes, alarms


def upper(count: int) -> float:
    """The one-sided 95% bound of the mean of a Poisson count."""
    low, high = float(count), count + 10 * sqrt(count + 1) + 10
    for _ in range(60):
        middle = (low + high) / 2
        below = sum(exp(n * log(middle) - middle - lgamma(n + 1)) for n in range(count + 1)) if middle else 1.0
        low, high = (middle, high) if below > 0.05 else (low, middle)
    return high


# (b) Below it.


class Found(NamedTuple):
    """How long it took after the change."""

    answers: float
    hours: float


def _delays() -> None:
    for a_day in (10, 50, 500):
        for points in (5, 10, 20, 40):
            say(f"watch: {_TRIALS} drops of {points} points, {a_day} answers a day")
            before, after = (Source(a_day / 24, mix(_TARGET - drop)) for drop in (0.0, points / 100))
            random = Random(f"{_SEED} {a_day} {points}")
            both = [_one_drop(before, after, random) for _ in range(_TRIALS)]
            ours, known = ([pair[at] for pair in both] for at in (0, 1))
            report(
                "watch delay",
                _mean([one.answers for one in ours]) / _mean([one.answers for one in known]),
                "x oracle",
                1.4 if points >= 10 else None,
                points=points,
                a_day=a_day,
                mean_answers=_mean([one.answers for one in ours]),
                mean_hours=_mean([one.hours for one in ours]),
                p95_hours=sorted(one.hours for one in ours)[int(0.95 * len(ours))],
                oracle_answers=_mean([one.answers for one in known]),
                in_7_days=sum(one.hours <= 7 * 24 for one in ours) / len(ours),
                not_found=sum(one.hours >= _MOST_HOURS for one in ours),
            )


def _one_drop(before: Source, after: Source, random: Random) -> tuple[Found, Found]:
    """What the detector takes, and a CUSUM that knows both mixes, with the same threshold and in the same hours."""
    ratios = [log(q / p) for p, q in zip(before.of, after.of, strict=True)]
    detector, cusum = Detector(_USUAL), 0.0
    for hour in before.draw(random, random.randrange(24 * 7, 24 * 35)):
        if any(hour):
            detector.take(before.worth[hour])
            cusum = max(0.0, cusum + _ratio(hour, ratios))
            cusum = 0.0 if cusum >= log(_USUAL) else cusum
    ours = known = Found(inf, inf)
    hours = answers = 0
    while hours < _MOST_HOURS and inf in (ours.hours, known.hours):
        for hour in after.draw(random, 24):
            hours, answers = hours + 1, answers + sum(hour)
            cusum = max(0.0, cusum + _ratio(hour, ratios))
            if ours.hours == inf and any(hour) and detector.take(after.worth[hour]):
                ours = Found(answers, hours)
            if known.hours == inf and cusum >= log(_USUAL):
                known = Found(answers, hours)
    late = Found(answers, _MOST_HOURS)
    return min(ours, late), min(known, late)


def _ratio(hour: Hour, ratios: Sequence[float]) -> float:
    return sum(n * ratio for n, ratio in zip(hour, ratios, strict=True))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


# (c) How often alerts come and go at the target.


def _flaps() -> None:
    say(f"watch: {_SEGMENTS} segments at their target for {_MONTHS} months, 50 answers a day")
    source, random = Source(50 / 24, mix(_TARGET)), Random(f"{_SEED} flaps")
    data = [[source.draw(random, 24) for _ in range(30 * _MONTHS)] for _ in range(_SEGMENTS)]
    naive = {
        rule.__name__.strip("_"): sum(_pairs(rule, [_day(day) for day in days]) for days in data) / _MONTHS
        for rule in (_interval, _three_days, _last_week)
    }
    ours, same = _resolved(data, restart=False), _resolved(data, restart=True)
    best = min(naive.values())
    fired = sum(line[0] == "fired" for line in ours) / _MONTHS
    report(
        "watch flaps",
        sum(line[0] == "resolved" for line in ours) / _MONTHS / best,
        "x best naive rule",
        0.1,
        segments=_SEGMENTS,
        fired_a_month=fired,
        **{f"{name}_a_month": count for name, count in naive.items()},
    )
    report("watch replay", float(ours == same), "equal", 1.0, events=len(ours))


def _resolved(data: Sequence[Sequence[Sequence[Hour]]], restart: bool) -> list[tuple[str, int, int, float]]:
    """State, segment, time and evidence of all that the product says of it, where a false alarm a month is allowed."""
    rule, begin = Rule("each", "target", _NPS, {"channel": None}, 100 * _TARGET), 20_000 * 24
    state: dict[bytes, bytes] = {}

    def restored() -> Watcher:
        watcher = Watcher([rule], 1.0)
        for segment in range(len(data)):
            watcher.know(segment, ("nps", "0-10", (("channel", f"{segment:04}"),)))
        for key, value in state.items():
            watcher.restore(key, value)
        watcher.restored(lambda *_: _NPS)
        return watcher

    found, watcher = list[tuple[str, int, int, float]](), restored()
    for hour in range(len(data[0]) * 24):
        for segment, days in enumerate(data):
            for score, n in counts(days[hour // 24][hour % 24]).items():
                watcher.count(segment, begin + hour, score, n)
        said = watcher.advance(begin + hour + 1)
        found += [(one.state, one.segment, one.at // HOUR, one.alert.evidence) for one in said]
        for key, value in watcher.dump() if restart else ():
            state.pop(key, None)
            if value is not None:
                state[key] = value
        if restart and hour % 1000 == 999:
            watcher = restored()
    return found


def _day(hours: Sequence[Hour]) -> Hour:
    promoters, passives, detractors = map(sum, zip(*hours, strict=True))
    return promoters, passives, detractors


def _pairs(below: Callable[[Sequence[Hour]], bool], days: Sequence[Hour]) -> int:
    """How often a rule that looks once a day begins to say that the score is down, and takes it back."""
    states = [below(days[: day + 1]) for day in range(77, len(days))]
    return sum(was and not now for was, now in zip(states, islice(states, 1, None), strict=False))


def _interval(days: Sequence[Hour]) -> bool:
    """The 95% interval of the last week excludes the target."""
    return statistics.net(*_day(days[-7:])).high < 100 * _TARGET


def _three_days(days: Sequence[Hour]) -> bool:
    """Each of the last three days is below the target."""
    return all(statistics.net(*day).point < 100 * _TARGET for day in days[-3:])


def _last_week(days: Sequence[Hour]) -> bool:
    """The last week is significantly below the ten before it."""
    ((mean, variance), (usual, of_usual)) = (_moments(_day(part)) for part in (days[-7:], days[-77:-7]))
    return (mean - usual) / sqrt(variance + of_usual) < -statistics.Z


def _moments(day: Hour) -> tuple[float, float]:
    """Mean, and the variance of the mean, adjusted as the interval of NPS is."""
    n = sum(day) + 3
    p, d = (day[0] + 0.75) / n, (day[2] + 0.75) / n
    return p - d, (p + d - (p - d) ** 2) / n
