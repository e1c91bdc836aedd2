"""Mistakes in settings, in words that name the key and say what may stand there."""

import re
from difflib import get_close_matches

import msgspec
from msgspec import inspect

_WHERE = re.compile(r"(.*?)(?: - at (`key` in )?`\$(.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_FIELD = re.compile(r"Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")


def explain(error: msgspec.ValidationError, expected: type) -> str:
    """What msgspec says of something that is not as `expected`, with the key in front and the known ones behind."""
    split = _WHERE.fullmatch(str(error))
    assert split is not None  # it takes any text
    said, of_key, path = split.groups()
    key, there = "", inspect.type_info(expected)
    for name, index in _STEP.findall(path or ""):
        key += f".{name}" if name else ".NAME" if index == "..." else f"[{index}]"
        there = _below(there, name)
    if of_key and isinstance(there, inspect.DictType):
        there = there.key_type
    behind = ""
    if found := _FIELD.fullmatch(said):
        said, known = f"there is no key {found[1]!r}", _known(there)
        close = get_close_matches(found[1], known, n=1)
        behind = f"; known: {', '.join(known)}" if known else "; it has none"
        behind = f"; did you mean {close[0]!r}?" if close else behind
    elif missing := _MISSING.fullmatch(said):
        said = f"the key {missing[1]!r} is missing"
    elif said.startswith("Invalid enum value"):
        behind = f"; known: {', '.join(_known(there))}"
    return f"{key.removeprefix('.')}: {said}{behind}" if key else said + behind


def _below(there: inspect.Type, name: str) -> inspect.Type:
    """The type one step further: of a field where it has a name, else of an item."""
    there = _alone(there)
    if isinstance(there, inspect.StructType):
        return next((field.type for field in there.fields if field.encode_name == name), there)
    if isinstance(there, inspect.DictType):
        return there.value_type
    if isinstance(there, inspect.ListType | inspect.VarTupleType):
        return there.item_type
    return there.item_types[0] if isinstance(there, inspect.TupleType) else there


def _alone(there: inspect.Type) -> inspect.Type:
    """Of `X | None` only X."""
    if isinstance(there, inspect.UnionType):
        return next((one for one in there.types if not isinstance(one, inspect.NoneType)), there)
    return there


def _known(there: inspect.Type) -> list[str]:
    """What may stand there, where that is a choice."""
    if isinstance(there, inspect.UnionType):
        return sorted({known for one in there.types for known in _known(one)})
    if isinstance(there, inspect.StructType):
        return [field.encode_name for field in there.fields]
    return [str(value) for value in there.values] if isinstance(there, inspect.LiteralType) else []
