"""How a task comes (back) to a worker: its producer fences the last owner, its changelog says where it stands."""

import logging
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from npsflow.streams.engine.changelog import Changelog, Position
from npsflow.streams.engine.clock import BrokerClock
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka.hanging_transactions import decided
from npsflow.streams.engine.metrics import Metrics
from npsflow.streams.engine.task import Task
from npsflow.streams.engine.transaction import Transaction
from npsflow.streams.stage import Stage

log = logging.getLogger(__name__)


class Restorer:
    """Makes tasks of one stage.

    `reader` reads changelogs and offsets and nothing else; `group` is the stage's consumer, asked for what the group
    has committed; `partitions` are counts of the input topics (without prefix).
    """

    def __init__(
        self,
        stage: Stage,
        installation: Installation,
        client: dict[str, Any],
        reader: AIOKafkaConsumer,
        group: AIOKafkaConsumer,
        partitions: Mapping[str, int],
        metrics: Metrics,
        clock: BrokerClock,
        rebuilding: bool,
    ) -> None:
        self._stage, self._installation, self._client, self._reader, self._group = (
            stage,
            installation,
            client,
            reader,
            group,
        )
        self._partitions, self._metrics, self._clock = dict(partitions), metrics, clock
        self._rebuilding = rebuilding
        self._unsettled = dict[int, bool]()

    async def restore(self, partition: int, kept: Task | None) -> Task:
        """A task that owns its partition. `kept`: as this worker left it at the last rebalance, clean.

        Raises ChangelogRefused where a person has to decide, any other error where trying again may help.
        """
        installation, name = self._installation, self._stage.name
        transaction = Transaction(
            installation.transactional_id(name, partition), installation.group(name), self._client
        )
        try:
            if kept is not None:
                await kept.transaction.stop()
            was_committed = await decided(self._reader._client, installation.transactional_id(name, partition))
            if was_committed is not None:
                self._unsettled[partition] = was_committed  # a restore can be cancelled after the broker forgot it
            await transaction.start()
            if kept is not None and await self._untouched(kept):
                kept.renew(transaction)
                self._unsettled.pop(partition, None)
                return kept
            if partition in self._unsettled:
                await transaction.settle(self._unsettled[partition], await self._written(partition))
                del self._unsettled[partition]
            return await self._from_changelog(partition, transaction)
        except BaseException:
            await transaction.stop()
            raise

    async def _untouched(self, kept: Task) -> bool:
        """Whether nobody wrote to the task's changelog since its own last commit."""
        state = kept.changelog.state
        end: int = (await self._reader.end_offsets([state]))[state]
        return kept.changelog.end == end

    async def _written(self, partition: int) -> list[TopicPartition]:
        """All that a transaction of this task can have touched, as far as it exists."""
        cluster = await self._reader._client.fetch_all_metadata()
        outputs = [self._installation.topic(name) for name in self._stage.outputs]
        written = [TopicPartition(t, p) for t in outputs for p in cluster.partitions_for_topic(t) or ()]
        changelog = Changelog(self._installation, self._stage, partition, self._partitions)
        return [*written, *filter(None, (changelog.state, changelog.log))]

    async def _from_changelog(self, partition: int, transaction: Transaction) -> Task:
        changelog = Changelog(self._installation, self._stage, partition, self._partitions, self._rebuilding)
        count = next(iter(self._partitions.values()))
        task = Task(
            partition,
            lambda emit: self._stage.open(partition, count, emit),
            changelog,
            transaction,
            self._metrics,
            self._clock,
        )
        position = await changelog.restore(self._reader, task.fold)
        inputs = {name: TopicPartition(self._installation.topic(name), partition) for name in self._stage.inputs}
        begins = await self._reader.beginning_offsets(list(inputs.values()))
        ends = await self._reader.end_offsets(list(inputs.values()))
        begin = {name: begins[tp] for name, tp in inputs.items()}
        end = {name: ends[tp] for name, tp in inputs.items()}
        committed = {name: await self._group.committed(tp) for name, tp in inputs.items()}
        changelog.check(position, committed, begin, end)
        task.start_at(position or Position(begin))
        return task
