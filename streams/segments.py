"""Which segments a response is counted in, each named once by a small number.

A segment is a tuple of (dimension, value) pairs: () is overall, (("channel", "email"),) one dimension, two pairs a
configured pair. Remembered responses hold the numbers of the segments they were counted in, so a retraction is exact
whatever the settings have become since.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter

from npsflow.schemas.response import MAX_TEXT, Response
from npsflow.streams.scores import Scale

Segment = tuple[tuple[str, str], ...]
Name = tuple[str, str, Segment]
"""What is counted: (metric, scale name, segment)."""

_MOST_COMBINATIONS = 100_000  # kept at hand; beyond that the cache starts anew
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
    return name in _PLAIN or name in _OF_CUSTOMER or name.startswith("attributes.")


def _getter(dimension: str) -> Callable[[Response], object]:
    if dimension in _OF_CUSTOMER:
        of_customer = attrgetter(dimension)
        return lambda r: None if r.customer is None else of_customer(r.customer)
    if dimension.startswith("attributes."):
        key = dimension.removeprefix("attributes.")
        return lambda r: None if r.attributes is None else r.attributes.get(key)
    return attrgetter(dimension)


class Segmenter:
    """Finds the numbers of all segments of a response.

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
        self._dimensions = tuple(dimensions)
        self._pairs = tuple((dimensions.index(a), dimensions.index(b)) for a, b in pairs)
        self._aliases = {d: {normal(k): normal(v) for k, v in m.items()} for d, m in (aliases or {}).items()}
        plain = [d for d in dimensions if d in _PLAIN]
        self._plain: Callable[[Response], object] = attrgetter(*plain) if plain else lambda r: ()
        self._others = tuple(_getter(d) for d in dimensions if d not in _PLAIN)
        self._order = [(*plain, *(d for d in dimensions if d not in _PLAIN)).index(d) for d in dimensions]
        self._single = len(plain) == 1
        self._known: dict[object, tuple[int, ...]] = {}

    def find(self, response: Response, scale: Scale) -> tuple[int, ...]:
        """Numbers of the segments, overall first; numbers are of (metric, scale, segment)."""
        raw = (scale.metric, scale.low, scale.high, self._plain(response), *[get(response) for get in self._others])
        found = self._known.get(raw)
        if found is None:
            if len(self._known) >= _MOST_COMBINATIONS:
                self._known.clear()
            found = self._known[raw] = self._number(raw, scale)
        return found

    def _number(self, raw: tuple[object, ...], scale: Scale) -> tuple[int, ...]:
        plain = (raw[3],) if self._single else raw[3]
        given = (*plain, *raw[4:])  # type: ignore[misc]
        values = [self._value(d, given[at]) for d, at in zip(self._dimensions, self._order, strict=True)]
        segments: list[Segment] = [()]
        segments += [((d, v),) for d, v in zip(self._dimensions, values, strict=True) if v]
        for a, b in self._pairs:
            if values[a] and values[b]:
                segments.append(((self._dimensions[a], values[a]), (self._dimensions[b], values[b])))
        return tuple(self._names.number((scale.metric, scale.name, segment)) for segment in segments)

    def _value(self, dimension: str, given: object) -> str:
        if given is None:
            return ""
        value = normal(str(given).lower() if isinstance(given, bool) else str(given))
        return self._aliases.get(dimension, {}).get(value, value)


def normal(value: str) -> str:
    """A value as it is compared: trimmed and case-folded, at most 128 characters."""
    return value.strip().casefold()[:MAX_TEXT]
