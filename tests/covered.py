"""Plugin `-p tests.covered`: which lines of the pure packages their own tests run, while others run beside them."""

import functools
from collections.abc import Callable, Generator
from typing import Any

import pytest
from coverage import Coverage

EXAMPLES = 20
"""So many of a property's examples are measured: which lines run, few tell, and to measure doubles their time."""

MEASURE = Coverage()  # as pyproject.toml says; what runs when a module is imported counts too
MEASURE.start()


def pytest_collection_finish() -> None:
    MEASURE.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if item.get_closest_marker("pure") is None:
        return (yield)
    # A property has a handle by which its examples are wrapped; a state machine has none, and is measured whole.
    if handle := getattr(getattr(item, "obj", None), "hypothesis", None):
        handle.inner_test = measuring_few(handle.inner_test)
    MEASURE.start()
    try:
        return (yield)
    finally:
        MEASURE.stop()


def measuring_few(example: Callable[..., Any]) -> Callable[..., Any]:
    """The same, which ends the measurement when it is called once more than EXAMPLES times."""
    left = EXAMPLES

    @functools.wraps(example)
    def measured(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        if left == 0:
            MEASURE.stop()
        left -= 1
        return example(*args, **kwargs)

    return measured


def pytest_sessionfinish() -> None:
    MEASURE.save()
