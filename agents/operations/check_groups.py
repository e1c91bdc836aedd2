"""What `npsflow check` says of consumer groups and open transactions."""

import asyncio
import time
from collections.abc import Iterator
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupAuthorizationFailedError

from npsflow.agents import platforms
from npsflow.agents.kafka import clients, groups, reading
from npsflow.agents.kafka.groups import Lag, Member, OpenTransaction
from npsflow.agents.operations.finding import Finding, ok, warn
from npsflow.schemas import topics as names
from npsflow.schemas.times import SECOND, rfc3339
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.admin import partition_counts
from npsflow.streams.engine.installation import Installation
from npsflow.streams.topology import STAGES

COMMITS_WITHIN = 2.0
"""Seconds in which a worker that reads commits at least once."""

SUBSCRIBED = (
    names.SERVICE_RECOVERY, names.FOLLOW_UP, names.WINDOWS, names.HISTORY, names.SCORE_ALERTS, names.CASES,
)  # fmt: skip
"""Topics that others read."""

_OPEN_FOR = 15 * SECOND  # a transaction of ours has ended by then
_UNCOMMITTED = "alerts that were aborted, and those of open transactions"


class _Look(NamedTuple):
    """With what groups are looked at."""

    installation: Installation
    admin: AIOKafkaAdminClient
    client: AIOKafkaClient
    ends: AIOKafkaConsumer
    reader: AIOKafkaConsumer
    partitions: dict[str, int]

    def tps(self, topics: tuple[str, ...] | list[str]) -> list[TopicPartition]:
        """All partitions of topics, given without prefix, that are there."""
        prefixed = [self.installation.topic(topic) for topic in topics]
        return [TopicPartition(name, number) for name in prefixed for number in range(self.partitions.get(name, 0))]

    async def lag(self, group: str, topics: tuple[str, ...] | list[str]) -> Lag | None:
        """That of a group on these topics; None where it has committed nothing there, or this client may not ask."""
        tps = self.tps(topics)
        try:
            offsets = await reading.committed_offsets(self.admin, group)
        except GroupAuthorizationFailedError:
            return None
        committed = {tp: offsets[tp].offset for tp in tps if tp in offsets}
        return await groups.lag(committed, tps, self.ends, self.reader) if committed else None


async def group_findings(settings: Settings, installation: Installation) -> list[Finding]:
    """Workers, transactions that hold them up, notifiers and fetch, then the groups of others."""
    async with (
        clients.admin(installation) as admin,
        clients.client(installation) as client,
        clients.reader(installation, isolation="read_uncommitted") as ends,
        clients.reader(installation) as reader,
    ):
        look = _Look(installation, admin, client, ends, reader, await partition_counts(admin))
        results = [*await _workers(settings, look), *await _transactions(settings, look)]
        results += [*await _notifiers(settings, look), *await _fetch(settings, look)]
        ours = {
            installation.group(name) for name in (*STAGES, "fetch", *(f"notify-{name}" for name in settings.notify))
        }
        kinds = dict(await admin.list_consumer_groups())
        for group, kind in sorted(kinds.items()):
            if kind == groups.SHARE:
                results += await _share_group(look, group)
            elif group not in ours:
                results += await _subscriber(look, group)
    return results


async def _workers(settings: Settings, look: _Look) -> list[Finding]:
    inputs = {
        look.installation.group(name): make(settings, look.installation).inputs for name, (make, _) in STAGES.items()
    }
    before = {
        group: (await look.lag(group, of), await groups.members(look.client, group)) for group, of in inputs.items()
    }
    named = any(member.instance for _, members in before.values() for member in members or ())
    if named or any(lag and lag.records for lag, _ in before.values()):
        await asyncio.sleep(COMMITS_WITHIN)
    results = []
    for group, of in inputs.items():
        lag, members = before[group]
        results.append(_worker_group(group, lag, await look.lag(group, of)))
        results += _namesakes(group, members or [], await groups.members(look.client, group) or [])
    return results


def _worker_group(group: str, before: Lag | None, after: Lag | None) -> Finding:
    if after is None:
        return warn(f"groups: {group} has read nothing yet", "start `npsflow worker`")
    records = after.records + after.untouched_records
    if records and after == before:
        text = f"groups: {group} has lag {records} and read nothing for {COMMITS_WITHIN:.0f} s"
        return warn(text, "start `npsflow worker`, or look into its log")
    return ok(f"groups: {group}, lag {records}")


