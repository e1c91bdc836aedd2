"""What npsflow replaces of uvloop is there, and is used."""

import asyncio
import inspect
from collections.abc import Iterator

import pytest
import uvloop

from npsflow.agents.runtime import event_loop


@pytest.fixture
def policy() -> Iterator[None]:
    """Whatever a test sets is gone after it."""
    before = asyncio.get_event_loop_policy()
    yield
    asyncio.set_event_loop_policy(before)


@pytest.mark.usefixtures("policy")
def test_every_loop_is_of_our_kind() -> None:
    event_loop.use_uvloop()
    with asyncio.Runner() as runner:
        assert type(runner.get_loop()) is event_loop.Loop


def test_how_long_a_farewell_may_take_can_be_set() -> None:
    parameters = inspect.signature(uvloop.Loop.create_connection).parameters
    assert {"ssl", "ssl_shutdown_timeout"} <= parameters.keys()
