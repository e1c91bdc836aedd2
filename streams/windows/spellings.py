"""How values of dimensions are shown: as the settings spell them, else as the response did that was produced first."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from npsflow.schemas import codec
from npsflow.schemas.deltas import Spelling
from npsflow.streams.scoring.segments import Segment, normal, spelling

_CHANGELOG_KEY = b"spelled:"
_ROOM = 10
"""Times the cap on values of a dimension: each metric has a cap of its own, and all share spellings."""


class Spellings:
    """Of each value the spelling of the response that was produced first, in whatever order they are heard of.

    `most` values of a dimension are counted by name, `aliases` maps a dimension to {value: value to count under}.
    They stand in the changelog under `spelled:` and JSON [dimension, value].
    """

    def __init__(self, most: int, aliases: Mapping[str, Mapping[str, str]]) -> None:
        self._most = most * _ROOM
        self._set = {d: {normal(to): spelling(to) for to in m.values()} for d, m in aliases.items()}
        self._heard: defaultdict[str, dict[str, Spelling]] = defaultdict(dict)
        self._not_dumped: set[tuple[str, str]] = set()

    def hear(self, spellings: Sequence[Spelling]) -> list[tuple[str, str]]:
        """Learn; give (dimension, value) of those that are shown in another way from now on."""
        return [(new.dimension, new.value) for new in spellings if self._is_first(new)]

    def _is_first(self, new: Spelling) -> bool:
        known = self._heard[new.dimension]
        before = known.get(new.value)
        if before is None and len(known) >= self._most:
            return False
        if before is not None and before.order <= new.order:
            return False
        known[new.value] = new
        self._not_dumped.add((new.dimension, new.value))
        return before is None or before.spelled != new.spelled

    def shown(self, segment: Segment) -> dict[str, str]:
        """The values of a segment as they are shown, by dimension."""
        return {dimension: self._shown(dimension, value) for dimension, value in segment}

    def _shown(self, dimension: str, value: str) -> str:
        heard = self._heard[dimension].get(value)
        return self._set.get(dimension, {}).get(value) or (value if heard is None else heard.spelled)

    def dump(self) -> list[tuple[bytes, bytes]]:
        """Changelog records (key, value) of what is new since the last call."""
        new = [self._heard[dimension][value] for dimension, value in sorted(self._not_dumped)]
        self._not_dumped.clear()
        return [(_CHANGELOG_KEY + codec.dumps([s.dimension, s.value]), codec.pack(s)) for s in new]

    def restore(self, key: bytes, value: bytes) -> bool:
        """Take back a record of the changelog, in any order; False where it is not one of `dump`."""
        if not key.startswith(_CHANGELOG_KEY):
            return False
        heard = _unpack(value)
        self._heard[heard.dimension][heard.value] = heard
        return True


_unpack = codec.unpacker(Spelling)
