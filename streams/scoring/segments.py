"""Which segments a response is counted in, each named once by a small number.

A segment is a tuple of (dimension, value) pairs: () is overall, (("channel", "email"),) one dimension, two pairs a
configured pair. Remembered responses hold the numbers of the segments they were counted in, so a retraction is exact
whatever the settings have become since.
"""

import struct
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count, repeat
from operator import getitem
from typing import Any, NamedTuple

from npsflow.schemas.codec import dumps, loads
from npsflow.schemas.response import MAX_TEXT, Response
from npsflow.streams.scoring.scores import Scale

Segment = tuple[tuple[str, str], ...]
Name = tuple[str, str, Segment]
"""What is counted: (metric, scale name, segment)."""

_Column = dict[Any, bytes | None]
"""Of a dimension or a pair: what a response says (two for a pair) to the number of its segment as 2 bytes; to b"" where
it is in none, to None where a number needs more."""

_NOWHERE = -1
_OF_CUSTOMER = {"tier", "account_id", "primary_contact"}
_PLAIN = {
    "survey_id", "survey_kind", "survey_name", "survey_version", "source", "language", "channel", "journey_stage",
    "touchpoint", "department", "team", "agent_id", "product",
}  # fmt: skip


_WIDE = 0x80
MOST_SEGMENTS = 0x7F
"""That one response can be counted in."""

_NARROW = [struct.Struct(f"<B{size}H") for size in range(MOST_SEGMENTS + 1)]

NO_SEGMENTS = b"\0"

_CHANGELOG_KEY = b"name:"


