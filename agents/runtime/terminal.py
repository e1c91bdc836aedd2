"""Text for a terminal: aligned tables, and foreign text made harmless."""

from collections.abc import Collection, Sequence

from npsflow.schemas.times import DAY, HOUR, MINUTE, SECOND, from_rfc3339, rfc3339


def one_line(text: object, width: int = 60) -> str:
    """At most `width` characters on one line, without what could steer a terminal."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> str:
    """Columns as wide as their widest cell; those named in `right` flush right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    aligns = [">" if name in right else "<" for name in head]
    return "\n".join(
        "  ".join(f"{cell:{a}{w}}" for cell, a, w in zip(row, aligns, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


def minute(instant: str) -> str:
    """An RFC 3339 time of whatever offset, to the minute, in UTC: `2026-10-01 12:00`."""
    return rfc3339(from_rfc3339(instant))[:16].replace("T", " ")


def span(ms: int) -> str:
    """A duration in ms, to two units at most."""
    if ms < MINUTE:
        return f"{ms // SECOND} s"
    if ms < HOUR:
        return f"{ms // MINUTE} min"
    if ms < 2 * DAY:
        return f"{ms // HOUR} h {ms % HOUR // MINUTE} min"
    return f"{ms // DAY} days"
