"""The Faust agents, one for each stage, and how each stage is made from settings."""

from collections.abc import AsyncIterator, Callable

from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.app import Agent
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.source import Batch
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.settings import clock_of
from npsflow.streams.recovery.stage import Recover
from npsflow.streams.stage import Stage
from npsflow.streams.windows.stage import Rollup


async def fold(batches: AsyncIterator[Batch]) -> None:
    """The agent of every stage: what a stage makes of records is its own."""
    async for batch in batches:
        with batch:
            batch.fold()


def _classify(settings: Settings, installation: Installation) -> Stage:
    return Classify(settings.classify_settings(installation.event_source, settings.topics.pane_partitions))


def _rollup(settings: Settings, installation: Installation) -> Stage:
    return Rollup(settings.window_settings(installation.event_source))


def _recover(settings: Settings, installation: Installation) -> Stage:
    policy = Policy(settings.recovery, clock_of(settings.recovery))
    return Recover(policy, installation.event_source, installation.prefix)


STAGES: dict[str, tuple[Callable[[Settings, Installation], Stage], Agent]] = {
    "classify": (_classify, fold),
    "rollup": (_rollup, fold),
    "recover": (_recover, fold),
}
"""Stage name to (how it is made, its agent)."""
REPLAYED = ("classify", "rollup")
"""Those whose state `npsflow rebuild` makes anew from the input; what recover knows, teams have told it."""
