"""Which addresses take no messages now: who waits for them, when they are tried again, and the lines of the log.

An address that fails is held: its messages wait, and from time to time one of them is sent to see whether it is back.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf

from npsflow.agents.notify.attempt import Outcome
from npsflow.agents.notify.context import Context
from npsflow.agents.notify.kind import Concern, Sender, receiver_of
from npsflow.streams.notify.backoff import hold_delay
from npsflow.streams.notify.queue import OrderingKey, Queue

log = logging.getLogger(__name__)

_Key = tuple[Concern, str]
_ALL: _Key = "receiver", ""  # where all addresses have one receiver


@dataclass(slots=True)
class Hold:
    """One address or receiver that takes nothing, since `since`; times in seconds of the clock.

    `until`: it is not tried before, at all if inf. `failed_at`: when it failed last. `parked`: what waits in memory.
    """

    label: str
    reason: str
    since: float
    until: float = 0.0
    failed_at: float = 0.0
    failures: int = 0
    probed_by: OrderingKey | None = None
    parked: dict[OrderingKey, None] = field(default_factory=dict)


class Holds:
    """The holds of one notifier."""

    def __init__(self, context: Context, sender: Sender, queue: Queue) -> None:
        self._context, self._sender, self._queue = context, sender, queue
        addresses = set(context.settings.to.values())
        self._one_receiver = not context.kind.separate_addresses or len(addresses) < 2
        self._one_address = len(addresses) < 2
        self._holds: dict[_Key, Hold] = {}
        metrics, name = context.metrics, context.name
        metrics.held.labels(name).set_function(lambda: len(self._holds))
        metrics.disabled.labels(name).set_function(lambda: [hold.until for hold in self._holds.values()].count(inf))

    def slots(self, most: int) -> int:
        """How many messages may be under way at once; one to see whether a receiver of all is back."""
        hold = self._holds.get(_ALL) if self._one_receiver else None
        if hold is None:
            return most
        return int(hold.until <= self._context.clock())

    def tries(self) -> list[float]:
        """When each address is tried again, in seconds."""
        return [hold.until for hold in self._holds.values()]

    def problems(self) -> list[str]:
        """What takes no messages now, and why."""
        return [f"{self._context.name}: {hold.label}: {hold.reason}" for hold in self._holds.values()]

    def admit(self, item: OrderingKey, address: str) -> bool:
        """Whether a message may be sent to an address now. Else it is parked, until the address is tried again."""
        if self._closed(address, item):
            self.park(item, address)
            return False
        for hold in self._of(address):
            hold.probed_by = item
        return True

    def park(self, item: OrderingKey, address: str) -> None:
        """Let a message wait until its address is tried again, or is back."""
        for hold in self._of(address):
            hold.parked[item] = None

    def leave(self, item: OrderingKey) -> None:
        """A message that was admitted is not under way any more."""
        for hold in self._holds.values():
            if hold.probed_by == item:
                hold.probed_by = None

    def fail(self, address: str, failure: Outcome, began: float) -> float:
        """An address or its receiver has failed in an attempt that `began` then; returns when it is tried again."""
        key, now = self._key(address, failure.concerns or "receiver"), self._context.clock()
        hold = self._holds.get(key)
        if hold is None:
            hold = self._holds[key] = Hold(self._label(key, address), failure.reason, now)
            if failure.seconds < inf:
                log.warning("an address takes no messages: they wait", extra=self._fields(hold))
        if failure.seconds == inf > hold.until:
            log.error("an address wants nothing any more: its messages wait", extra=self._fields(hold))
        if began > hold.failed_at:  # one that was under way with others says nothing new
            hold.failures += 1
            hold.failed_at = now
        wait = hold_delay(hold.failures, self._context.jitter(), failure.seconds)
        hold.until, hold.reason = max(hold.until, now + wait), failure.reason
        return hold.until

    def succeed(self, address: str, *, began: float) -> None:
        """A message that was sent then has come through."""
        for key in [self._key(address, "address"), self._key(address, "receiver")]:
            hold = self._holds.get(key)
            if hold is None or began <= hold.failed_at:
                continue
            del self._holds[key]
            away = str(timedelta(seconds=round(self._context.clock() - hold.since)))
            log.warning("an address takes messages again", extra=self._fields(hold) | {"after": away})
            for item in hold.parked:
                self._queue.hasten(item)

    def wake_due(self) -> None:
        """Let one of those that wait try each address whose time has come."""
        now = self._context.clock()
        for hold in self._holds.values():
            while hold.until <= now and hold.probed_by is None and hold.parked:
                item = next(iter(hold.parked))
                del hold.parked[item]
                if self._queue.wake(item):
                    break

    def try_now(self) -> None:
        """Try all of them again, also those that want nothing any more."""
        for hold in self._holds.values():
            hold.until = 0.0

    def _closed(self, address: str, item: OrderingKey) -> bool:
        now = self._context.clock()
        return any(hold.until > now or hold.probed_by not in (None, item) for hold in self._of(address))

    def _of(self, address: str) -> Iterator[Hold]:
        keys = {self._key(address, "receiver"), self._key(address, "address")}
        return (self._holds[key] for key in keys if key in self._holds)

    def _key(self, address: str, concern: Concern) -> _Key:
        if concern == "address" and not self._one_address:
            return "address", address
        return _ALL if self._one_receiver else ("receiver", receiver_of(self._sender, address) or address)

    def _label(self, key: _Key, address: str) -> str:
        """As the settings name an address: what it is may be personal."""
        receiver = receiver_of(self._sender, address) or self._context.name
        if key[0] == "receiver":
            return receiver
        people = [person for person, its in self._context.settings.to.items() if its == address]
        return f"to.{people[0]} at {receiver}" if people else receiver

    def _fields(self, hold: Hold) -> dict[str, object]:
        return {"notifier": self._context.name, "address": hold.label, "why": hold.reason}
