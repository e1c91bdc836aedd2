"""An installation, and an endpoint that is told of its cases."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from npsflow.agents.broker.embedded import Broker

from .desk import Desk
from .ends import Endpoint


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    async with made.running():
        yield made


@pytest.fixture
async def desk(broker: Broker, tmp_path: Path, endpoint: Endpoint, request: pytest.FixtureRequest) -> Desk:
    """`desk` is a webhook."""
    prefix = re.sub(r"[\W_]+", "-", request.node.name) + "."
    made = Desk(broker, prefix, tmp_path, webhook(endpoint))
    assert (await made.run("topics", "create")).exit_code == 0
    return made


def webhook(endpoint: Endpoint) -> str:
    return f'kind = "webhook"\nto = {{ "*" = "{endpoint.url}" }}\noptions = {{ internal = true }}'
