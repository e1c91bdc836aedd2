"""Paths into what a platform sends, as `data.fields[key=question_a].value`. Pure; each text is compiled once.

A path is a row of steps, joined by dots:

    name, "a name"          the value of this name; in a list, a number is a position
    [0]                     a position in a list, from 0
    [key=value]             the entries of a list whose `key` (a path itself) is this value; "…" around any text
    [id in choices]         the entries whose `id` is among the `choices` that stand beside the list
    [*]                     all entries
    |json, |base64          what the text holds as JSON, or in base64

A name that holds dots or brackets itself is found as it stands, the longest first. Of several entries the first counts;
texts of all of them are joined.
"""

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from npsflow.schemas import codec

_MAX_LENGTH, _MAX_STEPS = 1_000, 32  # the work of finding grows with the steps

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_POSITION = re.compile(r"\[(\d{1,9})\]", re.ASCII)
_EVERY = "[*]"
_WHERE = re.compile(r'\[([^\[\]="]+)=\s*(?:"((?:[^"\\]|\\.)*)"|([^\]"]+))\s*\]')
_AMONG = re.compile(r'\[([^\[\]="]+?) in ([^\[\]="]+)\]')
_MEANT_AS_WHERE = re.compile(r"\[[\w.$@-]*\s*=")
_DECODER = re.compile(r"\|([a-z0-9_]+)(?=[.\[|]|$)")


class InvalidPath(ValueError):
    """No path. The text says what is wrong and where, counted from 1."""


@dataclass(frozen=True, slots=True)
class _Name:
    text: str


@dataclass(frozen=True, slots=True)
class _Position:
    at: int


@dataclass(frozen=True, slots=True)
class _Where:
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class _Among:
    key: str
    neighbour: str


@dataclass(frozen=True, slots=True)
class _Every:
    pass


@dataclass(frozen=True, slots=True)
class _Decode:
    how: str


_Step = _Name | _Position | _Where | _Among | _Every | _Decode


@dataclass(frozen=True, slots=True)
class Path:
    """`names[i]`: what a name that begins at step i may be, and the step behind it, the longest first.

    `last`: what a question at this path is called: the value or position it is selected by, else the last name.
    """

    text: str
    steps: tuple[_Step, ...]
    names: tuple[tuple[tuple[str, int], ...], ...]
    last: str

    def find(self, content: Any) -> Any:
        """The value at this path, None if there is none."""
        if type(content) is dict and self.text in content:  # as cells of a table are
            return content[self.text]
        return _find(self, 0, content, None)


@lru_cache(maxsize=4096)  # the paths of all settings; other texts are not compiled
def compiled(text: str) -> Path:
    """The path that this text says. Raises InvalidPath."""
    if len(text) > _MAX_LENGTH:
        raise InvalidPath(f"it has over {_MAX_LENGTH:,} characters")
    steps: list[_Step] = []
    spans: list[tuple[int, int]] = []
    at, joined = 0, False  # whether the step belongs to the one before, without a dot
    while True:
        step, end = _step(text, at, joined)
        steps.append(step)
        spans.append((at, end))
        if len(steps) > _MAX_STEPS:
            raise InvalidPath(f"it has over {_MAX_STEPS} steps")
        if end == len(text):
            break
        joined = text[end] in "[|"
        if not joined and text[end] != ".":
            raise InvalidPath(f"position {end + 1}: a dot is missing")
        at = end if joined else end + 1
    ends = range(len(steps))
    names = (((text[spans[i][0] : spans[j][1]], j + 1) for j in reversed(ends) if j >= i) for i in ends)
    return Path(text, tuple(steps), tuple(map(tuple, names)), _last(steps, text))


def _last(steps: Sequence[_Step], text: str) -> str:
    for step in reversed(steps):
        if isinstance(step, _Where):
            return step.value
        if isinstance(step, _Position):
            return str(step.at)
    return next((step.text for step in reversed(steps) if isinstance(step, _Name)), text)


def _step(text: str, at: int, joined: bool) -> tuple[_Step, int]:
    """The step that begins here, and where it ends."""
    if selection := _selection(text, at):
        return selection
    if joined and (decoder := _decoder(text, at)):
        return decoder
    if text.startswith('"', at):
        if (quoted := _QUOTED.match(text, at)) is None:
            raise InvalidPath(f"position {at + 1}: the quote is not closed")
        return _Name(_unquoted(quoted[1])), quoted.end()
    end = at
    while end < len(text) and text[end] != "." and not _selection(text, end) and not _decoder(text, end):
        end += 1
    return _Name(text[at:end]), end


