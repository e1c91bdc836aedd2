"""Waiting until another task, thread or process has done something."""

import asyncio
import time
from collections.abc import Callable, Iterator
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
    for pause in _pauses(seconds, condition):
        if await _holds(condition):
            return
        await asyncio.sleep(pause)


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Do the same where no event loop runs."""
    __tracebackhide__ = True
    for pause in _pauses(seconds, condition):
        if condition():
            return
        time.sleep(pause)


def _pauses(seconds: float, condition: Callable[[], object]) -> Iterator[float]:
    """Each a tenth of what was waited before it, within bounds; when `seconds` are over the test fails."""
    __tracebackhide__ = True
    began, (shortest, longest) = time.monotonic(), _PAUSES
    while (waited := time.monotonic() - began) <= seconds:
        yield min(max(shortest, waited / 10), longest)
    pytest.fail(f"it did not come within {seconds:g} s: {condition}")


async def _holds(condition: Callable[[], object]) -> bool:
    try:
        result = condition()
        return bool(await result if isawaitable(result) else result)
    except KafkaError as error:
        if not error.retriable:
            raise
        return False
