"""Every adapter conforms; nothing that an API answers makes one stumble."""

import json
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npsflow.agents import platforms
from npsflow.agents.platforms.protocol import FetchError, Malformed
from npsflow.schemas import codec
from npsflow.streams.intake import recipes
from npsflow.streams.intake.mapping import Unmapped
from tests.support.fuzzing import ODD_VALUES, anything, put, with_each_replaced

from .conformance import FIXTURES, NOW, Conformance, platform
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


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", sorted(SIGN))
def test_any_field_of_a_webhook_may_be_anything(name: str, value: Any) -> None:
    """It is understood, kept as unmapped, or not what the platform sends."""
    under = platform(name)
    try:
        good = json.loads(under.good)
    except ValueError:
        return  # a platform that sends something else
    for body in with_each_replaced(good, value):
        delivery = under.delivery(json.dumps(body).encode())
        with suppress(Malformed):
            for record in under.endpoint.understand(delivery, NOW).records:
                assert json.loads(record.value or b"")


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", [name for name in platforms.offering("answers") if platform(name).answers])
def test_any_field_of_an_answer_may_be_anything(name: str, value: Any) -> None:
    under = platform(name)
    good = dict(under.answers)
    for path, answer in good.items():
        for odd in with_each_replaced(answer, value):
            under.answers = good | {path: codec.loads_lenient(json.dumps(odd))}
            with suppress(FetchError, Unmapped):
                under.become(under.good)
