"""Fixtures of the fault suite, and the line that each of its tests leaves behind."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from npsflow.agents.broker.download import fetch_kafka
from npsflow.agents.broker.embedded import Broker, free_port
from tests.conftest import SHORT_SESSIONS

from .scenario import REPORTS

HERE = Path(__file__).parent
LINE = "what a fault did"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder, before `-m` chooses."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("faults")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hand the lines to the process that prints the summary."""
    report = yield
    report.user_properties += [(LINE, line) for line in REPORTS]
    REPORTS.clear()
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for group in terminalreporter.stats.values() for report in group]
    properties = [pair for report in reports for pair in getattr(report, "user_properties", ())]
    if lines := [line for name, line in properties if name == LINE]:
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.write_line(str(line))


@pytest.fixture
def own_broker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A running broker for one test, which may stop, kill and start it again: port and data stay."""
    fetch_kafka(print)
    properties = SHORT_SESSIONS | {"log.cleaner.backoff.ms": "500"}  # 15 s are long to wait for a compaction
    kafka = Broker(tmp_path / "kafka", free_port(), properties, brief="soak" not in request.keywords)
    kafka.start()
    yield kafka
    kafka.stop()
