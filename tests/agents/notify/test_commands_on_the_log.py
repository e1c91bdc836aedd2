"""What stands on `notify-log` beside the deliveries: commands, and what a first start left."""

from math import inf

from msgspec.structs import replace

from npsflow.schemas import codec
from npsflow.schemas.notify import Backlog, Hurry, decode_record
from npsflow.streams.notify.queue import Queue

from .test_queue import delivery


def test_each_record_is_known_by_its_key() -> None:
    for record in (delivery(1), Hurry("desk", 5), Hurry("desk", 5, "c-1.1"), Backlog("desk", 1, 9, 8, 24.0, 5)):
        assert decode_record(record.key(), codec.encode(record)) == record
    assert len({Hurry("desk", 5).key(), Hurry("desk", 6).key(), Hurry("desk", 5, "c-1.1").key()}) == 2


def _queue(*numbers: int, at: int = 1000) -> Queue:
    queue = Queue()
    queue.assign(0)
    for offset, number in enumerate(numbers):
        queue.apply(0, offset, delivery(number, at=at))
    return queue


def test_what_waits_before_a_command_is_due_now_and_nothing_that_comes_later() -> None:
    queue = _queue(0, 1)
    assert queue.take(5) is None
    queue.hurry(0)
    queue.apply(0, 2, delivery(2, at=1000))
    taken = [queue.take(5), queue.take(5), queue.take(5)]
    assert [one and one.delivery.event_id for one in taken] == ["e0", "e1", None]


def test_the_next_try_of_what_was_hurried_is_when_its_record_says() -> None:
    queue = _queue(0, 1)
    queue.hurry(0, "e1")
    item = queue.take(5)
    assert item is not None
    assert item.delivery.event_id == "e1"
    queue.apply(0, 7, replace(item.delivery, attempts=1, not_before=2000))
    queue.release(item)
    assert queue.take(999) is None
    assert queue.next_due() == 1000


def test_what_is_parked_wakes_only_when_it_is_woken() -> None:
    queue = _queue(0, at=0)
    item = queue.take(5)
    assert item is not None
    queue.postpone(item, inf)
    queue.release(item)
    assert queue.take(10**9) is None
    assert queue.wake(item.ordering_key)
    assert queue.take(10**9) == item
    assert not queue.wake((0, "another case"))


def test_a_backlog_is_that_of_the_newest_owner() -> None:
    queue = _queue()
    left = Backlog("desk", 1, 9, 8, 24.0, 5, owner=100)
    queue.set_backlog(0, left)
    queue.set_backlog(0, replace(left, begin=5, owner=50))
    assert queue.backlog(0) == left
    queue.revoke(0)
    assert queue.backlog(0) is None
