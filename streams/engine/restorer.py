"""How a task comes (back) to a worker: its producer fences the last owner, its changelog says where it stands."""

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from npsflow.streams.engine.admin import leaders_of
from npsflow.streams.engine.changelog import Changelog, Position
from npsflow.streams.engine.clock import BrokerClock
from npsflow.streams.engine.context import Context
from npsflow.streams.engine.kafka.changelog_reader import ChangelogReader
from npsflow.streams.engine.kafka.clients import client_of
from npsflow.streams.engine.kafka.hanging_transactions import settle
from npsflow.streams.engine.observer import Lost
from npsflow.streams.engine.task import Task
from npsflow.streams.engine.transaction import Transaction

_SETTLE = 60.0  # seconds: a coordinator that has none, or cannot end a transaction, must not hold up other tasks


class Restorer:
    """Makes the tasks of one stage."""

    def __init__(
        self,
        context: Context,
        reader: ChangelogReader,
        group: AIOKafkaConsumer,
        partitions: Mapping[str, int],
        clock: BrokerClock,
    ) -> None:
        """`reader` is used for nothing else that takes long; `group`: the stage's consumer, asked for what its group
        has committed; `partitions`: counts of the input topics (without prefix)."""
        self._context, self._reader, self._group = context, reader, group
        self._stage, self._installation = context.stage, context.installation
        self._partitions, self._clock = dict(partitions), clock
        self._failed = False

    async def restore(self, partition: int, kept: Task | None) -> Task:
        """Give a task that owns its partition. `kept`: as this worker left it at the last rebalance.

        Raises ChangelogRefused where a person has to decide, any other error where trying again may help: that is done
        with another consumer, since it may be the consumer that is broken.
        """
        if self._failed:
            await self._reader.renew()
            self._failed = False
        try:
            if kept is not None:
                await kept.transaction.stop()
            leaders = await self._leaders(partition)
            name = self._installation.transactional_id(self._stage.name, partition)
            async with asyncio.timeout(_SETTLE):
                await settle(self._installation, client_of(self._reader.consumer), name, leaders)
            return await self._restore(Transaction(self._context, partition, leaders), partition, kept)
        except Exception:  # not if it was cancelled
            self._failed = True
            raise

    async def _leaders(self, partition: int) -> dict[TopicPartition, int]:
        """The brokers of whatever a transaction of this task can touch."""
        changelog = Changelog(self._context, partition, self._partitions)
        own = {tp.topic for tp in (changelog.state, changelog.log) if tp is not None}
        topics = own.union(map(self._installation.topic, self._stage.outputs))
        found = await leaders_of(client_of(self._reader.consumer), topics)
        if missing := topics - {tp.topic for tp in found}:
            raise UnknownTopicOrPartitionError(f"topic {min(missing)} does not exist: run `npsflow topics create`")
        return {tp: node for tp, node in found.items() if tp.topic not in own or tp.partition == partition}

    async def _restore(self, transaction: Transaction, partition: int, kept: Task | None) -> Task:
        try:
            async with asyncio.timeout(_SETTLE):
                await transaction.start()
            if kept is not None and await self._is_untouched(kept):
                kept.renew(transaction)
                return kept
            return await self._from_changelog(partition, transaction)
        except BaseException:
            await transaction.stop()
            raise

    async def _is_untouched(self, kept: Task) -> bool:
        """Whether nobody wrote to the task's changelog since its own last commit."""
        state = kept.changelog.state
        end: int = (await self._reader.consumer.end_offsets([state]))[state]
        return kept.changelog.end == end

    async def _from_changelog(self, partition: int, transaction: Transaction) -> Task:
        changelog = Changelog(self._context, partition, self._partitions)
        task = Task(self._context, changelog, transaction, self._clock)
        reader = self._reader.consumer
        position = await changelog.restore(reader, task.fold)
        inputs = {name: TopicPartition(self._installation.topic(name), partition) for name in self._stage.inputs}
        begins = await reader.beginning_offsets(list(inputs.values()))
        ends = await reader.end_offsets(list(inputs.values()))
        begin = {name: begins[tp] for name, tp in inputs.items()}
        end = {name: ends[tp] for name, tp in inputs.items()}
        committed = {name: await self._group.committed(tp) for name, tp in inputs.items()}
        changelog.check(position, committed, begin, end)
        position = position or Position(dict(begin))
        lost = [name for name, offset in position.offsets.items() if offset < begin[name]]
        for name in lost:
            self._context.observer.observe(Lost(changelog.task, name, position.offsets[name], begin[name]))
            position.offsets[name] = begin[name]
        task.start(position)
        if lost:
            task.touch()  # the commit says that it was accepted
        return task
