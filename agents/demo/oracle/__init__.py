"""What must come out, recomputed in plain Python from the log of the input topic alone.

In: the records of the topic. Out: `Expected`, with outcomes, dead letters, windows, alerts and follow-ups; and the
differences between that and what was read from the output topics. It imports nothing of the product but its own parts
(`oracle_*`), keeps everything in memory and is written to be obviously right rather than fast.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from math import inf

from .comparing import (
    compare_alerts,
    compare_dead,
    compare_follow_ups,
    compare_forwarded,
    compare_history,
    compare_outcomes,
    compare_windows,
    history_key,
    window_key,
)
from .history import history, is_over
from .lifecycle import follow
from .model import (
    DAY,
    HOUR,
    MINUTE,
    Case,
    Event,
    Expected,
    Fields,
    HistoryKey,
    Origin,
    Record,
    Segment,
    Step,
    Version,
    WindowKey,
    equal,
)
from .reading import DeadError, read
from .statistics import Z, ces, csat, nps, t_quantile
from .windows import DIMENSIONS, WINDOWS, spellings, windows

__all__ = [
    "DAY",
    "DIMENSIONS",
    "HORIZON",
    "HOUR",
    "MINUTE",
    "ORIGIN_HEADER",
    "WINDOWS",
    "Case",
    "Event",
    "Expected",
    "Fields",
    "HistoryKey",
    "Origin",
    "Record",
    "Segment",
    "Step",
    "WindowKey",
    "Z",
    "ces",
    "compare_alerts",
    "compare_dead",
    "compare_follow_ups",
    "compare_forwarded",
    "compare_history",
    "compare_outcomes",
    "compare_windows",
    "csat",
    "expect",
    "history_key",
    "is_over",
    "murmur2",
    "nps",
    "t_quantile",
    "window_key",
]  # fmt: skip

HORIZON = 35 * DAY
ORIGIN_HEADER = "npsflow_origin"


@dataclass
class _Task:
    """One partition: its stream time and what stands in it, with alert and follow-up; and what is past correction."""

    stream_time: float = -inf
    versions: dict[str, tuple[Version, Case, Case]] = field(default_factory=dict)
    forgotten: list[Version] = field(default_factory=list)


def expect(records: Iterable[Record], *, partitions: int = 4) -> Expected:
    """Recompute everything from the log, which may hold records forwarded by the product: those are skipped.

    A record with a wrong key or in a wrong partition is taken as read by the task that owns it at its own append time.
    """
    expected = Expected()
    queues: list[list[tuple[int, int, int, Version]]] = [[] for _ in range(partitions)]
    for record in records:
        expected.read += 1
        origin = dict(record.headers).get(ORIGIN_HEADER)
        if origin is not None:
            time, partition, offset = map(int, origin.split())
            expected.copies[time, partition, offset] += 1
            continue
        try:
            version = read(record)
        except DeadError as error:
            _bury(expected, str(error), record.partition, record.offset)
            continue
        key = version.identity.encode()
        task = (murmur2(key) & 0x7FFFFFFF) % partitions
        if record.key != key or record.partition != task:
            expected.outcomes["forwarded"] += 1
            expected.forwarded.add((record.timestamp, record.partition, record.offset))
        queues[task].append((record.timestamp, record.offset, record.partition, version))
    tasks = [_Task() for _ in queues]
    for task_state, queue in zip(tasks, queues, strict=True):
        for _, offset, partition, version in sorted(queue, key=lambda entry: entry[:3]):
            _fold(expected, task_state, version, partition, offset)
    versions = [version for task_state in tasks for version, _, _ in task_state.versions.values()]
    latest = max((task_state.stream_time for task_state in tasks), default=-inf)
    shown = {value: spelled for value, (_, spelled) in expected.spellings.items()}
    expected.windows = windows(versions, latest, shown)
    forgotten = [version for task_state in tasks for version in task_state.forgotten]
    expected.history, expected.time = history(versions + forgotten, latest, shown), latest
    return expected


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


def _bury(expected: Expected, reason: str, partition: int, offset: int) -> None:
    expected.outcomes["dead"] += 1
    expected.dead[reason].add((partition, offset))


def _fold(expected: Expected, task: _Task, version: Version, partition: int, offset: int) -> None:
    """Take one version into the task."""
    border = task.stream_time - HORIZON
    known, alert, follow_up = task.versions.get(version.identity, (None, Case(), Case()))
    if known is not None and known.submitted < border:
        task.forgotten.append(known)
        known, alert, follow_up = None, Case(), Case()
        del task.versions[version.identity]
    if version.deleted and known is not None:
        version.submitted = known.submitted
    if version.submitted < border:
        return _bury(expected, "too_late", partition, offset)
    if not version.deleted:
        task.stream_time = max(task.stream_time, version.submitted)
    if known is not None and equal(known.as_sent, version.as_sent):
        expected.outcomes["repeated"] += 1
        known.order = max(known.order, version.order)
    elif known is not None and version.order < known.order:
        expected.outcomes["superseded"] += 1
    else:
        expected.outcomes["deleted" if version.deleted else "counted" if version.counts else "test"] += 1
        task.versions[version.identity] = version, alert, follow_up
        for value, spelled in spellings(version.content) if version.counts else ():
            _, appended, *place = version.order
            first = (appended, *place), spelled
            expected.spellings[value] = min(expected.spellings.get(value, first), first)
        follow(alert, version, "alert")
        follow(follow_up, version, "follow_up")
        digest = blake2b(version.identity.encode(), digest_size=16).hexdigest()
        if alert.steps:
            expected.alerts["a-" + digest] = alert
        if follow_up.steps:
            expected.follow_ups["f-" + digest] = follow_up
