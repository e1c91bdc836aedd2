"""What npsflow replaces of the inside of mode is there, and is what signals come to."""

import asyncio
import inspect
import logging
import os
import signal

import mode
import pytest

from npsflow.agents.runtime.signals import OVERRIDDEN, Worker


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_a_method_that_is_replaced_is_there(name: str) -> None:
    assert list(inspect.signature(getattr(mode.Worker, name)).parameters) == ["self"]
    assert name in vars(Worker)


def test_no_other_private_method_is_replaced() -> None:
    own = {name for name, value in vars(Worker).items() if callable(value) and not name.endswith("__")}
    assert own == set(OVERRIDDEN)


async def test_debugging_signals_come_to_methods_that_do_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Else one of them writes local variables into the log, and the other waits in a debugger."""
    loop = asyncio.get_running_loop()
    worker = Worker(loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
    heard = asyncio.Event()
    worker.install_signal_handlers()
    try:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
        loop.add_signal_handler(signal.SIGHUP, heard.set)
        os.kill(os.getpid(), signal.SIGHUP)  # it comes behind the others
        await heard.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            loop.remove_signal_handler(number)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
