"""What becomes of new events: a message each, part of an earlier message, or nothing."""

from collections.abc import Iterator, Sequence

from npsflow.schemas.notify import Delivery
from npsflow.streams.notify.event import Event, UnreadableEvent, is_case_event, is_wanted, read_event, settle_seconds
from npsflow.streams.notify.queue import Queue
from npsflow.streams.notify.settings import NotifierSettings
from npsflow.streams.stage import Record

_MAX_RECORDS = 250  # of the log at once: they fit into one batch, however long their ids are


class Planner:
    """Plans the deliveries of one notifier; its `queue` knows which messages wait."""

    def __init__(self, name: str, notifier: NotifierSettings, queue: Queue) -> None:
        self._name, self._notifier, self._queue = name, notifier, queue

    def plan(self, records: Sequence[Record], now: int) -> Iterator[list[Delivery]]:
        """The deliveries to write to the log, in portions; `now` in ms.

        Apply each portion to the queue before you ask for the next.
        """
        planned: list[Delivery] = []
        for record in records:
            if not is_case_event(record.headers):
                continue
            try:
                event = read_event(record)
                wanted = is_wanted(event, self._notifier)
            except (UnreadableEvent, ValueError):
                planned.append(self._unreadable(record, now))
                continue
            into = None
            if event.name == "enriched" and event.case.get("comment"):
                if planned:  # the message that waits for this comment may be among them
                    yield planned
                    planned = []
                into = self._queue.find_settling(record.partition, event.case_id, now)
            if into is not None:
                planned.append(self._delivery(record, event, now, merged=into))
            elif wanted:
                planned.append(self._delivery(record, event, now))
            if len(planned) >= _MAX_RECORDS:
                yield planned
                planned = []
        if planned:
            yield planned

    def wants(self, record: Record) -> bool:
        """Whether there will be a message about it; also about one that cannot be read."""
        try:
            return is_case_event(record.headers) and is_wanted(read_event(record), self._notifier)
        except (UnreadableEvent, ValueError):
            return True

    def _delivery(self, record: Record, event: Event, now: int, merged: Delivery | None = None) -> Delivery:
        wait = int(settle_seconds(event, self._notifier) * 1000)
        return Delivery(
            notifier=self._name,
            event_id=event.id,
            state="waiting" if merged is None else "merged",
            case_id=event.case_id,
            offset=record.offset,
            event_at=record.timestamp,
            at=now,
            not_before=record.timestamp + wait if wait else 0,
            reference="" if merged is None else merged.event_id,
        )

    def _unreadable(self, record: Record, now: int) -> Delivery:
        id_ = f"unreadable.{record.partition}.{record.offset}"
        return Delivery(
            notifier=self._name,
            event_id=id_,
            state="given_up",
            case_id=id_,
            offset=record.offset,
            event_at=record.timestamp,
            at=now,
            error="the event cannot be read",
        )
