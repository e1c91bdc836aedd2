"""What must come out, recomputed in plain Python from the log of the input topic alone.

In: the records of the topic. Out: `Expected`, with outcomes, dead letters, windows, alerts and follow-ups; and the
differences between that and what was read from the output topics. It imports nothing of the product, keeps everything
in memory and is written to be obviously right rather than fast.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import blake2b
from math import atan, cos, inf, pi, sin, sqrt
from statistics import NormalDist
from typing import Any, NamedTuple, NoReturn

Fields = dict[str, Any]
Origin = tuple[int, int, int]  # append time, partition, offset
Segment = tuple[tuple[str, str], ...]
WindowKey = tuple[str, str, Segment, str]  # metric, scale, segment, window

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
HORIZON = 35 * DAY
WINDOWS = {"1h": (HOUR, 5 * MINUTE), "24h": (DAY, HOUR), "7d": (7 * DAY, HOUR), "30d": (30 * DAY, DAY)}
DIMENSIONS = ("survey_id", "survey_kind", "channel", "journey_stage", "department", "product", "tier")
ORIGIN_HEADER = "npsflow_origin"
Z = 1.959964

_MAX_DEPTH = 1024
_SCALES = {"nps": (0, 10), "enps": (0, 10), "csat": (1, 5), "csat_overall": (1, 5), "ces": (1, 7)}
_UNHAPPY_UP_TO = {"nps": 6, "enps": 6, "csat": 2, "csat_overall": 2, "ces": 3}
_NEUTRAL_UP_TO = {"nps": 8, "enps": 8, "csat": 3, "csat_overall": 3, "ces": 4}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_SHORT = ("survey_kind", "channel", "journey_stage", "touchpoint", "department", "team", "agent_id", "product")
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(_SHORT, str),
    **dict.fromkeys(("comment", "language", "question", "survey_name", "survey_version"), str),
    **dict.fromkeys(("response_url", "invitation_id"), str),
    **dict.fromkeys(("contact_requested", "test", "internal"), bool),
    **dict.fromkeys(("customer", "attributes", "reference"), dict),
    "answers": list,
}
_CUSTOMER_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("id", "account_id", "tier", "renews_at", "primary_contact", "name", "email", "phone"), str),
    "value": (int, float),
    "contact_allowed": bool,
}
_NOT_IN_EVENTS = ("updated_at", "question", "survey_version", "invitation_id", "scale", "test", "internal")
_NOT_IN_EVENTS_OF_CUSTOMER = ("name", "email", "phone")


class Record(NamedTuple):
    """One record of the input topic, as it stands in the log."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Event(NamedTuple):
    """One event read from an output topic: its `ce_type`, its key, its value."""

    type: str
    key: bytes | None
    value: Mapping[str, Any]


class Step(NamedTuple):
    """One event in the life of an alert or follow-up; `cause` only of a retraction."""

    type: str
    key: str
    cause: str = ""


@dataclass
class Case:
    """An alert or a follow-up: its steps so far (the revision is their number) and whether it stands."""

    steps: list[Step] = field(default_factory=list)
    live: bool = False
    identity: tuple[str, int, str] = ("", 0, "")  # metric, category, key
    content: Fields = field(default_factory=dict)  # of the response when it last took a step


@dataclass
class Expected:
    """What must come out. A forwarded record counts as forwarded, and its copy as what it becomes."""

    read: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    dead: dict[str, set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))
    forwarded: set[Origin] = field(default_factory=set)
    copies: Counter[Origin] = field(default_factory=Counter)
    windows: dict[WindowKey, Fields] = field(default_factory=dict)
    alerts: dict[str, Case] = field(default_factory=dict)
    follow_ups: dict[str, Case] = field(default_factory=dict)

    @property
    def raised(self) -> set[str]:
        """The ids of all alerts ever raised."""
        return set(self.alerts)


