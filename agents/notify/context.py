"""What the parts of one running notifier share."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from npsflow.agents.notify.kind import Kind
from npsflow.agents.notify.metrics import Metrics
from npsflow.agents.sealing.keyring import Keyring
from npsflow.agents.sealing.sealer import CLEAR, Seals
from npsflow.streams.engine.installation import Installation
from npsflow.streams.notify.settings import NotifierSettings


@dataclass(frozen=True, slots=True)
class Context:
    """`name` as in `[notify.NAME]`. `keyring` opens what is sealed in events, `sealer` seals comments of actions.

    `clock` gives seconds since the epoch; `jitter` a number from 0 to 1.
    `send_backlog`: the messages from before the very first start are sent, however many they are.
    """

    name: str
    settings: NotifierSettings
    kind: Kind
    installation: Installation
    metrics: Metrics
    keyring: Keyring
    sealer: Seals = CLEAR
    clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random
    send_backlog: bool = False

    def now(self) -> int:
        """The clock in ms."""
        return int(self.clock() * 1000)
