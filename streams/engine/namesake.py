"""Two workers of one name: the second ends and says so, instead of both taking the name from each other for ever.

A static member that joins its group takes the place of whoever has its name there, dead or alive: that is how a worker
that comes back keeps its partitions. One that is alive notices that it is no member any more, and joins again.
"""

import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from npsflow.schemas.errors import SettingsError
from npsflow.streams.engine.kafka.clients import member_id
from npsflow.streams.engine.kafka.protocol import DescribeGroup

_GROUP = 0
_SESSIONS = 3  # for so many of them a worker is new to its name


class Namesake:
    """Watches over the static name of a consumer in its group; `instance` None for one without a name.

    It asks with another `client`: requests of the consumer wait behind its fetch.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        client: AIOKafkaClient,
        group: str,
        instance: str | None,
        session_ms: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer, self._client, self._group, self._instance = consumer, client, group, instance
        self._new_for, self._clock = _SESSIONS * session_ms / 1000, clock
        self._member, self._taken_at = "", 0.0

    def joined(self) -> None:
        """To be called whenever it has joined: from now on it is this member of the group."""
        if not self._member:
            self._taken_at = self._clock()
        self._member = member_id(self._consumer)

    async def check(self) -> None:
        """To be called before it joins again. Raises SettingsError where it has to leave the name to another worker.

        It does where it has taken the name not long ago, at its start or back from another: the older one stays.
        """
        if (host := await self._other()) is None:
            return
        if self._clock() - self._taken_at < self._new_for:
            name = (self._instance or "").removeprefix(f"{self._group}-")
            raise SettingsError(
                f"another worker runs under the name {name!r} in group {self._group} (at {host}): "
                "give each worker a --name of its own, or none"
            )
        self._taken_at = self._clock()

    async def _other(self) -> str | None:
        """Where the member is that has our name now, None if that is us or nobody, or cannot be found out."""
        if self._instance is None or not self._member:
            return None
        try:
            node = await self._client.coordinator_lookup(_GROUP, self._group)
            ((*_, members, _),) = (await self._client.send(node, DescribeGroup(self._group))).groups
        except KafkaError:
            return None
        for member, instance, _, host, *_ in members:
            if instance == self._instance and member != self._member:
                return str(host).lstrip("/")
        return None