def _selection(text: str, at: int) -> tuple[_Step, int] | None:
    """What stands in brackets here; None where they belong to a name."""
    if not text.startswith("[", at):
        return None
    if text.startswith(_EVERY, at):
        return _Every(), at + len(_EVERY)
    if match := _POSITION.match(text, at):
        return _Position(int(match[1])), match.end()
    if match := _WHERE.match(text, at):
        value = match[3].strip() if match[2] is None else _unquoted(match[2])
        return _Where(compiled(match[1].strip()).text, value), match.end()
    if match := _AMONG.match(text, at):
        return _Among(compiled(match[1].strip()).text, compiled(match[2].strip()).text), match.end()
    if _MEANT_AS_WHERE.match(text, at):
        raise InvalidPath(f"position {at + 1}: it is not [key=value]")
    return None


def _decoder(text: str, at: int) -> tuple[_Step, int] | None:
    if (match := _DECODER.match(text, at)) is None:
        return None
    if match[1] not in ("json", "base64"):
        raise InvalidPath(f'position {at + 1}: there are |json and |base64; a name with "|" stands in quotes')
    return _Decode(match[1]), match.end()


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def find(content: Any, path: str | Iterable[str]) -> Any:
    """The value at the path, None if there is none; of several paths, at the first where something is."""
    if isinstance(path, str):
        return _find(compiled(path), 0, content, None)
    return next((value for one in path if not is_empty(value := find(content, one))), None)


def is_empty(value: Any) -> bool:
    """Whether it is what a form sends for no answer: nothing, or a text, list or object without content."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (not value and isinstance(value, list | dict))


def _find(path: Path, at: int, content: Any, beside: Mapping[str, Any] | None) -> Any:
    """The value that the steps from `at` on lead to; `beside`: the object that holds `content`."""
    while at < len(path.steps):
        if type(content) is dict or isinstance(content, Mapping):  # nearly always, and an ABC is slow to ask
            for name, behind in path.names[at]:
                if name in content:
                    beside, content, at = content, content[name], behind
                    break
            else:
                return _without_name(path, at, content, beside)
            continue
        step = path.steps[at]
        if isinstance(step, _Decode):
            content = _decoded(step.how, content)
        elif not isinstance(content, list):
            return None
        elif (position := _position(step)) is None:
            return _of_entries(path, at, content, beside)
        elif position < len(content):
            beside, content = None, content[position]
        else:
            return None
        at += 1
    return content


def _without_name(path: Path, at: int, content: Mapping[str, Any], beside: Mapping[str, Any] | None) -> Any:
    """The same of an object that has no name as it stands in the path."""
    match path.steps[at]:
        case _Decode():
            return _find(path, at + 1, content, beside)
        case _Name(text) if text in content:  # it stood in quotes
            return _find(path, at + 1, content[text], content)
        case _Position(position) if str(position) in content:
            return _find(path, at + 1, content[str(position)], content)
        case _Where() | _Among() | _Every():
            return _of_entries(path, at, content.values(), None)
    return None


def _position(step: _Step) -> int | None:
    match step:
        case _Position(at):
            return at
        case _Name(text) if text.isascii() and text.isdigit() and len(text) < 10:
            return int(text)
    return None


def _of_entries(path: Path, at: int, entries: Iterable[Any], beside: Mapping[str, Any] | None) -> Any:
    """The first value of the entries that are meant, or all of them joined, if they are texts."""
    match path.steps[at]:
        case _Where(key, wanted):
            entries = [entry for entry in entries if _text(_of(entry, key)) == wanted]
        case _Among(key, neighbour):
            chosen = find(beside, neighbour)
            among = set(map(_text, chosen if isinstance(chosen, list) else [chosen])) - {None}
            entries = [entry for entry in entries if _text(_of(entry, key)) in among]
        case _Name():
            return None
    values = [value for entry in entries if (value := _find(path, at + 1, entry, None)) is not None]
    if len(values) > 1 and all(isinstance(value, str) for value in values):
        return ", ".join(dict.fromkeys(value for value in values if value.strip()))
    return values[0] if values else None


def _of(entry: Any, key: str) -> Any:
    """As `find`, which the simple case need not wait for."""
    return entry[key] if type(entry) is dict and key in entry else find(entry, key)


def _text(value: Any) -> str | None:
    """As it is written in a path: true, 5, text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None or isinstance(value, dict | list) else str(value)


def _decoded(how: str, content: Any) -> Any:
    """What a text holds, None if it holds nothing of the kind; what is no text stays as it is."""
    if not isinstance(content, str):
        return content
    try:
        if how == "json":
            return codec.loads_lenient(content)
        standard = "".join(content.split()).translate(_STANDARD)
        return b64decode(standard + "=" * (-len(standard) % 4), validate=True).decode()
    except (codec.NotJson, Error, ValueError):
        return None


_STANDARD = str.maketrans("-_", "+/")  # base64url too
