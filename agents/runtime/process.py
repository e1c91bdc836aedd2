"""How every process of ours that lasts is set up."""

import gc
import sys


def prepare() -> None:
    """Set up its garbage collector and its kind of event loop."""
    # What lives long here are bytes, which the collector need not walk; what dies young dies by reference count.
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    if sys.platform != "win32":
        from npsflow.agents.runtime.event_loop import use_uvloop

        use_uvloop()
