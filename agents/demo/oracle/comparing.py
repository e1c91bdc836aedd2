"""The differences between what is expected and what was read from the output topics: texts, none if all is right."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from .history import is_over
from .model import Case, Event, Expected, HistoryKey, Step, WindowKey


def compare_outcomes(expected: Expected, outcomes: Mapping[str, int]) -> list[str]:
    """Compare the counts of outcomes, and whether they add up to what was read."""
    names = sorted(expected.outcomes.keys() | outcomes.keys())
    differences = [_differ(f"outcome {name}", expected.outcomes[name], outcomes.get(name, 0)) for name in names]
    return [text for text in [*differences, _differ("records read", expected.read, sum(outcomes.values()))] if text]


def compare_forwarded(expected: Expected) -> list[str]:
    """Whether each record with a wrong key or in a wrong partition has one copy in the log, and nothing else has."""
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
    segment = sorted((dimension, text.casefold()[:128]) for dimension, text in value["segment"].items())
    return value["metric"], value["scale"], tuple(segment), value["window"]


def compare_windows(expected: Expected, read: Iterable[Mapping[str, Any]]) -> list[str]:
    """Compare the windows that stand on the topic, tombstones left out; the last decimal may differ by one."""
    actual = {window_key(value): value for value in read}
    differences = [f"window lost: {key}" for key in sorted(expected.windows.keys() - actual.keys())]
    differences += [f"window not expected: {key}" for key in sorted(actual.keys() - expected.windows.keys())]
    for key in sorted(expected.windows.keys() & actual.keys()):
        wanted = expected.windows[key]
        for name in sorted((wanted.keys() | actual[key].keys()) - {"id"}):  # a hash of how the product writes the rest
            if not _same(wanted.get(name), actual[key].get(name)):
                differences.append(_differ(f"window {key}, {name}", wanted.get(name), actual[key].get(name)))
    return differences


def history_key(value: Mapping[str, Any]) -> HistoryKey:
    """The key of an hour or day in `Expected.history`."""
    metric, scale, segment, _ = window_key({"window": "", **value})
    return metric, scale, segment, value["resolution"], value["start"]


def compare_history(expected: Expected, read: Iterable[Mapping[str, Any]]) -> list[str]:
    """Compare the hours and days that stand on the topic and are over, tombstones left out."""
    actual = {history_key(value): dict(value) for value in read if is_over(value, expected.time)}
    differences = [f"history lost: {key}" for key in sorted(expected.history.keys() - actual.keys())]
    differences += [f"history not expected: {key}" for key in sorted(actual.keys() - expected.history.keys())]
    both = sorted(expected.history.keys() & actual.keys())
    return differences + [
        _differ(f"history {key}", expected.history[key], actual[key])
        for key in both
        if expected.history[key] != actual[key]
    ]


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
    differences = [f"{kind} lost: {name}" for name in sorted(cases.keys() - read.keys())]
    differences += [f"{kind} not expected: {name}" for name in sorted(read.keys() - cases.keys())]
    for name in sorted(cases.keys() & read.keys()):
        revisions = Counter(revision for revision, _ in read[name])
        differences += [f"{kind} {name}: revision {revision} repeated" for revision, n in revisions.items() if n > 1]
        wanted = dict(enumerate(cases[name].steps, start=1))
        actual = dict(read[name])
        for revision in sorted(wanted.keys() | actual.keys()):
            differences.append(
                _differ(f"{kind} {name}, revision {revision}", wanted.get(revision), actual.get(revision))
            )
        live = max(read[name])[1].type != "retracted"
        differences.append(_differ(f"{kind} {name}, live", cases[name].live, live))
    return [text for text in differences if text]


def _differ(name: str, wanted: object, actual: object) -> str:
    """The difference in words; empty if there is none."""
    return "" if wanted == actual else f"{name}: expected {wanted}, read {actual}"
