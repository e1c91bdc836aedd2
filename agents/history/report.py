"""What an import would do, or has done, in words: figures, times and reasons, nothing of any response."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from npsflow.agents.history.planning import Due, Plan
from npsflow.agents.history.reading import File
from npsflow.schemas import topics
from npsflow.schemas.events import Severity
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import DAY, rfc3339_seconds
from npsflow.streams.scoring.severity import STALE_AFTER

_SEVERITIES = get_args(Severity)
_MOST = 20  # refused lines named one by one


@dataclass(frozen=True, slots=True)
class Seen:
    """How far the running system is: its stream time (ms) by partition, of so many; why it is not known, else None."""

    stream_times: Mapping[int, int]
    partitions: int
    why_not: str | None = None

    def too_late(self, due: Due, horizon: int) -> bool:
        """Whether it would only become a dead letter: submitted further back than the horizon (ms)."""
        if due.kind.topic != topics.RESPONSES or not self.stream_times:
            return False
        return due.at < self.stream_times.get(partition_of(due.key, self.partitions), 0) - horizon


def sendable(plan: Plan, seen: Seen, horizon: int) -> list[Due]:
    """What is left when those are left out that would only become dead letters."""
    return [due for due in plan.due if not seen.too_late(due, horizon)]


def lines(plan: Plan, sent: Sequence[Due], seen: Seen, horizon: int, now: int, done: bool, opened: File) -> list[str]:
    """The report; `sent`: what was sent (`done`) or would be; `now` in ms, of the file `opened`."""
    kind = opened.kind
    responses = [due for due in sent if due.kind.topic == topics.RESPONSES]
    verb = "sent" if done else "would be sent"
    told = [f"{plan.entries:>9,} {kind}s read"]
    for metric, count in sorted(Counter(due.kind.metric or "" for due in responses).items()):
        some = [due.at for due in responses if due.kind.metric == metric]
        told.append(f"{count:>9,} responses {verb}: {metric}, {_day(some[0])} to {_day(some[-1])}")
    if not responses:
        told.append(f"{0:>9,} responses {verb}")
    if invitations := [due.at for due in sent if due.kind.topic == topics.INVITATIONS]:
        told.append(f"{len(invitations):>9,} invitations {verb}: {_day(invitations[0])} to {_day(invitations[-1])}")
    if plan.silent:
        told.append(f"{plan.silent:>9,} {kind}s say nothing: no score question is answered in them")
    if plan.warnings:
        told.append(f"          fields dropped or cut in some responses: {', '.join(sorted(plan.warnings))}")
    if opened.missing:
        told.append(
            f"          no column is {', '.join(opened.missing)}: what came by webhook with them would lose them"
        )
    return told + _horizon(plan, responses, seen, horizon) + _alerts(responses, now, done) + _refused(plan, kind)


def _horizon(plan: Plan, responses: Sequence[Due], seen: Seen, horizon: int) -> list[str]:
    days = f"{horizon // DAY} days"
    told = []
    if seen.why_not:
        told.append(f"          how far npsflow is, is not known: {seen.why_not}")
    if late := sum(seen.too_late(due, horizon) for due in plan.due):
        told.append(f"{late:>9,} not sent: more than {days} before what npsflow has seen; they would be dead letters")
    if responses and (old := sum(due.at < responses[-1].at - horizon for due in responses)):
        told.append(f"{old:>9,} more than {days} before the newest: counted in passing, not to be corrected afterwards")
    return told


def _alerts(responses: Sequence[Due], now: int, done: bool) -> list[str]:
    """Alerts that were raised before, when the same came by webhook, are not raised once more: at most so many."""
    alerts = {due.key: due for due in responses if due.kind.severity is not None}.values()
    stale = [due for due in alerts if now - due.at > STALE_AFTER]
    fresh = [due for due in alerts if now - due.at <= STALE_AFTER]
    unreachable = sum(not due.kind.reachable for due in fresh)
    be = "are" if done else "would be"
    told = [f"{len(stale):>9,} alerts at most {be} stale, not actionable: older than seven days{_severities(stale)}"]
    note = f"; {unreachable:,} without a contact, not actionable" if unreachable else ""
    told.append(f"{len(fresh):>9,} alerts at most {be} fresh and reach subscribers now{_severities(fresh)}{note}")
    return told


def _severities(alerts: Iterable[Due]) -> str:
    count = Counter(due.kind.severity for due in alerts)
    found = [f"{severity} {count[severity]:,}" for severity in _SEVERITIES if count[severity]]
    return f" ({', '.join(found)})" if found else ""


def _refused(plan: Plan, kind: str) -> list[str]:
    refused = plan.refused
    told = [f"{len(refused):>9,} {kind}s refused"] if refused else []
    told += [f"          {kind} {one.number}: {one.reason}: {one.message}" for one in refused[:_MOST]]
    if len(refused) > _MOST:
        told.append(f"          and {len(refused) - _MOST:,} more, by reason:")
        told += [f"{count:>9,} {reason}" for reason, count in Counter(one.reason for one in refused).most_common()]
    return told


def _day(at: int) -> str:
    return rfc3339_seconds(at)[:10]
