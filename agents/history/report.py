"""The report of an import that would be made or was made: figures, times and reasons, nothing of any response."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from npsflow.agents.history.effects import Effect, effect_lines
from npsflow.agents.history.entries import ExportFile
from npsflow.agents.history.planning import Plan, PlannedRecord
from npsflow.schemas import topics
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import DAY, rfc3339_seconds

_MAX_REFUSED = 20  # named one by one


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """How far the running system is: the stream time (ms) of each of its `partitions` that has one.

    `unknown`: why it is not known, None if it is.
    """

    by_partition: Mapping[int, int]
    partitions: int
    unknown: str | None = None

    def too_late(self, record: PlannedRecord, horizon: int) -> bool:
        """Whether the record would only become a dead letter: submitted longer ago than the horizon (ms)."""
        if record.kind.topic != topics.RESPONSES or not self.by_partition:
            return False
        return record.at < self.by_partition.get(partition_of(record.key, self.partitions), 0) - horizon


def sendable(plan: Plan, times: StreamTimes, horizon: int) -> list[PlannedRecord]:
    """Without those that would only become dead letters; `horizon` in ms."""
    return [record for record in plan.records if not times.too_late(record, horizon)]


def lines(
    plan: Plan,
    sent: Sequence[PlannedRecord],
    times: StreamTimes,
    *,
    horizon: int,
    now: int,
    done: bool,
    file: ExportFile,
) -> list[str]:
    """The lines of the report; `sent`: what was sent (`done`) or would be; `horizon` and `now` in ms."""
    kind = file.kind
    responses = [record for record in sent if record.kind.topic == topics.RESPONSES]
    verb = "sent" if done else "would be sent"
    report = [f"{plan.entries:>9,} {kind}s read"]
    for metric, count in sorted(Counter(record.kind.metric or "" for record in responses).items()):
        at = [record.at for record in responses if record.kind.metric == metric]
        report.append(f"{count:>9,} responses {verb}: {metric}, {_day(at[0])} to {_day(at[-1])}")
    if not responses:
        report.append(f"{0:>9,} responses {verb}")
    if invitations := [record.at for record in sent if record.kind.topic == topics.INVITATIONS]:
        report.append(f"{len(invitations):>9,} invitations {verb}: {_day(invitations[0])} to {_day(invitations[-1])}")
    if plan.empty:
        report.append(f"{plan.empty:>9,} {kind}s say nothing: no score question is answered in them")
    if plan.warnings:
        report.append(f"          fields dropped or cut in some responses: {', '.join(sorted(plan.warnings))}")
    report += [f"          {remark}" for remark in file.remarks]
    if file.missing:
        report.append(
            f"          no column is {', '.join(file.missing)}: what came by webhook with them would lose them"
        )
    caused = effect_lines(_effects(responses), now, done)
    return report + _horizon(plan, responses, times, horizon) + caused + _refused(plan, kind)


def _effects(responses: Sequence[PlannedRecord]) -> Iterator[tuple[int, Effect]]:
    """Of all that raise an alert the last of each response; by hashes, as a million keys would take much memory."""
    alerts = {hash(record.key): record for record in responses if record.kind.effect.severity}
    others = (record for record in responses if record.kind.effect.follow_up)
    return ((record.at, record.kind.effect) for record in chain(alerts.values(), others))


def _horizon(plan: Plan, responses: Sequence[PlannedRecord], times: StreamTimes, horizon: int) -> list[str]:
    days = f"{horizon // DAY} days"
    report = []
    if times.unknown:
        report.append(f"          how far npsflow is, is not known: {times.unknown}")
    if late := sum(times.too_late(record, horizon) for record in plan.records):
        report.append(f"{late:>9,} not sent: more than {days} before what npsflow has seen; they would be dead letters")
    if responses and (old := sum(record.at < responses[-1].at - horizon for record in responses)):
        report.append(
            f"{old:>9,} more than {days} before the newest: counted in passing, not to be corrected afterwards"
        )
    return report


def _refused(plan: Plan, kind: str) -> list[str]:
    refused = plan.refused
    report = [f"{len({entry.number for entry in refused}):>9,} {kind}s refused"] if refused else []
    report += [f"          {kind} {entry.number}: {entry.reason}: {entry.message}" for entry in refused[:_MAX_REFUSED]]
    if len(refused) > _MAX_REFUSED:
        report.append(f"          and {len(refused) - _MAX_REFUSED:,} more, by reason:")
        counts = Counter(entry.reason for entry in refused)
        report += [f"{count:>9,} {reason}" for reason, count in counts.most_common()]
    return report


def _day(at: int) -> str:
    return rfc3339_seconds(at)[:10]
