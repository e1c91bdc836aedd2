"""What becomes of events that are read for the first time: a message each, one with an earlier, or none."""

from collections.abc import Iterator, Sequence

from npsflow.schemas.notify import Delivery
from npsflow.streams.notify.event import Event, Unreadable, is_case, read, settle, wanted
from npsflow.streams.notify.queue import Queue
from npsflow.streams.notify.settings import Notifier
from npsflow.streams.stage import Record

_MOST = 250  # records of the log at once: they fit into one batch, however long their ids are


class Planning:
    """Of one notifier; `queue` knows what stands already."""

    def __init__(self, name: str, notifier: Notifier, queue: Queue) -> None:
        self._name, self._notifier, self._queue = name, notifier, queue

    def plan(self, records: Sequence[Record], now: int) -> Iterator[list[Delivery]]:
        """What is to be written to the log, in portions: each is in the queue before the next is asked for."""
        planned: list[Delivery] = []
        for record in records:
            if not is_case(record.headers):
                continue
            try:
                event = read(record)
                told = wanted(event, self._notifier)
            except (Unreadable, ValueError):
                planned.append(self._unreadable(record, now))
                continue
            into = None
            if event.what == "enriched" and event.case.get("comment"):
                if planned:  # among them may be the one that waits for this comment
                    yield planned
                    planned = []
                into = self._queue.settling(record.partition, event.case_id, now)
            if into is not None:
                planned.append(self._delivery(record, event, now, merged=into))
            elif told:
                planned.append(self._delivery(record, event, now))
            if len(planned) >= _MOST:
                yield planned
                planned = []
        if planned:
            yield planned

    def _delivery(self, record: Record, event: Event, now: int, merged: Delivery | None = None) -> Delivery:
        wait = int(settle(event, self._notifier) * 1000)
        return Delivery(
            self._name, event.id, "waiting" if merged is None else "merged", event.case_id, record.offset,
            record.timestamp, now, not_before=record.timestamp + wait if wait else 0,
            reference="" if merged is None else merged.event_id,
        )  # fmt: skip

    def _unreadable(self, record: Record, now: int) -> Delivery:
        name = f"unreadable.{record.partition}.{record.offset}"
        return Delivery(
            self._name, name, "given_up", name, record.offset, record.timestamp, now, error="the event cannot be read"
        )
