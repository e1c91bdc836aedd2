"""What has to hold of a body: `only`, `deleted` and `test` of a mapping. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from npsflow.schemas.response import Scalar
from npsflow.streams.intake.paths import Path, compiled, is_empty

MAX_SCORE = 1e9
"""A larger number is no score, and may be too large for JSON."""

Conditions = dict[str, Scalar | tuple[Scalar, ...]]
"""Path to the value, or the values, that it may have there; case and blanks do not matter, `*` is anything."""


class Condition(NamedTuple):
    """`wanted`: the values that may be there, folded; None for anything."""

    path: Path
    wanted: frozenset[str | None] | None

    def holds(self, content: Any) -> bool:
        """Whether the value at the path, or one in the list there, is one of those that are wanted."""
        value = self.path.find(content)
        if self.wanted is None:
            return not is_empty(value)
        values = value if isinstance(value, list) else (value,)
        return any(text is not None and text in self.wanted for text in map(folded, values))


def each(conditions: Conditions) -> tuple[Condition, ...]:
    """Each of them, ready to be asked."""
    return tuple(Condition(compiled(path), _wanted(values)) for path, values in conditions.items())


def _wanted(values: Scalar | tuple[Scalar, ...]) -> frozenset[str | None] | None:
    if values == "*":
        return None
    return frozenset(map(folded, values if isinstance(values, tuple) else (values,)))


def any_holds(conditions: tuple[Condition, ...], content: Mapping[str, Any]) -> bool:
    """Whether one of them holds."""
    return any(condition.holds(content) for condition in conditions)


def folded(value: Any) -> str | None:
    """As text, so that case, blanks and the way a number is written make no difference; None of what has no text."""
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_SCORE:
        value = int(value)
    return " ".join(str(value).split()).casefold()
