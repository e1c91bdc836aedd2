"""The time by which commits are made: the broker's."""

from collections.abc import Callable


class BrokerClock:
    """The broker's time, ms, told from the append times of our own records; our clock's jumps do not matter to it."""

    def __init__(self, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        """Both in seconds; `wall` is asked once, until the broker has been heard."""
        self._monotonic = monotonic
        self._offset = int((wall() - monotonic()) * 1000)
        self.known = False

    def now(self) -> int:
        return int(self._monotonic() * 1000) + self._offset

    def learn(self, append_time: int) -> None:
        """A record was appended just now at this time (ms); a topic with create time says -1."""
        if append_time > 0:
            self._offset, self.known = append_time - int(self._monotonic() * 1000), True
