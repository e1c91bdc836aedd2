"""Which segments a response is counted in, each named once by a small number.

A segment is a tuple of (dimension, value) pairs: () is overall, (("channel", "email"),) one dimension, two pairs a
configured pair. Remembered responses hold the numbers of the segments they were counted in, so a retraction is exact
whatever the settings have become since.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from npsflow.schemas.response import MAX_TEXT, Response
from npsflow.streams.remembered import pack_segments
from npsflow.streams.scores import Scale

Segment = tuple[tuple[str, str], ...]
Name = tuple[str, str, Segment]
"""What is counted: (metric, scale name, segment)."""

_MOST_COMBINATIONS = _MOST_VALUES = 100_000  # kept at hand; beyond that a cache starts anew
_OF_CUSTOMER = {"tier", "account_id", "primary_contact"}
_PLAIN = {
    "survey_id", "survey_kind", "survey_name", "survey_version", "source", "language", "channel", "journey_stage",
    "touchpoint", "department", "team", "agent_id", "product",
}  # fmt: skip


class Names:
    """Numbers for names, in the order they were first seen; `fresh` are those not yet in the changelog."""

    def __init__(self) -> None:
        self.by_number: list[Name] = []
        self.fresh: list[int] = []
        self._numbers: dict[Name, int] = {}

    def number(self, name: Name) -> int:
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = len(self.by_number)
            self.by_number.append(name)
            self.fresh.append(found)
        return found

    def restore(self, number: int, name: Name) -> None:
        """Names come back from the changelog in any order."""
        missing = number + 1 - len(self.by_number)
        self.by_number.extend([("", "", ())] * missing)
        self.by_number[number] = name
        self._numbers[name] = number


def is_dimension(name: str) -> bool:
    """Whether a setting may name this as a dimension: a text field, or `attributes.NAME`."""
    return name in _PLAIN or name in _OF_CUSTOMER or name.removeprefix("attributes.") not in ("", name)


class Segments(NamedTuple):
    """Where a response is counted: numbers of its segments, overall first; and packed."""

    numbers: tuple[int, ...]
    packed: bytes


class Segmenter:
    """Finds the segments of a response.

    `dimensions` are names that `is_dimension` accepts, `pairs` pairs of them, `aliases` maps a dimension to
    {normalised value: value to count under}.
    """

    def __init__(
        self,
        names: Names,
        dimensions: Sequence[str],
        pairs: Iterable[tuple[str, str]] = (),
        aliases: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._names = names
        # What is a field of the response itself is fetched in one step, the rest one by one.
        self._plain = [d for d in dimensions if d in _PLAIN]
        self._others = [d for d in dimensions if d not in _PLAIN]
        self._fetch = attrgetter(*self._plain) if len(self._plain) > 1 else _one_by_one(self._plain)
        self._order = [(self._plain + self._others).index(d) for d in dimensions]
        self._dimensions = tuple(dimensions)
        self._pairs = tuple((dimensions.index(a), dimensions.index(b)) for a, b in pairs)
        self._aliases = {d: {normal(k): normal(v) for k, v in m.items()} for d, m in (aliases or {}).items()}
        self._known: dict[object, Segments] = {}
        self._values: dict[tuple[str, object], str] = {}
        self._numbers: dict[Scale, dict[Segment, int]] = {}

    def find(self, response: Response, scale: Scale) -> Segments:
        raw: tuple[Any, ...] = scale, self._fetch(response)
        for dimension in self._others:
            raw += (_fetch(response, dimension),)
        found = self._known.get(raw)
        if found is None:
            if len(self._known) >= _MOST_COMBINATIONS:
                self._known.clear()
            found = self._known[raw] = self._segments(scale, [*raw[1], *raw[2:]])
        return found

    def _segments(self, scale: Scale, given: list[object]) -> Segments:
        values = [self._value(d, given[at]) for d, at in zip(self._dimensions, self._order, strict=True)]
        known = self._numbers.setdefault(scale, {})
        found = []
        for segment in self._named(values):
            number = known.get(segment)
            if number is None:
                number = known[segment] = self._names.number((scale.metric, scale.name, segment))
            found.append(number)
        return Segments(tuple(found), pack_segments(found))

    def _named(self, values: list[str]) -> list[Segment]:
        singles = [(pair,) if pair[1] else None for pair in zip(self._dimensions, values, strict=True)]
        segments: list[Segment] = [(), *[single for single in singles if single is not None]]
        for a, b in self._pairs:
            first, second = singles[a], singles[b]
            if first is not None and second is not None:
                segments.append((*first, *second))
        return segments

    def _value(self, dimension: str, given: object) -> str:
        """What it is counted under; empty for nothing."""
        if given is None:
            return ""
        value = self._values.get((dimension, given))
        if value is None:
            if len(self._values) >= _MOST_VALUES:
                self._values.clear()
            value = normal(str(given))
            value = self._values[dimension, given] = self._aliases.get(dimension, {}).get(value, value)
        return value


def _one_by_one(dimensions: list[str]) -> Callable[[Response], tuple[object, ...]]:
    return lambda response: tuple(getattr(response, dimension) for dimension in dimensions)


def _fetch(response: Response, dimension: str) -> object:
    """A dimension that is not a field of the response itself."""
    if dimension in _OF_CUSTOMER:
        return None if response.customer is None else getattr(response.customer, dimension)
    value = None if response.attributes is None else response.attributes.get(dimension.removeprefix("attributes."))
    # As text from here on: 1, 1.0 and true are one key of a dict, and three values.
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)


def normal(value: str) -> str:
    """A value as it is compared: trimmed and case-folded, at most 128 characters."""
    return value.strip().casefold()[:MAX_TEXT]
