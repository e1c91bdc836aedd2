"""Everything that replaces a private method of mode, the host of services below Faust: how a worker hears signals."""

import mode

OVERRIDDEN = ("_on_sigusr1", "_on_sigusr2")
"""Methods of mode.Worker that do nothing here. A test compares them with the mode that is installed."""


class Worker(mode.Worker):
    """Ignores two signals on which mode writes local variables, responses among them, or waits in a debugger."""

    def _on_sigusr1(self) -> None: ...

    def _on_sigusr2(self) -> None: ...
