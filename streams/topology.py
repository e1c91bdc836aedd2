"""All stages: how each is made from settings, its agent, its topics, and what `npsflow rebuild` does with it.

A new stage is a package of its own and one line in STAGES.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import NamedTuple

from npsflow.schemas import topics
from npsflow.schemas.headers import ORIGIN, Headers
from npsflow.schemas.times import DAY
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.admin import Wanted
from npsflow.streams.engine.app import Agent
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.replay import OutputId
from npsflow.streams.engine.source import Batch
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.settings import clock_of
from npsflow.streams.recovery.stage import Recover
from npsflow.streams.stage import Stage
from npsflow.streams.windows.stage import Rollup


class StageEntry(NamedTuple):
    """How a stage is made, and the agent that its batches go through."""

    make: Callable[[Settings, Installation], Stage]
    agent: Agent


async def fold(batches: AsyncIterator[Batch]) -> None:
    """Fold each batch into its task: the agent of every stage."""
    async for batch in batches:
        with batch:
            batch.fold()


def _classify(settings: Settings, installation: Installation) -> Stage:
    return Classify(settings.classify_settings(installation.event_source, settings.topics.pane_partitions))


def _rollup(settings: Settings, installation: Installation) -> Stage:
    return Rollup(settings.window_settings(installation.event_source))


def _recover(settings: Settings, installation: Installation) -> Stage:
    policy = Policy(settings.recovery, clock_of(settings.recovery), settings.all_scales().turned)
    return Recover(policy, installation.event_source, installation.prefix)


STAGES: dict[str, StageEntry] = {
    "classify": StageEntry(_classify, fold),
    "rollup": StageEntry(_rollup, fold),
    "recover": StageEntry(_recover, fold),
}
"""By name, in the order in which records pass through them."""

REPLAYED = ("classify", "rollup")
"""Those whose state `npsflow rebuild` makes anew from the input; what recover knows comes from teams as well."""


def make_stage(name: str, settings: Settings, installation: Installation) -> Stage:
    """The stage of this name."""
    return STAGES[name].make(settings, installation)


def wanted(settings: Settings, installation: Installation) -> list[Wanted]:
    """Every topic of an installation, changelogs included."""
    days = settings.horizon_days
    every = [
        _wanted(installation.topic(topic.name), topic, topic.config(days, settings.history_days), settings)
        for topic in topics.ALL
        if settings.sealing.enabled or not topic.shreds
    ]
    return every + wanted_changelogs(settings, installation, STAGES)


def wanted_changelogs(settings: Settings, installation: Installation, stages: Iterable[str]) -> list[Wanted]:
    """The changelogs of these stages."""
    changelogs = []
    for name in stages:
        stage = make_stage(name, settings, installation)
        read = topics.BY_NAME[stage.inputs[0]]
        changelogs.append(_wanted(installation.changelog(name, "state"), read, _STATE, settings))
        if stage.logs:
            changelogs.append(_wanted(installation.changelog(name, "remembered"), read, _LOG, settings))
    return changelogs


def _wanted(name: str, like: topics.Topic, config: Mapping[str, str], settings: Settings) -> Wanted:
    """A topic with as many partitions as the topic `like`."""
    counts = {"input": settings.topics.partitions, "panes": settings.topics.pane_partitions, "one": 1}
    made = settings.topics
    return Wanted(name, counts[like.partitions], made.replication, config, made.config)


_CHANGELOG = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(topics.MAX_RECORD)}
_STATE = _CHANGELOG | {
    "cleanup.policy": "compact",
    "segment.bytes": str(8 << 20),
    "segment.ms": str(10 * 60_000),
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": str(DAY),
}
_LOG = _CHANGELOG | {"cleanup.policy": "delete", "retention.ms": "-1", "segment.bytes": str(16 << 20)}


# What a replay knows its outputs by. Windows and panes are not here: they are made anew.


def _event(headers: Headers) -> OutputId | None:
    """Subject and revision, of which `ce_id` is made."""
    name = dict(headers).get("ce_id")
    if name is None:
        return None
    subject, _, revision = name.rpartition(b".")
    return OutputId(subject, int(revision)) if revision.isdigit() else OutputId(name)


def _dead_letter(headers: Headers) -> OutputId | None:
    """Partition and offset of the record that was refused, and the reason."""
    by_name = dict(headers)
    parts = [by_name.get(f"npsflow_dlq_{part}") for part in ("partition", "offset", "reason")]
    return None if None in parts else OutputId(b" ".join(part for part in parts if part is not None))


def _forwarded(headers: Headers) -> OutputId | None:
    """Where the record stood that this is a copy of."""
    origin = dict(headers).get(ORIGIN)
    return None if origin is None else OutputId(origin)


OUTPUT_IDS: dict[str, Callable[[Headers], OutputId | None]] = {
    topics.FOLLOW_UP: _event,
    topics.SERVICE_RECOVERY: _event,
    topics.RESPONSES: _forwarded,
    topics.DEAD_LETTERS: _dead_letter,
    topics.SCORE_ALERTS: _event,
}
"""By topic without prefix: what an output there is known by, from its headers; None where by nothing."""
