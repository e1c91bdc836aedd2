"""Waiting until another task, thread or process has done something."""

import asyncio
import time
from collections.abc import Callable
from inspect import isawaitable

import pytest
from aiokafka.errors import KafkaError

SECONDS = 60.0
_PAUSES = 0.02, 0.1
"""Seconds between two looks, of a wait that begins and of a long one: to look costs npsflow and Kafka time as well."""


async def eventually(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Return when the condition holds, a plain function or an async one; if it does not in time, the test fails there.

    An error of Kafka that may pass (a coordinator is still being found) counts as no.
    """
    __tracebackhide__ = True
    began = time.monotonic()
    while not await _holds(condition):
        await asyncio.sleep(_pause(began, seconds, condition))


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Do the same where no event loop runs."""
    __tracebackhide__ = True
    began = time.monotonic()
    while not condition():
        time.sleep(_pause(began, seconds, condition))


def _pause(began: float, seconds: float, condition: Callable[[], object]) -> float:
    """A tenth of the time since `began`, within bounds."""
    __tracebackhide__ = True
    waited = time.monotonic() - began
    if waited > seconds:
        pytest.fail(f"it did not come within {seconds:g} s: {condition}")
    shortest, longest = _PAUSES
    return min(max(shortest, waited / 10), longest)


async def _holds(condition: Callable[[], object]) -> bool:
    try:
        result = condition()
        return bool(await result if isawaitable(result) else result)
    except KafkaError as error:
        if not error.retriable:
            raise
        return False
