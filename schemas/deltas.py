"""Records of the internal topic `nps-panes`: histogram deltas and ticks, as msgpack, and spellings.

A delta record holds what one commit of one classify task changed for one metric, scale and set of dimensions; these
names are its key, so that one roll-up task owns all values of a dimension. A tick carries time and no counts.

Spellings go to every roll-up task, in a header of a tick that tells no time: a worker of a version that does not know
them reads such a tick, and passes over it.

So does the hour that a task of classify has come to, once it has. A delta record whose header says that it is late
changes hours that its task was past already, or is of responses that changed there before: it is no evidence.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from npsflow.schemas.codec import convert, dumps, loads, pack, unpack, unpacker
from npsflow.schemas.headers import Headers
from npsflow.schemas.times import HOUR, MINUTE

TICK = b"tick"
PANE = 5 * MINUTE
"""Milliseconds of the finest pane: the one in which deltas are counted."""
LATENESS = HOUR
"""Milliseconds of stream time: an hour is closed this long after its end, and what changes in it then is late."""
_FORMAT = 1
_SPELLINGS = "npsflow_spellings"
_TASK_AT = "npsflow_task_at"
_LATE: Headers = [("npsflow_late", b"1")]

Values = tuple[str, ...]


class Spelling(NamedTuple):
    """How a response spelled a value of a dimension that is counted as `value`, and which response it was.

    `appended` in ms, `place` is a number that grows with partition and offset.
    """

    dimension: str
    value: str
    spelled: str
    appended: int
    place: int

    @property
    def order(self) -> tuple[int, int]:
        """The least is the first. A task meets its own records in this order, but for those that were forwarded."""
        return self.appended, self.place


def delta_key(metric: str, scale: str, dimensions: Iterable[str]) -> bytes:
    """JSON [metric, scale name, dimensions]."""
    return dumps([metric, scale, list(dimensions)])


def parse_delta_key(key: bytes) -> tuple[str, str, tuple[str, ...]]:
    """(metric, scale name, dimensions) of a key."""
    metric, scale, dimensions = loads(key)
    return metric, scale, tuple(dimensions)


def encode_deltas(by_values: Mapping[Values, list[int]]) -> bytes:
    """`by_values`: for each segment's values a flat list of pane, score, count, pane, score, count, ...

    Panes are numbered by five minutes since 1970; a count may be negative.
    """
    return pack([_FORMAT, list(by_values.items())])


def decode_deltas(value: bytes) -> list[tuple[Values, list[int]]]:
    """What `encode_deltas` was given. Raises ValueError when the format is of another version."""
    return [(tuple(values), flat) for values, flat in _versioned(value)]


def encode_tick(stream_time: int) -> bytes:
    """A tick of this stream time, ms."""
    return pack([_FORMAT, stream_time])


def decode_tick(value: bytes) -> int:
    """Stream time in ms. Raises ValueError for a format of another version, msgspec.DecodeError for a cut value."""
    return convert(_versioned(value), int)  # type: ignore[no-any-return]


class TaskAt(NamedTuple):
    """The hour (number since 1970) that `task` has come to, of so many."""

    task: int
    tasks: int
    hour: int


def task_headers(at: TaskAt) -> Headers:
    """The headers that carry it."""
    return [(_TASK_AT, b"%d %d %d" % at)]


def task_of(headers: Headers) -> TaskAt | None:
    """What `task_headers` was given; None where there are none."""
    return next((TaskAt(*map(int, value.split())) for name, value in headers if name == _TASK_AT), None)


def late_headers(late: bool) -> Headers:
    """The headers of deltas that are late, or not."""
    return _LATE if late else []


def is_late(headers: Headers) -> bool:
    """What `late_headers` was given."""
    return any(name == _LATE[0][0] for name, _ in headers)


def spelling_headers(spellings: Sequence[Spelling]) -> Headers:
    """The headers that carry spellings."""
    return [(_SPELLINGS, pack(spellings))]


def spellings_of(headers: Headers) -> list[Spelling]:
    """What `spelling_headers` was given; nothing where there are none."""
    return [spelling for name, value in headers if name == _SPELLINGS for spelling in _unpack_spellings(value)]


_unpack_spellings = unpacker(list[Spelling])


def _versioned(value: bytes) -> Any:
    version, content = unpack(value)
    if version != _FORMAT:
        raise ValueError(f"format {version} of nps-panes is not known to this version of npsflow")
    return content
