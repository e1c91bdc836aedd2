"""What Ctrl-C does: it ends the process at once while modules are imported, and interrupts a command that runs.

Python's own handler raises wherever it is: in the middle of an import that is a page of traceback. This module is the
first that is imported, so it imports nothing that Python has not imported itself.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ended before it was done, as shells have it."""


def end_at_once() -> None:
    """From now on Ctrl-C ends the process, silently, unless it was started to ignore that; in the main thread."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as a shell does for what it runs in the background
        signal.signal(signal.SIGINT, _end)


def interrupt_command() -> Callable[[], Any]:
    """After `end_at_once`, let Ctrl-C raise KeyboardInterrupt until what is returned is called; else change nothing."""
    if signal.getsignal(signal.SIGINT) is not _end:
        return lambda: None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return end_at_once


def _end(*_: object) -> None:
    os._exit(INTERRUPTED)