class Names:
    """Numbers for names, in the order they were first seen.

    They stand in the changelog of a stage under `name:NUMBER`, as JSON [metric, scale name, [[dimension, value], ...]].
    """

    def __init__(self) -> None:
        self.by_number: list[Name] = []
        self._numbers: dict[Name, int] = {}
        self._not_dumped: list[int] = []

    def number(self, name: Name) -> int:
        """The number of a name; a new name gets the next one."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.by_number)
            self.by_number.append(name)
            self._not_dumped.append(number)
        return number

    def dump(self) -> list[tuple[bytes, bytes]]:
        """Changelog records (key, value) of the names that are new since the last call."""
        records = [(_CHANGELOG_KEY + b"%d" % number, dumps(self.by_number[number])) for number in self._not_dumped]
        self._not_dumped.clear()
        return records

    def restore(self, key: bytes, value: bytes) -> bool:
        """Take back a record of the changelog, in any order; False where it is not one of `dump`."""
        if not key.startswith(_CHANGELOG_KEY):
            return False
        number = int(key.removeprefix(_CHANGELOG_KEY))
        metric, scale, segment = loads(value)
        name = metric, scale, tuple((dimension, value) for dimension, value in segment)
        self.by_number.extend([("", "", ())] * (number + 1 - len(self.by_number)))
        self.by_number[number] = name
        self._numbers[name] = number
        return True


def is_dimension(name: str) -> bool:
    """Whether a setting may name this as a dimension: a text field, or `attributes.NAME`."""
    return name in _PLAIN or name in _OF_CUSTOMER or name.removeprefix("attributes.") not in ("", name)


class NewValue(NamedTuple):
    """What a response says of a dimension, or a pair, that is not kept at hand; `number` is that of its segment.

    `spelled` is the same of one dimension as it is shown, and `value` what it is counted as; both are empty where it is
    an alias or not there.
    """

    column: _Column
    said: Any
    number: int
    dimension: str = ""
    value: str = ""
    spelled: str = ""


class Segmenter:
    """Finds the segments of a response.

    `dimensions` are names that `is_dimension` accepts, `pairs` pairs of them, `aliases` maps a dimension to
    {normalised value: value to count under}. The numbers of at most `max_values` values of each are kept at hand.
    """

    def __init__(
        self,
        names: Names,
        dimensions: Sequence[str],
        pairs: Iterable[tuple[str, str]] = (),
        aliases: Mapping[str, Mapping[str, str]] | None = None,
        max_values: int = 100_000,
    ) -> None:
        self._max_values = max_values
        self._names = names
        self._dimensions = [d for d in dimensions if d in _PLAIN] + [d for d in dimensions if d not in _PLAIN]
        self._values = _compile_values(self._dimensions)
        self._pairs = [(self._dimensions.index(a), self._dimensions.index(b)) for a, b in pairs]
        self._aliases = {d: {normal(k): normal(v) for k, v in m.items()} for d, m in (aliases or {}).items()}
        self._tables: dict[Scale, tuple[list[bytes], list[_Column]]] = {}

    def find(self, response: Response, scale: Scale) -> tuple[bytes, Sequence[NewValue]]:
        """Numbers of its segments, overall first, packed; and what is to be learned of it."""
        values = self._values(response)
        if self._pairs:
            values = self._with_pairs(values)
        heads, columns = self._tables.get(scale) or self._table(scale)
        try:
            numbers = b"".join(map(getitem, columns, values))  # type: ignore[arg-type] # of None a TypeError
            return heads[len(numbers) >> 1] + numbers, ()
        except (KeyError, TypeError, IndexError):
            return self._find_one_by_one(values, scale, columns)

    def _find_one_by_one(
        self, values: tuple[Any, ...], scale: Scale, columns: list[_Column]
    ) -> tuple[bytes, Sequence[NewValue]]:
        found = [*map(self._known_or_new, repeat(scale), count(), columns, values)]
        numbers = [self._number(scale, ()), *(value.number for value in found if value.number != _NOWHERE)]
        return pack_segments(numbers), [value for value in found if value.said not in value.column]

    def anew(self, response: Response, scale: Scale) -> list[NewValue]:
        """Its values as if none of them were at hand."""
        _, columns = self._tables.get(scale) or self._table(scale)
        return [*map(self._value, repeat(scale), count(), columns, self._with_pairs(self._values(response)))]

    def learn(self, values: Iterable[NewValue]) -> None:
        """Keep these at hand from now on: `find` calls them new no more."""
        for value in values:
            if len(value.column) >= self._max_values:
                value.column.clear()
            value.column[value.said] = _two_bytes(value.number)

    def _with_pairs(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return values + tuple([(values[a], values[b]) for a, b in self._pairs])

    def _table(self, scale: Scale) -> tuple[list[bytes], list[_Column]]:
        """What comes before the numbers of so many segments beside overall, and the columns."""
        columns: list[_Column] = [{} for _ in range(len(self._dimensions) + len(self._pairs))]
        overall = _two_bytes(self._number(scale, ()))
        heads = [] if overall is None else [bytes([1 + size]) + overall for size in range(len(columns) + 1)]
        self._tables[scale] = heads, columns
        return self._tables[scale]

    def _known_or_new(self, scale: Scale, at: int, column: _Column, said: Any) -> NewValue:
        if (packed := column.get(said)) is None:
            return self._value(scale, at, column, said)
        return NewValue(column, said, int.from_bytes(packed, "little") if packed else _NOWHERE)

    def _value(self, scale: Scale, at: int, column: _Column, said: Any) -> NewValue:
        if at >= len(self._dimensions):
            a, b = self._pairs[at - len(self._dimensions)]
            return NewValue(column, said, self._numbered(scale, (self._pair(a, said[0]), self._pair(b, said[1]))))
        pair = self._pair(at, said)
        number, spelled = self._numbered(scale, (pair,)), spelling(said or "")
        return NewValue(column, said, number, *((*pair, spelled) if spelled and normal(spelled) == pair[1] else ()))

    def _numbered(self, scale: Scale, segment: Segment) -> int:
        return self._number(scale, segment) if all(value for _, value in segment) else _NOWHERE

    def _number(self, scale: Scale, segment: Segment) -> int:
        return self._names.number((scale.metric, scale.name, segment))

    def _pair(self, at: int, value: str | None) -> tuple[str, str]:
        """Dimension and what it is counted under; empty for nothing."""
        dimension, name = self._dimensions[at], "" if value is None else normal(value)
        return dimension, self._aliases.get(dimension, {}).get(name, name)


def _two_bytes(number: int) -> bytes | None:
    return b"" if number == _NOWHERE else number.to_bytes(2, "little") if number <= 0xFFFF else None


def _compile_values(dimensions: Sequence[str]) -> Callable[[Response], tuple[Any, ...]]:
    """A function that fetches all of these from a response: as one expression it takes half the time of a loop."""

    def fetch(at: int, dimension: str) -> str:
        if dimension in _PLAIN:
            return f"response.{dimension}"
        if dimension in _OF_CUSTOMER:
            return f"None if response.customer is None else response.customer.{dimension}"
        return f"attribute(response, names[{at}])"

    source = "".join(f"{fetch(at, dimension)}, " for at, dimension in enumerate(dimensions))
    names = [dimension.removeprefix("attributes.") for dimension in dimensions]
    made = eval(f"lambda response: ({source})", {"attribute": _attribute, "names": names})  # noqa: S307 our own names
    return made  # type: ignore[no-any-return]


def _attribute(response: Response, name: str) -> str | None:
    value = None if response.attributes is None else response.attributes.get(name)
    # As text from here on: 1, 1.0 and true are one key of a dict, and three values.
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)


def normal(value: str) -> str:
    """A value as it is compared: trimmed and case-folded, at most 128 characters."""
    return value.strip().casefold()[:MAX_TEXT]


def spelling(value: str) -> str:
    """The same as it is shown: trimmed, at most 128 characters."""
    return value.strip()[:MAX_TEXT]


def pack_segments(numbers: Sequence[int]) -> bytes:
    """Numbers of 1 to MOST_SEGMENTS segments: a count, then 2 bytes each, or 4 where a number needs them."""
    size = len(numbers)
    try:
        return _NARROW[size].pack(size, *numbers)
    except struct.error:  # a number is above 0xFFFF
        return struct.pack(f"<B{size}I", size | _WIDE, *numbers)


def unpack_segments(packed: bytes) -> tuple[int, ...]:
    """Numbers as `pack_segments` was given them."""
    numbers = array("I" if packed[0] & _WIDE else "H")
    numbers.frombytes(packed[1:])
    return tuple(numbers)


def count_segments(packed: Iterable[bytes]) -> Counter[int]:
    """How often each number is in all of these."""
    packed = list(packed)
    counts = Counter(array("H", b"".join([one[1:] for one in packed if not one[0] & _WIDE])))
    for one in packed:
        if one[0] & _WIDE:
            counts.update(unpack_segments(one))
    return counts


def packed_size(packed: bytes, at: int) -> int:
    """Bytes of the packed numbers that begin at `at`."""
    return 1 + (packed[at] & ~_WIDE) * (4 if packed[at] & _WIDE else 2)
