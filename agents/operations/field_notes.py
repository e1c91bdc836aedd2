"""Which optional fields of accepted responses do not become what their producer may think."""

from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from npsflow.schemas import codec
from npsflow.schemas.response import Answer, Customer, Reference, Response, Scale

_FIELDS = {
    "": Response.__struct_fields__,
    "customer.": Customer.__struct_fields__,
    "reference.": Reference.__struct_fields__,
    "answers.": Answer.__struct_fields__,
    "scale.": Scale.__struct_fields__,
}
"""Names of the fields of a response, by the path of the object that they are in."""

_MOST_NOTES = 100  # of different fields
_MOST_CHARACTERS = 40  # of an unknown name
_MENDED = {
    "byte_order_mark": "a byte order mark before the JSON is passed over",
    "lone_surrogate": "half of a character, as of a cut emoji, becomes U+FFFD",
}


class FieldNotes:
    """Collects notes about lines that are accepted; each names a field, never what is in it."""

    def __init__(self) -> None:
        self._lines: Counter[str] = Counter()
        self._first: dict[str, int] = {}

    def add(self, number: int, value: bytes, warnings: Iterable[str]) -> None:
        """Take note of line `number`: `warnings` are the names of fields that were dropped or cut."""
        notes = [
            _MENDED.get(name) or f"{name} is of a wrong type or too long: it is dropped or cut" for name in warnings
        ]
        fields = codec.loads_lenient(value.removeprefix(BOM_UTF8))
        for note in dict.fromkeys([*notes, *_unknown(fields)]):
            if note in self._first or len(self._first) < _MOST_NOTES:
                self._first.setdefault(note, number)
                self._lines[note] += 1

    def texts(self) -> Iterator[str]:
        """A text for each note, with the first line that it is about, in the order of these."""
        for note, number in self._first.items():
            more = self._lines[note] - 1
            yield f"line {number}{f' and {more:,} more' if more else ''}: {note}"


def _unknown(fields: dict[str, Any]) -> Iterator[str]:
    """A note for each field that no response has."""
    for path, known in _FIELDS.items():
        inside = fields if not path else fields.get(path[:-1])
        for part in inside if isinstance(inside, list) else [inside]:
            for name in part if isinstance(part, dict) else ():
                if name not in known:
                    close = get_close_matches(name.casefold(), known, 1)
                    hint = f"; did you mean {path}{close[0]}?" if close else ""
                    yield f"{(path + name)[:_MOST_CHARACTERS]!r} is no field of a response, and ignored{hint}"
