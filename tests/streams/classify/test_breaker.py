"""A partition whose producer has gone wrong is stopped by what its last thousand records were."""

from npsflow.streams.classify.breaker import Breaker


def test_it_trips_when_more_than_half_of_the_last_thousand_were_refused() -> None:
    breaker = Breaker()
    for number in range(3_000):
        breaker.saw(dead=number % 2 == 0)
    assert not breaker.tripped
    breaker.saw(dead=False)
    breaker.saw(dead=True)
    assert not breaker.tripped
    breaker.saw(dead=True)
    breaker.saw(dead=True)
    assert breaker.tripped


def test_after_a_reset_the_next_thousand_are_judged_anew() -> None:
    breaker = Breaker()
    for _ in range(1_000):
        breaker.saw(dead=True)
    assert breaker.tripped
    breaker.reset()
    for _ in range(999):
        breaker.saw(dead=True)
    assert not breaker.tripped
    breaker.saw(dead=True)
    assert breaker.tripped
