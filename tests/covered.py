"""Plugin `-p tests.covered`: which lines of the pure packages their own tests run, while others run beside them."""

from collections.abc import Generator

import pytest
from coverage import Coverage

MEASURE = Coverage()  # as pyproject.toml says; what runs when a module is imported counts too
MEASURE.start()


def pytest_collection_finish() -> None:
    MEASURE.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if "pure" not in item.keywords:
        return (yield)
    MEASURE.start()
    try:
        return (yield)
    finally:
        MEASURE.stop()


def pytest_sessionfinish() -> None:
    MEASURE.save()
