"""Waiting until another task, thread or process has done something."""

import asyncio
import time
from collections.abc import Callable
from inspect import isawaitable

import pytest
from aiokafka.errors import KafkaError

SECONDS = 60.0
_PAUSE = 0.02


async def eventually(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Return when the condition holds, a plain function or an async one; if it does not in time, the test fails there.

    An error of Kafka that may pass (a coordinator is still being found) counts as no.
    """
    __tracebackhide__ = True
    deadline = time.monotonic() + seconds
    while not await _holds(condition):
        if time.monotonic() > deadline:
            pytest.fail(f"it did not come within {seconds:g} s: {condition}")
        await asyncio.sleep(_PAUSE)


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Do the same where no event loop runs."""
    __tracebackhide__ = True
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"it did not come within {seconds:g} s: {condition}")
        time.sleep(_PAUSE)


async def _holds(condition: Callable[[], object]) -> bool:
    try:
        result = condition()
        return bool(await result if isawaitable(result) else result)
    except KafkaError as error:
        if not error.retriable:
            raise
        return False
