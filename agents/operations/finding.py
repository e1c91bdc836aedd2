"""One line of what `npsflow check` reports."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One line of the report; `text` says what to do unless the level is `ok`."""

    level: Literal["ok", "warn", "fail"]
    text: str


def ok(text: str) -> Finding:
    """What is right."""
    return Finding("ok", text)


def warn(text: str, todo: str) -> Finding:
    """What may be wrong, and what to do."""
    return Finding("warn", f"{text}: {todo}")


def fail(text: str, todo: str) -> Finding:
    """What is wrong, and what to do."""
    return Finding("fail", f"{text}: {todo}")
