"""All responses that a task remembers, and the time that says how long: the owner of stream time and horizon."""

from collections import defaultdict

from npsflow.schemas.times import HOUR
from npsflow.streams.classify import stored
from npsflow.streams.classify.stored import Remembered

_PER_RECORD = 1000  # remembered responses in one changelog record: far below the largest record, at 700 bytes each


class RememberedResponses:
    """Packed responses by their id of ID bytes, for `horizon` ms of stream time.

    They lie in a dict of bytes (nothing for the garbage collector to walk), with a list of ids for each hour submitted.
    """

    def __init__(self, horizon: int) -> None:
        self.stream_time = 0
        """Greatest `submitted_at` accepted so far, ms."""
        self.oldest = -horizon
        """What was submitted before this time, in ms, is too late to be accepted and may be forgotten."""
        self._horizon = horizon
        self.packed: dict[bytes, bytes] = {}
        """By id all that is not forgotten yet, also what is beyond the horizon."""
        self._by_hour: defaultdict[int, list[bytes]] = defaultdict(list)
        self._not_dumped: list[tuple[bytes, bytes, int]] = []
        self._expired_to = -(1 << 62)

    def __len__(self) -> int:
        return len(self.packed)

    def advance(self, stream_time: int) -> None:
        """Set stream time, ms."""
        self.stream_time = stream_time
        self.oldest = stream_time - self._horizon

    def find(self, id_: bytes) -> Remembered | None:
        """The response as it stands; None for one that was never seen or is beyond the horizon."""
        packed = self.packed.get(id_)
        if packed is None or stored.submitted_of(packed) < self.oldest:
            return None
        return stored.unpack(packed)

    def remember(self, id_: bytes, packed: bytes, submitted: int) -> None:
        """Put a packed response in the place of the one that stood there; `submitted` (ms) is that of `packed`."""
        self.packed[id_] = packed
        self._by_hour[submitted // HOUR].append(id_)
        self._not_dumped.append((id_, packed, submitted))

    def expire(self) -> None:
        """Forget what is too old, by whole hours."""
        if self.oldest // HOUR <= self._expired_to:
            return
        self._expired_to = self.oldest // HOUR
        for hour in sorted(h for h in self._by_hour if h < self._expired_to):
            for id_ in self._by_hour.pop(hour):
                packed = self.packed.get(id_)
                # A correction may have moved it to another hour: then that hour's list holds it too.
                if packed is not None and stored.submitted_of(packed) // HOUR == hour:
                    del self.packed[id_]

    def dump(self) -> list[tuple[bytes, int]]:
        """Changelog records of what is new since the last call, and until which stream time (ms) each is needed."""
        records = []
        for at in range(0, len(self._not_dumped), _PER_RECORD):
            entries = self._not_dumped[at : at + _PER_RECORD]
            latest = max(submitted for _, _, submitted in entries)
            records.append((b"".join([id_ + packed for id_, packed, _ in entries]), latest + self._horizon))
        self._not_dumped.clear()
        return records

    def restore(self, record: bytes) -> int:
        """Take back a record of `dump`, in their order; gives until which stream time (ms) it is needed."""
        latest = 0
        for id_, packed in stored.entries(record):
            submitted = stored.submitted_of(packed)
            self.packed[id_] = packed
            self._by_hour[submitted // HOUR].append(id_)
            latest = max(latest, submitted)
        return latest + self._horizon
