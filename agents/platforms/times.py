"""Times as platforms write them, made RFC 3339. What is no time stays as it is: it is refused by name later on."""

import re
from datetime import datetime
from typing import Any

from npsflow.schemas.times import SECOND, rfc3339_seconds

_SPACE = re.compile(r" (?=[+-]\d\d:?\d\d$)")  # 2016-08-04 13:57:26 -0700
_LAST = 253_402_300_800  # the year 10000, in seconds


def of_text(given: Any) -> Any:
    """`2013-12-12T05:35Z` and `2016-08-04 13:57:26 -0700` are times too, though not as RFC 3339 wants them."""
    moment = parsed(given)
    return given if moment is None else moment.isoformat().replace("+00:00", "Z")


def of_seconds(given: Any, later: int = 0) -> Any:
    """Seconds since 1970, as a number or a text; `later`: seconds to add."""
    digits = str(given)
    if isinstance(given, bool) or not (digits.isascii() and digits.isdigit() and len(digits) < 12):
        return given
    return rfc3339_seconds(min(int(digits) + later, _LAST) * SECOND)


def parsed(given: Any) -> datetime | None:
    """The moment, None where it is no ISO time with an offset."""
    try:
        moment = datetime.fromisoformat(_SPACE.sub("", given))
    except (TypeError, ValueError):
        return None
    return None if moment.tzinfo is None else moment
