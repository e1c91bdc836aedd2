"""Which segments a response is counted in, each named once by a small number.

A segment is a tuple of (dimension, value) pairs: () is overall, (("channel", "email"),) one dimension, two pairs a
configured pair. Remembered responses hold the numbers of the segments they were counted in, so a retraction is exact
whatever the settings have become since.
"""

import struct
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count, repeat
from operator import attrgetter, getitem
from typing import Any, NamedTuple

from npsflow.schemas.codec import dumps, loads
from npsflow.schemas.response import MAX_TEXT, Response
from npsflow.streams.scoring.scores import Scale

Segment = tuple[tuple[str, str], ...]
Name = tuple[str, str, Segment]
"""What is counted: (metric, scale name, segment)."""

_Column = dict[Any, int]
"""Of a dimension or a pair: what a response says (two for a pair) to the number of its segment, or to _NOWHERE."""

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
        # What is a field of the response itself is fetched in one step, the rest one by one.
        plain = [d for d in dimensions if d in _PLAIN]
        self._others = [d for d in dimensions if d not in _PLAIN]
        self._fetch = attrgetter(*plain) if len(plain) > 1 else _one_by_one(plain)
        self._dimensions = [*plain, *self._others]
        self._pairs = [(self._dimensions.index(a), self._dimensions.index(b)) for a, b in pairs]
        self._aliases = {d: {normal(k): normal(v) for k, v in m.items()} for d, m in (aliases or {}).items()}
        self._tables: dict[Scale, tuple[int, list[_Column]]] = {}

    def find(self, response: Response, scale: Scale) -> tuple[list[int], bytes, Sequence[NewValue]]:
        """Numbers of its segments, overall first; the same packed; and what is to be learned of it."""
        values = self._values(response)
        overall, columns = self._tables.get(scale) or self._table(scale)
        new: Sequence[NewValue] = ()
        try:
            numbers = [overall, *map(getitem, columns, values)]
        except KeyError:
            found = [*map(self._known_or_new, repeat(scale), count(), columns, values)]
            numbers = [overall, *(value.number for value in found)]
            new = [value for value in found if value.said not in value.column]
        if _NOWHERE in numbers:
            numbers = [number for number in numbers if number != _NOWHERE]
        return numbers, pack_segments(numbers), new

    def anew(self, response: Response, scale: Scale) -> list[NewValue]:
        """Its values as if none of them were at hand."""
        _, columns = self._tables.get(scale) or self._table(scale)
        return [*map(self._value, repeat(scale), count(), columns, self._values(response))]

    def learn(self, values: Iterable[NewValue]) -> None:
        """Keep these at hand from now on: `find` calls them new no more."""
        for value in values:
            if len(value.column) >= self._max_values:
                value.column.clear()
            value.column[value.said] = value.number

    def _values(self, response: Response) -> tuple[Any, ...]:
        values = self._fetch(response)
        for dimension in self._others:
            values += (_fetch(response, dimension),)
        for a, b in self._pairs:
            values += ((values[a], values[b]),)
        return values

    def _table(self, scale: Scale) -> tuple[int, list[_Column]]:
        columns: list[_Column] = [{} for _ in range(len(self._dimensions) + len(self._pairs))]
        self._tables[scale] = self._number(scale, ()), columns
        return self._tables[scale]

    def _known_or_new(self, scale: Scale, at: int, column: _Column, said: Any) -> NewValue:
        return NewValue(column, said, column[said]) if said in column else self._value(scale, at, column, said)

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


def _one_by_one(dimensions: list[str]) -> Callable[[Response], tuple[Any, ...]]:
    return lambda response: tuple(getattr(response, dimension) for dimension in dimensions)


def _fetch(response: Response, dimension: str) -> str | None:
    """A dimension that is not a field of the response itself."""
    if dimension in _OF_CUSTOMER:
        return None if response.customer is None else getattr(response.customer, dimension)
    value = None if response.attributes is None else response.attributes.get(dimension.removeprefix("attributes."))
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


def packed_size(packed: bytes, at: int) -> int:
    """Bytes of the packed numbers that begin at `at`."""
    return 1 + (packed[at] & ~_WIDE) * (4 if packed[at] & _WIDE else 2)
