"""Fixtures of the tests against a real Kafka."""

import re
from pathlib import Path

import pytest

from npsflow.agents.broker import Broker

from .installation import Installation


@pytest.fixture
def installation(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Installation:
    """An installation of its own, with topics."""
    made = Installation(broker, re.sub(r"[\W_]+", "-", request.node.name) + ".", tmp_path)
    assert made.run("topics", "create").exit_code == 0
    return made
