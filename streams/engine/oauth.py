"""What a token endpoint grants, and how long it is used: OAuth 2.0, RFC 6749 section 5.1."""

from math import isnan, nan
from typing import Any, NamedTuple

from npsflow.schemas import codec

_MARGIN = 60.0  # seconds before its end in which a token is used no more; half of its life if that is shorter
_UNKNOWN = 300.0  # seconds that a token lives whose life nobody tells
_LONGEST = 7 * 86_400.0


class Granted(NamedTuple):
    """A token, for how many seconds it is to be used, and the refresh token for the next one, if it was replaced."""

    token: str
    used_for: float
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"Granted(…, used_for={self.used_for!r})"


def granted(body: bytes) -> Granted | None:
    """What the body of an answer grants; None for nothing."""
    try:
        found = codec.loads(body)
    except codec.NotJson:
        return None
    token = found.get("access_token") if isinstance(found, dict) else None
    if not (isinstance(token, str) and token.isascii() and token.isprintable() and token):
        return None
    refresh = found.get("refresh_token")
    return Granted(token, used_for(found.get("expires_in")), refresh if isinstance(refresh, str) else None)


def used_for(life: Any) -> float:
    """Seconds that a token is used which lives for so many: a number, a text that is one, or anything else."""
    try:
        seconds = float(life)
    except (ValueError, TypeError):
        seconds = nan
    seconds = _UNKNOWN if isnan(seconds) else min(max(seconds, 0.0), _LONGEST)
    return max(seconds - _MARGIN, seconds / 2)
