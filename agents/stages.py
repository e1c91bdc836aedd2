"""The Faust agents, one for each stage, and how each stage is made from settings."""

from collections.abc import AsyncIterator, Callable

from npsflow.streams.app import Agent
from npsflow.streams.classification import Classify
from npsflow.streams.rollup import Rollup
from npsflow.streams.settings import Settings, Where
from npsflow.streams.source import Batch
from npsflow.streams.stage import Stage


async def classify(batches: AsyncIterator[Batch]) -> None:
    """`survey-responses` to alerts, follow-ups, deltas and dead letters."""
    async for batch in batches:
        with batch:
            batch.fold()


async def roll_up(batches: AsyncIterator[Batch]) -> None:
    """`nps-panes` to rolling windows."""
    async for batch in batches:
        with batch:
            batch.fold()


def _classify(settings: Settings, where: Where) -> Stage:
    return Classify(settings.meaning(where.prefix, settings.topics.pane_partitions))


def _rollup(settings: Settings, where: Where) -> Stage:
    return Rollup(settings.rolling(where.prefix))


STAGES: dict[str, tuple[Callable[[Settings, Where], Stage], Agent]] = {
    "classify": (_classify, classify),
    "rollup": (_rollup, roll_up),
}
"""Stage name to (how it is made, its agent)."""
