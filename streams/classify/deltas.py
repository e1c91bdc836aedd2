"""Counts of one commit on their way to roll up: collected as numbers, sent as histogram deltas."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from math import inf

from msgspec import Struct

from npsflow.schemas import topics
from npsflow.schemas.deltas import LATENESS, PANE, Values, delta_key, encode_deltas, late_headers
from npsflow.schemas.times import HOUR
from npsflow.streams.scoring.segments import Names, count_segments
from npsflow.streams.stage import Emit, Output


class PaneCount(Struct, frozen=True, gc=False):
    """One response in the panes: which pane of five minutes, which segments (packed numbers), which score."""

    pane: int
    segments: bytes
    score: int


_Sums = defaultdict[tuple[int, int], list[bytes]]
"""Pane and score to the segments (packed) of each response."""


class PaneCounts:
    """Sums what responses add to the panes and take back from them, until `send` emits it.

    From the stream time `turn` (ms) on, what changes an hour that this task is past by more than LATENESS is sent apart
    as late: also the new count of a response whose old one is of such an hour, and all that follows of that response.
    So what takes a count back goes the way of the count, or after it: no pane falls below zero, wherever commits cut.

    `partition_of` gives the partition of a key on `nps-panes`. A record holds about `max_numbers` numbers of at most 9
    bytes, a multiple of three: no more than a broker takes.
    """

    def __init__(
        self, names: Names, partition_of: Callable[[bytes], int], max_numbers: int = 60_000, turn: float = inf
    ) -> None:
        self._max_numbers = max_numbers
        self._names = names
        self._partition_of = partition_of
        self._owners: dict[int, tuple[bytes, Values]] = {}
        self.plus: _Sums = defaultdict(list)
        """Of each response that counts from now on, and is not late."""
        self._minus: _Sums = defaultdict(list)
        self._late: tuple[_Sums, _Sums] = defaultdict(list), defaultdict(list)
        self.open_from = 0
        """The time, ms, before which all is late."""
        self.turn = turn
        """The stream time, ms, at which `advance` has something to do."""

    def advance(self, time: int) -> None:
        """Let the stream time (ms) of the task go on."""
        if time >= self.turn:
            begin = time // HOUR * HOUR
            self.turn, self.open_from = begin + HOUR, begin - LATENESS

    def add(self, count: PaneCount, late: bool = False) -> bool:
        """Count a response; `late` whatever its time is. Gives whether that is late."""
        return self._put(count, late, self.plus, self._late[0])

    def take_back(self, count: PaneCount, late: bool = False) -> bool:
        """Count a response no more; `late` whatever its time is. Gives whether that is late."""
        return self._put(count, late, self._minus, self._late[1])

    def _put(self, count: PaneCount, late: bool, timely: _Sums, too_late: _Sums) -> bool:
        late = late or count.pane * PANE < self.open_from
        (too_late if late else timely)[count.pane, count.score].append(count.segments)
        return late

    def send(self, emit: Emit) -> None:
        """Emit the sums since the last call, where they are not zero, by the key of `nps-panes`."""
        self._send(emit, self.plus, self._minus, late=False)
        self._send(emit, *self._late, late=True)

    def _send(self, emit: Emit, plus: _Sums, minus: _Sums, late: bool) -> None:
        by_key: defaultdict[bytes, defaultdict[Values, list[int]]] = defaultdict(lambda: defaultdict(list))
        for pane, score in sorted(plus.keys() | minus.keys()):
            counts = count_segments(plus.get((pane, score), ()))
            if taken := minus.get((pane, score)):
                counts.subtract(count_segments(taken))
            for number, count in counts.items():
                if count:
                    key, values = self._owner(number)
                    by_key[key][values] += (pane, score, count)
        plus.clear()
        minus.clear()
        for key, by_values in by_key.items():
            for piece in _pieces(by_values, self._max_numbers):
                emit(Output(topics.PANES, self._partition_of(key), key, encode_deltas(piece), late_headers(late)))

    def _owner(self, number: int) -> tuple[bytes, Values]:
        """The key under which a segment is counted, and its values."""
        owner = self._owners.get(number)
        if owner is None:
            metric, scale, segment = self._names.by_number[number]
            owner = delta_key(metric, scale, (d for d, _ in segment)), tuple(v for _, v in segment)
            self._owners[number] = owner
        return owner


def _pieces(by_values: Mapping[Values, list[int]], max_numbers: int) -> Iterator[dict[Values, list[int]]]:
    """Cut so that no record grows beyond what a broker takes."""
    piece: dict[Values, list[int]] = {}
    size = 0
    for values, flat in by_values.items():
        for at in range(0, len(flat), max_numbers):
            piece[values] = flat[at : at + max_numbers]
            size += len(piece[values]) + len(values) * 64
            if size >= max_numbers:
                yield piece
                piece, size = {}, 0
    if piece:
        yield piece
