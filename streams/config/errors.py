"""Mistakes in settings, in words that name the key and say what may stand there."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

_PLACE = re.compile(r"(.*?)(?: - at (`key` in )?`\$(.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_FIELD = re.compile(r"Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_SECRETS = {"secret", "token", "password", "api_key", "key"}
_RANGE = re.compile(r"Expected `(int|float)` [<>].*")


class Mistake(NamedTuple):
    """What is wrong, and where: `where` leads to it from the top; a key that is missing there, or that nobody knows."""

    where: tuple[str | int, ...]
    ending: str
    missing: str = ""
    unknown: bool = False

    def __str__(self) -> str:
        """The key, then what is wrong there, then what may stand there; of an unknown key the table it is in."""
        steps = self.where[:-1] if self.unknown else self.where
        key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
        return key.removeprefix(".") + self.ending if key else self.ending.removeprefix(": ")


def explain(error: msgspec.ValidationError, expected: type, data: Any) -> str:
    """Explain why `data` is not as `expected`, in one sentence: see Mistake."""
    return str(find_mistake(error, expected, data))


def find_mistake(error: msgspec.ValidationError, expected: type, data: Any) -> Mistake:
    """The mistake in `data` that msgspec means.

    A number that has a range has a least (`ge` or `gt`) and a greatest (`le`).
    """
    match = _PLACE.fullmatch(str(error))
    assert match is not None  # it takes any text
    message, of_key, path = match.groups()
    place, steps = inspect.type_info(expected), _STEP.findall(path or "")
    alone, where = data, list[str | int]()
    for name, index in steps:
        step: str | int = int(index) if index.isdigit() else name
        if index == "...":
            alone, step = _faulty_key(error, expected, alone, where)
        where.append(step)
        place = _below(place, name)
    if of_key and isinstance(place, inspect.DictType):
        place = place.key_type
    number = _required(place)
    if isinstance(number, inspect.IntType | inspect.FloatType) and _RANGE.fullmatch(message):
        return next(_outside(number, data, steps))
    if unknown := _FIELD.fullmatch(message):
        known = _known(place)
        close = get_close_matches(unknown[1], known, n=1)
        hint = f"; known: {', '.join(known)}" if known else "; it has none"
        hint = f"; did you mean {close[0]!r}?" if close else hint
        hint = "; secrets stand in the environment, as NPSFLOW_SECRET_NAME" if unknown[1] in _SECRETS else hint
        return Mistake((*where, unknown[1]), f": there is no key {unknown[1]!r}{hint}", unknown=True)
    if missing := _MISSING.fullmatch(message):
        return Mistake(tuple(where), f": the key {missing[1]!r} is missing", missing[1])
    if message.startswith("Invalid enum value"):
        message += f"; known: {', '.join(_known(place))}"
    return Mistake(tuple(where), f": {message}")


def _outside(
    number: inspect.IntType | inspect.FloatType,
    data: Any,
    steps: Sequence[tuple[str, str]],
    where: tuple[str | int, ...] = (),
) -> Iterator[Mistake]:
    """What is out of range along these steps; where msgspec does not name the key, every one is tried."""
    if steps:
        (name, index), *rest = steps
        for chosen in data if index == "..." else [name or int(index)]:
            if not isinstance(data, dict) or chosen in data:
                yield from _outside(number, data[chosen], rest, (*where, chosen))
        return
    low, high = number.gt if number.ge is None else number.ge, number.le
    if data is not None and not (data > low if number.ge is None else data >= low) & (data <= high):
        value = f"{data:g}" if isinstance(data, float) else data
        yield Mistake(where, f" = {value} is not between {low:,} and {high:,}")


def _faulty_key(
    error: msgspec.ValidationError, expected: type, data: Any, taken: Sequence[str | int]
) -> tuple[Any, str]:
    """The key that msgspec leaves out, of the table to which `taken` leads, and `data` with no other key there."""
    table = data
    for step in taken:
        table = table[step]
    for key in table:
        alone = _with_only(data, taken, key)
        try:
            msgspec.convert(alone, expected)
        except msgspec.ValidationError as again:
            if str(again) == str(error):
                return alone, str(key)
    return data, "NAME"


def _with_only(data: Any, taken: Sequence[str | int], key: str) -> Any:
    """`data` with this key alone in the table to which `taken` leads."""
    if not taken:
        return {key: data[key]}
    step, *further = taken
    below = _with_only(data[step], further, key)
    return [*data[:step], below, *data[step + 1 :]] if isinstance(step, int) else data | {step: below}


def _below(place: inspect.Type, name: str) -> inspect.Type:
    """The type one step further: of a field where it has a name, else of an item."""
    place = _required(place)
    if isinstance(place, inspect.StructType):
        return next((field.type for field in place.fields if field.encode_name == name), place)
    if isinstance(place, inspect.DictType):
        return place.value_type
    if isinstance(place, inspect.ListType | inspect.VarTupleType):
        return place.item_type
    return place.item_types[0] if isinstance(place, inspect.TupleType) else place


def _required(place: inspect.Type) -> inspect.Type:
    """Of `X | None` only X."""
    if isinstance(place, inspect.UnionType):
        return next((type_ for type_ in place.types if not isinstance(type_, inspect.NoneType)), place)
    return place


def _known(place: inspect.Type) -> list[str]:
    """What may stand there, where that is a choice."""
    if isinstance(place, inspect.UnionType):
        return sorted({known for type_ in place.types for known in _known(type_)})
    if isinstance(place, inspect.StructType):
        return [field.encode_name for field in place.fields]
    return [str(value) for value in place.values] if isinstance(place, inspect.LiteralType) else []
