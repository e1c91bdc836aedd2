"""Where partitions began when they were last fetched. Each answer to a fetch says so; aiokafka does not pass it on.

So it takes no request of its own to know that nothing was deleted in front of a record.
"""

from typing import Any

from aiokafka import TopicPartition
from aiokafka.protocol.fetch import FetchResponse_v5

from npsflow.streams.engine.kafka.clients import client_of

_SINCE = 5  # the version of the answer


class LogStarts:
    """Of what a consumer fetches, from now on."""

    def __init__(self, consumer: Any) -> None:
        self._begins: dict[TopicPartition, int] = {}
        client = client_of(consumer)
        send = client.send

        async def noting(*args: Any, **kwargs: Any) -> Any:
            response = await send(*args, **kwargs)
            self.note(response)
            return response

        client.send = noting

    def covers(self, tp: TopicPartition, offset: int) -> bool:
        """Whether nothing from `offset` on was deleted when `tp` was last fetched; False where that is not known."""
        begin = self._begins.get(tp)
        return begin is not None and begin <= offset

    def note(self, response: Any) -> None:
        """Take it from an answer to a fetch; a partition with an error is not known any more."""
        if response.API_KEY != FetchResponse_v5.API_KEY or response.API_VERSION < _SINCE:
            return
        for topic, partitions in response.topics:
            for partition, error, _, _, begin, *_ in partitions:
                tp = TopicPartition(topic, partition)
                if error:
                    self._begins.pop(tp, None)
                else:
                    self._begins[tp] = begin
