"""How a sender signs, described by settings."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_WORD = re.compile(r"\b(body|id|method|timestamp|url)\b")
_ALSO = {"over": "signed", "time": "timestamp", "algorithm": "digest"}
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Signature(Struct, frozen=True, forbid_unknown_fields=True):
    """`[intake.NAME.signature]`: an HMAC in a header, as the platform describes it.

    `header` holds it behind `prefix`, alone or among others with commas or blanks between. `signed`: what it is made
    of, with {body} and, where the platform signs them, {timestamp}, {id}, {method} and {url}; these words need no
    braces where there are none at all. `timestamp` names the header of the signed time (seconds, milliseconds or ISO),
    or is like `t=` what stands before it in `header`; `tolerance`: seconds by which it may be off. `id` names the
    header of {id}. `url`: our own address as the sender knows it, for {url}.
    """

    header: str
    digest: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64", "base64url"] = "hex"
    prefix: str = ""
    signed: str = "{body}"
    timestamp: str = ""
    tolerance: int = 300
    id: str = ""
    url: str = ""

    def mistake(self) -> str | None:
        """The first mistake in it, None if there is none."""
        names = {part for part, is_name in self.parts() if is_name}
        if unknown := sorted(names - {"body", "timestamp", "id", "method", "url"}):
            return f"signed: {{{unknown[0]}}} is none of {{body}}, {{timestamp}}, {{id}}, {{method}} and {{url}}"
        if "body" not in names:
            return "signed: without {body} anybody could change it"
        for name in ("timestamp", "id", "url"):
            if (name in names) != bool(getattr(self, name)):
                return f"{name} has to be there if {{{name}}} is signed, and only then"
        for header in (self.header, self.id, self.timestamp.removesuffix("=")):
            if header and not _HEADER.fullmatch(header):
                return f"{header!r} is not the name of a header"
        return None if self.header and self.tolerance > 0 else "header is empty, or tolerance is not above 0"

    def parts(self) -> Iterator[tuple[str, bool]]:
        """What is signed, in its order: texts, and names of placeholders (True)."""
        placeholder = _PLACEHOLDER if "{" in self.signed else _WORD
        for at, part in enumerate(placeholder.split(self.signed)):
            yield part, at % 2 == 1


def spelled_out(mapping: Any) -> Any:
    """An `[intake.NAME]` as it is written, with its signature where it belongs: it may stand in `verification` itself.

    A signature needs no `verification` beside it, and its keys may have the names in _ALSO, as in other receivers.
    """
    if not isinstance(mapping, Mapping):
        return mapping
    made = dict(mapping)
    if isinstance(made.get("verification"), Mapping) and "signature" not in made:
        made["signature"] = made.pop("verification")
    if isinstance(scheme := made.get("signature"), Mapping):
        other = {also: key for also, key in _ALSO.items() if key not in scheme}
        made["signature"] = {other.get(key, key): value for key, value in scheme.items()}
        made.setdefault("verification", "signature")
    return made