def _namesakes(group: str, before: list[Member], after: list[Member]) -> Iterator[Finding]:
    """Names that went from one member to another meanwhile."""
    was = {member.instance: member.id for member in before if member.instance}
    for member in after:
        if was.get(member.instance, member.id) != member.id:
            name = member.instance.removeprefix(f"{group}-")
            text = f"groups: in {group} the name {name!r} was just taken by another worker (at {member.host})"
            yield warn(text, "if two workers run under it, give each a --name of its own")


async def _transactions(settings: Settings, look: _Look) -> list[Finding]:
    """Those that are open for longer than any of ours."""
    ours = {topic for make, _ in STAGES.values() for topic in make(settings, look.installation).inputs}
    tps = look.tps([*sorted(ours), *(topic for topic in SUBSCRIBED if topic not in ours)])
    now = int(time.time() * 1000)
    found = await groups.open_transactions(look.client, tps, look.ends, look.reader)
    return [_hanging(one) for one in found if now - one.written_at > _OPEN_FOR]


def _hanging(one: OpenTransaction) -> Finding:
    whose = repr(one.transactional_id) if one.transactional_id else f"of producer {one.producer}"
    text = (
        f"transactions: {one.tp.topic}[{one.tp.partition}]: {one.waiting} records wait behind the open transaction "
        f"{whose}, which wrote last at {rfc3339(one.written_at)}"
    )
    return warn(text, "end or mend the program that writes it; else Kafka aborts it at its transaction.timeout.ms")


async def _notifiers(settings: Settings, look: _Look) -> list[Finding]:
    results = []
    for name in settings.notify:
        group, todo = look.installation.group(f"notify-{name}"), f"start `npsflow notify {name}`"
        lag, members = await look.lag(group, [names.SERVICE_RECOVERY]), await groups.members(look.client, group)
        if lag is None and members == []:
            results.append(warn(f"groups: {group} has read nothing yet", todo))
        elif lag is not None and lag.records and members == []:
            results.append(warn(f"groups: {group} has lag {lag.records}, and no process of it runs", todo))
        elif lag is not None:
            results.append(ok(_read(look, group, names.SERVICE_RECOVERY, lag)))
    return results


async def _fetch(settings: Settings, look: _Look) -> list[Finding]:
    """It commits nothing: only whether it runs is to be seen."""
    fetched = [name for name, platform in platforms.with_webhook(settings.intake).items() if platform.answers]
    if fetched and await groups.members(look.client, group := look.installation.group("fetch")) == []:
        text = f"groups: nobody is in {group}, so no answers are fetched for intake.{', intake.'.join(fetched)}"
        return [warn(text, "start `npsflow fetch`")]
    return []


async def _subscriber(look: _Look, group: str) -> list[Finding]:
    results = []
    for topic in SUBSCRIBED:
        if lag := await look.lag(group, [topic]):
            results.append(ok(_read(look, group, topic, lag)))
    return results


def _read(look: _Look, group: str, topic: str, lag: Lag) -> str:
    text = f"groups: {group} reads {look.installation.topic(topic)}, lag {lag.records}"
    if lag.empty:
        text += f", and {lag.empty} offsets that hold nothing to read (ends of transactions)"
    if lag.untouched:
        text += f"; it has committed nothing in {lag.untouched} partitions ({lag.untouched_records} records)"
    return text


async def _share_group(look: _Look, group: str) -> list[Finding]:
    """Its lag nobody tells; a consumer in it cannot say what it is handed."""
    read = await groups.share_group_reads(look.client, group) & {look.installation.topic(name) for name in SUBSCRIBED}
    if not read:
        return []
    text = f"groups: share group {group} reads {', '.join(sorted(read))}"
    if await groups.share_isolation(look.admin, group) == "read_committed":
        return [ok(f"{text}, committed records only")]
    config = "--add-config share.isolation.level=read_committed"
    todo = f"kafka-configs.sh --alter --entity-type groups --entity-name {group} {config}"
    return [warn(f"{text} and is handed {_UNCOMMITTED}", todo)]
