"""What readers of JSON exports share."""

from typing import Any

from npsflow.agents.history.export import Context, NotAnAnswer
from npsflow.agents.history.times import NoTime


def scalar(fields: dict[str, Any], name: str) -> str:
    """A text or a number as text; empty where there is none."""
    found = fields.get(name)
    return "" if found is None or isinstance(found, dict | list | bool) else str(found)


def time(fields: dict[str, Any], name: str, context: Context) -> str | None:
    """RFC 3339, None where there is none. Raises NotAnAnswer."""
    if not (given := scalar(fields, name)):
        return None
    try:
        return context.clock.read(given)
    except NoTime as error:
        raise NotAnAnswer("invalid_time", f"{name}: {error}") from None