@dataclass
class _Version:
    """A valid record: one version of a response."""

    identity: str
    order: tuple[int, int, int, int]
    submitted: int  # of a deletion: the append time, until it is known what it deletes
    content: Fields

    @property
    def deleted(self) -> bool:
        return "deleted" in self.content

    @property
    def counts(self) -> bool:
        return not (self.deleted or self.content.get("test") or self.content.get("internal"))


@dataclass
class _Task:
    """One partition: its stream time and what stands in it, with alert and follow-up."""

    stream_time: float = -inf
    standing: dict[str, tuple[_Version, Case, Case]] = field(default_factory=dict)


class _DeadError(Exception):
    """The record is a dead letter; the reason is the only argument."""


def expect(records: Iterable[Record], *, partitions: int = 4) -> Expected:
    """Recompute everything from the log, which may hold records forwarded by the product: those are skipped.

    A record with a wrong key is taken as read by the task that owns it at its own append time.
    """
    expected = Expected()
    queues: list[list[tuple[int, int, int, _Version]]] = [[] for _ in range(partitions)]
    for record in records:
        expected.read += 1
        origin = dict(record.headers).get(ORIGIN_HEADER)
        if origin is not None:
            time, partition, offset = map(int, origin.split())
            expected.copies[time, partition, offset] += 1
            continue
        try:
            version = _read(record)
        except _DeadError as error:
            _bury(expected, str(error), record.partition, record.offset)
            continue
        key, task = version.identity.encode(), record.partition
        if record.key != key:
            expected.outcomes["forwarded"] += 1
            expected.forwarded.add((record.timestamp, record.partition, record.offset))
            task = (murmur2(key) & 0x7FFFFFFF) % partitions
        queues[task].append((record.timestamp, record.offset, record.partition, version))
    tasks = [_Task() for _ in queues]
    for task_state, queue in zip(tasks, queues, strict=True):
        for _, offset, partition, version in sorted(queue, key=lambda entry: entry[:3]):
            _fold(expected, task_state, version, partition, offset)
    standing = [version for task_state in tasks for version, _, _ in task_state.standing.values()]
    expected.windows = _windows(standing, max((task_state.stream_time for task_state in tasks), default=-inf))
    return expected


# Reading one record


def _read(record: Record) -> _Version:
    """Give the version that the record holds; raises _DeadError."""
    fields = _decode(record.value)
    identity = f"{_identifier(fields, 'source')}/{_identifier(fields, 'response_id')}"
    origin = (record.timestamp, record.partition, record.offset)
    if fields.get("deleted") is True:
        updated: int = record.timestamp
        content: Fields = {"deleted": True}
        if fields.get("updated_at") is not None:
            updated = _not_ahead(_milliseconds(fields["updated_at"]), record)
            content["updated_at"] = updated
        return _Version(identity, (updated, *origin), record.timestamp, content)
    content = _response(fields, record)
    submitted: int = content["submitted_at"]
    updated = content.get("updated_at", submitted)
    return _Version(identity, (updated, *origin), submitted, content)


def _decode(value: bytes | None) -> Fields:
    """Give the JSON object in the value."""
    if not value:
        raise _DeadError("null_value")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise _DeadError("not_utf8") from None
    if _depth(text) > _MAX_DEPTH:
        raise _DeadError("too_deep")
    try:
        fields = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise _DeadError("too_deep") from None
    except ValueError:
        raise _DeadError("not_json") from None
    if not isinstance(fields, dict):
        raise _DeadError("not_object")
    return fields


