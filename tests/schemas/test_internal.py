"""What stands on internal topics comes back as it was written; errors say where."""

import pytest

from npsflow.schemas import codec
from npsflow.schemas.errors import ChangelogRefused
from npsflow.schemas.fetch import Fetch, decode_fetch
from npsflow.schemas.notify import Delivery, decode_delivery


def test_a_fetch_has_a_key_of_its_own_for_each_event() -> None:
    fetch = Fetch("zendesk", "e-1", {"ticket": "7"}, asked_at=1, attempts=2)
    assert fetch.key() == b"zendesk/e-1"
    assert decode_fetch(codec.encode(fetch)) == fetch


def test_a_delivery_is_that_of_one_notifier_and_one_event() -> None:
    delivery = Delivery("slack", "c-1.2", "waiting", "c-1", offset=3, event_at=4, at=5, attempts=1)
    assert delivery.key() == b"slack/c-1.2"
    assert decode_delivery(codec.encode(delivery)) == delivery


@pytest.mark.parametrize(("offset", "place"), [(None, "t[3]"), (7, "t[3]@7")])
def test_an_error_of_a_task_says_where(offset: int | None, place: str) -> None:
    error = ChangelogRefused("run `npsflow rebuild`", topic="t", partition=3, offset=offset)
    assert str(error) == f"{place}: run `npsflow rebuild`"
    assert (error.topic, error.partition, error.offset) == ("t", 3, offset)
