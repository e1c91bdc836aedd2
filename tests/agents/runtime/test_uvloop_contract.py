"""What npsflow replaces of the inside of uvloop is there, and is used."""

import inspect

import uvloop

from npsflow.agents.runtime import event_loop


def test_a_policy_of_uvloop_makes_its_loops_by_the_method_that_is_replaced() -> None:
    assert callable(uvloop.EventLoopPolicy._loop_factory)
    loop = event_loop.Policy().new_event_loop()
    try:
        assert type(loop) is event_loop.Loop
    finally:
        loop.close()


def test_how_long_a_farewell_may_take_can_be_set() -> None:
    parameters = inspect.signature(uvloop.Loop.create_connection).parameters
    assert {"ssl", "ssl_shutdown_timeout"} <= parameters.keys()