def _depth(text: str) -> int:
    """How deep brackets outside strings are nested."""
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return 0
    depth = deepest = 0
    for bracket in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket, 0)
        deepest = max(deepest, depth)
    return deepest


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _identifier(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if value is None:
        raise _DeadError("missing_field")
    if not isinstance(value, str) or not 1 <= len(value) <= 256 or (name == "source" and "/" in value):
        raise _DeadError("invalid_identifier")
    return value


def _response(fields: Fields, record: Record) -> Fields:
    """Give all known fields of a response, what is wrong but not required left out."""
    if any(fields.get(name) is None for name in ("survey_id", "metric", "score", "submitted_at")):
        raise _DeadError("missing_field")
    content = {"survey_id": _identifier(fields, "survey_id"), "metric": fields["metric"], "score": fields["score"]}
    if not isinstance(content["metric"], str) or content["metric"] not in _SCALES:
        raise _DeadError("unknown_metric")
    low, high = _SCALES[content["metric"]]
    scale = fields.get("scale")
    if isinstance(scale, dict) and type(scale.get("min")) is int and type(scale.get("max")) is int:
        content["scale"] = (scale["min"], scale["max"])
        if content["scale"] != (low, high):
            raise _DeadError("unknown_scale")
    if type(content["score"]) is not int:
        raise _DeadError("invalid_score")
    if not low <= content["score"] <= high:
        raise _DeadError("score_out_of_range")
    content["submitted_at"] = _not_ahead(_milliseconds(fields["submitted_at"]), record)
    with suppress(_DeadError):
        content["updated_at"] = _not_ahead(_milliseconds(fields.get("updated_at")), record)
    content |= _of_type(fields, _TYPES)
    if "customer" in content:
        content["customer"] = _of_type(content["customer"], _CUSTOMER_TYPES)
    if "comment" in content:
        content["comment"] = content["comment"].encode()[:16_384].decode(errors="ignore")
    return content | {name: content[name][:128] for name in _SHORT if name in content}


def _of_type(fields: Fields, types: Mapping[str, type | tuple[type, ...]]) -> Fields:
    """The fields that have the type they should have; no boolean is a number."""
    return {
        name: fields[name]
        for name, wanted in types.items()
        if isinstance(fields.get(name), wanted) and (wanted is bool or not isinstance(fields[name], bool))
    }


def _milliseconds(text: object) -> int:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise _DeadError("invalid_time")
    try:
        return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    except ValueError:
        raise _DeadError("invalid_time") from None


def _not_ahead(time: int, record: Record) -> int:
    return record.timestamp if time > record.timestamp + 10 * MINUTE else time


def murmur2(data: bytes) -> int:
    """The hash of Kafka's default partitioner, as an unsigned number of 32 bits."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


# Versions, alerts, follow-ups


def _bury(expected: Expected, reason: str, partition: int, offset: int) -> None:
    expected.outcomes["dead"] += 1
    expected.dead[reason].add((partition, offset))


def _fold(expected: Expected, task: _Task, version: _Version, partition: int, offset: int) -> None:
    """Take one version into the task."""
    border = task.stream_time - HORIZON
    known, alert, follow_up = task.standing.get(version.identity, (None, Case(), Case()))
    if known is not None and known.submitted < border:
        known, alert, follow_up = None, Case(), Case()
        del task.standing[version.identity]
    if version.deleted and known is not None:
        version.submitted = known.submitted
    if version.submitted < border:
        return _bury(expected, "too_late", partition, offset)
    if not version.deleted:
        task.stream_time = max(task.stream_time, version.submitted)
    if known is not None and known.content == version.content:
        expected.outcomes["repeated"] += 1
        known.order = max(known.order, version.order)
    elif known is not None and version.order < known.order:
        expected.outcomes["superseded"] += 1
    else:
        expected.outcomes["deleted" if version.deleted else "counted" if version.counts else "test"] += 1
        task.standing[version.identity] = version, alert, follow_up
        _follow(alert, version, "alert")
        _follow(follow_up, version, "follow_up")
        digest = blake2b(version.identity.encode(), digest_size=16).hexdigest()
        if alert.steps:
            expected.alerts["a-" + digest] = alert
        if follow_up.steps:
            expected.follow_ups["f-" + digest] = follow_up


def _category(metric: str, score: int) -> int:
    """0 is unhappy, 1 in between, 2 happy."""
    return (score > _UNHAPPY_UP_TO[metric]) + (score > _NEUTRAL_UP_TO[metric])


def _follow(case: Case, version: _Version, kind: str) -> None:
    """Add the steps of the alert or follow-up of a response of which this version now stands."""
    content, before = version.content, case.identity
    first, again = ("raised", "reinstated") if kind == "alert" else ("requested", "requested")
    category = _category(content["metric"], content["score"]) if version.counts else -1
    if not version.counts or content["metric"] == "enps" or (category == 0) != (kind == "alert"):
        if case.live:
            case.live = False
            case.steps.append(Step("retracted", before[2], _cause(content, before)))
        return
    key = content.get("customer", {}).get("id") or version.identity
    identity = (content["metric"], category, key)
    if not case.steps:
        case.steps.append(Step(first, key))
    elif not case.live:
        case.steps.append(Step(again, key))
    elif identity != before:
        cause = "moved" if identity[:2] == before[:2] else _cause(content, before)
        case.steps += [Step("retracted", before[2], cause), Step(again, key)]
    elif _context(content) != _context(case.content):
        case.steps.append(Step("enriched", key))
    case.live, case.identity, case.content = True, identity, content


def _cause(content: Fields, before: tuple[str, int, str]) -> str:
    """Why an alert or follow-up does not stand any more."""
    for flag in ("deleted", "test", "internal"):
        if content.get(flag):
            return flag
    return "category" if content["metric"] == before[0] else "metric"


def _context(content: Fields) -> Fields:
    """What the events tell of the response; a change of it makes them enriched."""
    context = {name: value for name, value in content.items() if name not in _NOT_IN_EVENTS}
    customer = content.get("customer", {}).items()
    return context | {"customer": {name: value for name, value in customer if name not in _NOT_IN_EVENTS_OF_CUSTOMER}}


# Windows


def _windows(standing: Iterable[_Version], time: float) -> dict[WindowKey, Fields]:
    """Give every window that is published, at the highest stream time."""
    spans = {}
    if time > -inf:
        for name, (length, pane) in WINDOWS.items():
            end = int(time) // pane * pane + pane
            spans[name] = (end - length, end)
    histograms: dict[WindowKey, Counter[int]] = defaultdict(Counter)
    for version in standing:
        if not version.counts:
            continue
        metric, score = version.content["metric"], version.content["score"]
        scale = "{}-{}".format(*_SCALES[metric])
        moment = version.submitted // (5 * MINUTE) * (5 * MINUTE)
        inside = [name for name, (start, end) in spans.items() if start <= moment < end]
        for segment in _segments(version.content) if inside else ():
            for name in inside:
                histograms[metric, scale, segment, name][score] += 1
    return {
        key: _window(key, histogram, *spans[key[3]])
        for key, histogram in histograms.items()
        if key[0] != "enps" or histogram.total() >= 5
    }


def _segments(content: Fields) -> list[Segment]:
    """The overall segment, and one for each dimension that the response has."""
    values = content | {"tier": content.get("customer", {}).get("tier")}
    texts = {name: (values.get(name) or "")[:128].strip().casefold() for name in DIMENSIONS}
    return [(), *(((name, text),) for name, text in texts.items() if text)]


def _window(key: WindowKey, histogram: Counter[int], start: int, end: int) -> Fields:
    """Give the published value of one window."""
    metric, scale, segment, name = key
    counts = [0, 0, 0]
    for score, count in histogram.items():
        counts[_category(metric, score)] += count
    point, low, high = _statistics(metric, counts, histogram)
    value: Fields = {"metric": metric, "scale": scale, "segment": dict(segment), "window": name}
    value |= {"start": _rfc3339(start), "end": _rfc3339(end), "n": histogram.total()}
    if metric in ("nps", "enps"):
        value |= {"promoters": counts[2], "passives": counts[1], "detractors": counts[0]}
    value["histogram"] = {str(score): histogram[score] for score in sorted(histogram)}
    value |= {"score": round(point, 4), "low": round(low, 4), "high": round(high, 4)}
    return value | {"margin": round((high - low) / 2, 4), "sufficient": histogram.total() >= 30}


def _statistics(metric: str, counts: Sequence[int], histogram: Counter[int]) -> tuple[float, float, float]:
    """Give score, low and high of a window that is not empty."""
    if metric in ("nps", "enps"):
        return nps(*counts)
    if metric == "ces":
        return ces(histogram)
    return csat(counts[2], sum(counts))


def nps(detractors: int, passives: int, promoters: int) -> tuple[float, float, float]:
    """NPS with the adjusted Wald interval: 0.75, 1.5 and 0.75 are added to the counts."""
    n = detractors + passives + promoters
    d, p = (detractors + 0.75) / (n + 3), (promoters + 0.75) / (n + 3)
    half = Z * sqrt((p + d - (p - d) ** 2) / (n + 3))
    low, high = max(-100.0, 100 * (p - d - half)), min(100.0, 100 * (p - d + half))
    return 100 * (promoters - detractors) / n, low, high


def csat(satisfied: int, n: int) -> tuple[float, float, float]:
    """Share of the satisfied in percent, with the Wilson interval."""
    share = satisfied / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return 100 * share, 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


def ces(histogram: Mapping[int, int]) -> tuple[float, float, float]:
    """Mean with its t interval, within the scale."""
    n = sum(histogram.values())
    mean = sum(score * count for score, count in histogram.items()) / n
    if n == 1:
        return mean, 1.0, 7.0
    variance = sum(count * (score - mean) ** 2 for score, count in histogram.items()) / (n - 1)
    half = t_quantile(n - 1) * sqrt(variance / n)
    return mean, max(1.0, mean - half), min(7.0, mean + half)


@cache
def t_quantile(df: int) -> float:
    """The 0.975 quantile of Student's t.

    Up to 200 degrees of freedom by halving the interval on the finite series of Abramowitz and Stegun 26.7.3 and
    26.7.4, above that by the expansion 26.7.5, whose error is then below 1e-9.
    """
    if df > 200:
        x = NormalDist().inv_cdf(0.975)
        first = (x**3 + x) / 4
        second = (5 * x**5 + 16 * x**3 + 3 * x) / 96
        third = (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384
        return x + first / df + second / df**2 + third / df**3
    low, high = 0.0, 13.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_inside(middle, df) < 0.95 else (low, middle)
    return low


def _t_inside(t: float, df: int) -> float:
    """The probability that Student's t lies between -t and t."""
    angle = atan(t / sqrt(df))
    odd = df % 2
    term = cos(angle) if odd else 1.0
    total = 0.0 if df == 1 else term
    for k in range(2 + odd, df - 1, 2):
        term *= cos(angle) ** 2 * (k - 1) / k
        total += term
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total


def _rfc3339(time: int) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# Comparing with what was read


def compare_outcomes(expected: Expected, outcomes: Mapping[str, int]) -> list[str]:
    """Compare the counts of outcomes, and whether they add up to what was read."""
    names = sorted(expected.outcomes.keys() | outcomes.keys())
    found = [_differ(f"outcome {name}", expected.outcomes[name], outcomes.get(name, 0)) for name in names]
    return [text for text in [*found, _differ("records read", expected.read, sum(outcomes.values()))] if text]


def compare_forwarded(expected: Expected) -> list[str]:
    """Whether each record with a wrong key has exactly one copy in the log, and nothing else was forwarded."""
    wanted = Counter(expected.forwarded)
    lost = [f"never forwarded: {origin}" for origin in sorted((wanted - expected.copies).elements())]
    return lost + [f"forwarded too often: {origin}" for origin in sorted((expected.copies - wanted).elements())]


def compare_dead(expected: Expected, read: Iterable[tuple[str, int, int]]) -> list[str]:
    """Compare the dead letters; `read` has the reason, partition and offset of each."""
    wanted = Counter((reason, *place) for reason, places in expected.dead.items() for place in places)
    actual = Counter(read)
    lost = [f"dead letter lost: {letter}" for letter in sorted((wanted - actual).elements())]
    return lost + [f"dead letter not expected: {letter}" for letter in sorted((actual - wanted).elements())]


def window_key(value: Mapping[str, Any]) -> WindowKey:
    """The key of a window in `Expected.windows`."""
    return value["metric"], value["scale"], tuple(sorted(value["segment"].items())), value["window"]


def compare_windows(expected: Expected, read: Iterable[Mapping[str, Any]]) -> list[str]:
    """Compare the windows that stand on the topic, tombstones left out; the last decimal may differ by one."""
    actual = {window_key(value): value for value in read}
    found = [f"window lost: {key}" for key in sorted(expected.windows.keys() - actual.keys())]
    found += [f"window not expected: {key}" for key in sorted(actual.keys() - expected.windows.keys())]
    for key in sorted(expected.windows.keys() & actual.keys()):
        wanted = expected.windows[key]
        for name in sorted(wanted.keys() | actual[key].keys()):
            if not _same(wanted.get(name), actual[key].get(name)):
                found.append(_differ(f"window {key}, {name}", wanted.get(name), actual[key].get(name)))
    return found


def _same(wanted: object, actual: object) -> bool:
    if isinstance(wanted, float) and isinstance(actual, int | float) and not isinstance(actual, bool):
        return abs(wanted - actual) < 1.5e-4
    return wanted == actual


def compare_alerts(expected: Expected, events: Iterable[Event]) -> list[str]:
    """Compare all alert events, in any order; other events are ignored."""
    return _compare_cases(expected.alerts, events, "alert")


def compare_follow_ups(expected: Expected, events: Iterable[Event]) -> list[str]:
    """Compare all follow-up events, in any order; other events are ignored."""
    return _compare_cases(expected.follow_ups, events, "follow_up")


def _compare_cases(cases: Mapping[str, Case], events: Iterable[Event], kind: str) -> list[str]:
    """Compare id by id: lost, repeated, unexpected, and each step with its revision, key and cause."""
    read: dict[str, list[tuple[int, Step]]] = defaultdict(list)
    for event in events:
        head, _, tail = event.type.partition(f"npsflow.{kind}.")
        if not head and tail.endswith(".v1"):
            step = Step(tail[:-3], (event.key or b"").decode(), event.value.get("cause") or "")
            read[event.value[f"{kind}_id"]].append((event.value["revision"], step))
    found = [f"{kind} lost: {name}" for name in sorted(cases.keys() - read.keys())]
    found += [f"{kind} not expected: {name}" for name in sorted(read.keys() - cases.keys())]
    for name in sorted(cases.keys() & read.keys()):
        revisions = Counter(revision for revision, _ in read[name])
        found += [f"{kind} {name}: revision {revision} repeated" for revision, n in revisions.items() if n > 1]
        wanted = dict(enumerate(cases[name].steps, start=1))
        actual = dict(read[name])
        for revision in sorted(wanted.keys() | actual.keys()):
            found.append(_differ(f"{kind} {name}, revision {revision}", wanted.get(revision), actual.get(revision)))
        live = max(read[name])[1].type != "retracted"
        found.append(_differ(f"{kind} {name}, live", cases[name].live, live))
    return [text for text in found if text]


def _differ(what: str, wanted: object, actual: object) -> str:
    """Say the difference; empty if there is none."""
    return "" if wanted == actual else f"{what}: expected {wanted}, read {actual}"
