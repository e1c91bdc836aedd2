"""Every adapter conforms; nothing that an API answers makes one stumble."""

from contextlib import suppress
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npsflow.agents import platforms
from npsflow.agents.platforms.protocol import FetchError
from npsflow.streams.intake import recipes
from tests.support.fuzzing import anything, put

from .conformance import FIXTURES, Conformance, platform
from .signing import SIGN


@cache
def conformance(name: str) -> Conformance:
    return platform(name)


def test_every_platform_has_fixtures() -> None:
    assert platforms.names() == sorted(folder.name for folder in FIXTURES.iterdir())
    assert platforms.offering("webhook") == sorted(SIGN)
    exports = {folder.parent.name for folder in FIXTURES.glob("*/export")}
    assert platforms.offering("export") == sorted(exports | {*recipes.names()})  # a recipe's are read as generic's are


@pytest.mark.parametrize("name", sorted(SIGN))
def test_platform_conforms(name: str) -> None:
    conformance(name).conforms()


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in platforms.offering("answers") if platform(name).answers])
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_answered_is_understood_or_not(name: str, data: st.DataObject) -> None:
    """Good answers of which one part is anything."""
    under = platform(name)
    random = data.draw(st.randoms(use_true_random=False)).random
    put(under.answers[data.draw(st.sampled_from(sorted(under.answers)))], random, data.draw(anything))
    with suppress(FetchError):
        under.become(under.good)
