"""The time by which commits are made: the broker's."""

from collections.abc import Callable


class BrokerClock:
    """The broker's time, ms, known from the append times of our own records. Jumps of our clock do not move it."""

    def __init__(self, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        """Both in seconds; `wall` is asked once, for the time until the broker is heard."""
        self._monotonic = monotonic
        self._offset = int((wall() - monotonic()) * 1000)
        self.known = False
        """Whether the broker has been heard."""

    def now(self) -> int:
        """The time, ms."""
        return int(self._monotonic() * 1000) + self._offset

    def learn(self, append_time: int) -> None:
        """Set it by the time (ms) at which a record was appended just now; -1, of a topic with create time, is none."""
        if append_time > 0:
            self._offset, self.known = append_time - int(self._monotonic() * 1000), True
