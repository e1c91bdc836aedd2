"""A token is used by all connections until shortly before it ends, and then another is asked for."""

import pytest

from npsflow.streams.engine.kafka.tokens import Tokens
from npsflow.streams.engine.oauth import Granted, used_for


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("lasts", "seconds"), [(3600, 3540), (300, 240), (60, 30), (1, 0.5)])
async def test_a_token_is_used_until_shortly_before_its_end(lasts: float, seconds: float) -> None:
    clock, granted = Clock(), list[str]()

    async def grant() -> Granted:
        granted.append(f"token {len(granted)}")
        return Granted(granted[-1], used_for(lasts))

    tokens = Tokens(grant, clock)
    for wait, expected in ((0, "token 0"), (seconds - 0.1, "token 0"), (0.1, "token 1"), (seconds - 0.1, "token 1")):
        clock.now += wait
        assert await tokens.token() == expected
