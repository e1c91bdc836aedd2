"""All mistakes of a settings file at once, each with the line it is in."""

import copy
import re
import tomllib
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from npsflow.streams.config.errors import Mistake, find_mistake

_MOST = 50
_HEADER = re.compile(r"\s*\[\[?([^\]]+)\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")

T = TypeVar("T")
Where = tuple[str | int, ...]


def convert(data: dict[str, Any], expected: type[T]) -> tuple[T | None, list[Mistake]]:
    """What `data` makes without what is wrong in it, None where that is nothing; and everything that is wrong."""
    left, gone, found = copy.deepcopy(data), set[Where](), list[Mistake]()
    while len(found) < _MOST:
        try:
            return msgspec.convert(left, expected), found
        except msgspec.ValidationError as error:
            mistake = find_mistake(error, expected, left)
        original = mistake._replace(where=_original(mistake.where, gone))
        if not (mistake.missing and (*original.where, mistake.missing) in gone):  # else it is we who took it out
            found.append(original)
        if not _take_out(left, mistake.where):
            break
        gone.add(original.where)
    return None, found


def _original(where: Where, gone: set[Where]) -> Where:
    """The same place before items of lists were taken out."""
    steps: list[str | int] = []
    for step in where:
        if isinstance(step, int):
            list_at = tuple(steps)
            for taken in sorted(int(one[-1]) for one in gone if one[:-1] == list_at and isinstance(one[-1], int)):
                step += taken <= step
        steps.append(step)
    return tuple(steps)


def _take_out(data: Any, where: Where) -> bool:
    if not where:
        return False
    *before, last = where
    try:
        for step in before:
            data = data[step]
        del data[last]
    except (KeyError, IndexError, TypeError):
        return False
    return True


def line_of(text: str, where: Sequence[str | int]) -> int | None:
    """The line of TOML that sets what `where` leads to, or else the innermost table around it; None for the top."""
    best, found, counts = 0, None, dict[Where, int]()
    table: Where = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            table = _steps(header[1])
            if line.lstrip().startswith("[["):
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            at = table
        elif key := _KEY.match(line):
            at = (*table, *_steps(key[1]))
        else:
            continue
        if len(at) > best and tuple(where[: len(at)]) == at:
            best, found = len(at), number
    return found


def _steps(dotted: str) -> tuple[str, ...]:
    """The names in a dotted key."""
    try:
        table: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    steps = []
    while isinstance(table, dict):
        ((name, table),) = table.items()
        steps.append(name)
    return tuple(steps)
