"""Whatever is sent gets a documented answer, and is quoted nowhere: `make fuzz`, and a part of it in every run."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import StringIO
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.web.limits import Limits
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.logs import JsonFormatter
from tests.agents.platforms.conformance import endpoint
from tests.agents.platforms.signing import SECRET
from tests.support.fuzzing import AT_ONCE, Sent, answers, anything, count, requests_at_once

from .fuzzing import ENTRANCES, UNMAPPED, request
from .serving import Serving, install, serving

REQUESTS = 5000
STATUSES = {200, 202, 400, 401, 404, 405, 413, 415, 417}
"""Of the documented ones those that a request alone can bring about: 408, 429 and 503 are about time and amount."""

PRIVATE = re.compile(
    rb"example\.com|C-1042|C-2208|two days late|Quick and friendly|Nobody at the desk|" + SECRET[6:].encode()
)


class Fuzzed:
    """A server, its answers and its log."""

    def __init__(self, loop: asyncio.AbstractEventLoop, intake: Serving, log: StringIO) -> None:
        self.loop, self.intake, self.log = loop, intake, log
        self.statuses: Counter[int] = Counter()

    def send(self, all_: list[Sent]) -> None:
        found = self.loop.run_until_complete(answers(self.intake.port, all_))
        for sent, (status, answer) in zip(all_, found, strict=True):
            self.statuses[status] += 1
            assert status in STATUSES or (sent.broken and status in (0, 100)), (status, sent.data)
            assert not PRIVATE.search(answer), (answer, sent.data)


@asynccontextmanager
async def server(broker: Broker) -> AsyncIterator[Serving]:
    installation = Installation(broker.bootstrap, "intake-fuzz.")
    await install(installation)
    forms = {name: of.form for name, of in ENTRANCES.items()}
    forms |= {name + UNMAPPED: msgspec.structs.replace(form, scores=[]) for name, form in forms.items()}
    endpoints = {name: endpoint(form, "a key", name=name) for name, form in forms.items()}
    limits = Limits(rate=1e9, connections=10 * AT_ONCE, connections_of_one=10 * AT_ONCE)
    async with serving(installation, limits, endpoints=endpoints) as intake:
        yield intake


@pytest.fixture(scope="module")
def fuzzed(broker: Broker) -> Iterator[Fuzzed]:
    log = StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    with asyncio.Runner() as runner:
        loop, opened = runner.get_loop(), server(broker)
        yield Fuzzed(loop, runner.run(opened.__aenter__()), log)
        runner.run(opened.__aexit__(None, None, None))
    logging.getLogger().removeHandler(handler)


@requests_at_once(REQUESTS)
@given(random=st.randoms(use_true_random=True), some=st.lists(anything, min_size=1, max_size=5))
def test_whatever_is_sent_gets_a_documented_answer(fuzzed: Fuzzed, random: Random, some: list[Any]) -> None:
    fuzzed.send([request(random, random.choice(some)) for _ in range(AT_ONCE)])


def test_nothing_of_it_is_in_the_log_and_nothing_failed(fuzzed: Fuzzed) -> None:
    """Behind the test above."""
    assert sum(fuzzed.statuses.values()) >= count(REQUESTS)
    assert fuzzed.statuses.keys() >= STATUSES
    assert not PRIVATE.search(fuzzed.log.getvalue().encode())
    assert "Traceback" not in fuzzed.log.getvalue()
    errors = [line for line in fuzzed.log.getvalue().splitlines() if '"level":"error"' in line]
    assert errors == []
    for name in (*ENTRANCES, "unknown"):
        assert fuzzed.intake.counted(name, "failed") == 0
    assert all(fuzzed.intake.counted(name, "accepted") for name in ENTRANCES)
