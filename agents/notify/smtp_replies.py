"""What the reply of a mail server means: is it about us, about one mailbox, or about the message?

Sources: RFC 5321 4.2 (replies), RFC 3463 and the IANA registry (enhanced codes), Microsoft's list of non-delivery codes
(5.2.252, 5.7.xx, 5.7.1xx) and Google's (5.7.26 to 5.7.30). Servers check much only at RCPT, so that a name in EHLO, a
client on a blocklist or a relay that is not allowed look like refused recipients. Those without enhanced codes are told
by their words.
"""

import re
from typing import Literal

from npsflow.agents.notify.kind import Concern, Rejected, Result, RetryLater, Unavailable

Stage = Literal["connect", "hello", "tls", "login", "sender", "recipient", "data"]
"""How far the mail had come."""

LOGIN_SECONDS = 60.0
"""The least to wait after a refused login: many servers lock out who tries more often."""

_ENHANCED = re.compile(r"\s*[245]\.(\d{1,3})\.(\d{1,3})\b")
_LOGIN_CODES = (454, 530, 534, 535, 538)
_OF_US_CODES = (421, 500, 501, 502, 503, 504, 521, 523, 556)  # of the session, whatever the server says beside
_TOO_LARGE = "it is too large for this server"

_HELLO = re.compile(r"\b(helo|ehlo|hostname|host ?name|fully.qualified|reverse|ptr|rdns)\b", re.I)
_RELAY = re.compile(r"\brelay|rcpthosts", re.I)
_LISTED = re.compile(
    r"block|black|deny.?list|\blisted\b|\brbl\b|dnsbl|spamhaus|spamcop|barracuda|reputation|bann?ed", re.I
)
_LOGIN = re.compile(r"authenticat|\bauth\b|log ?in|credential|password|must issue a starttls", re.I)
_LIMIT = re.compile(r"quota|limit|too many|too much|rate\b|throttl|slow down|try again later", re.I)
_SENDER = re.compile(r"\bspf\b|dkim|dmarc|send ?as|sender|unauthenticated|verify domain|domain .*not verified", re.I)
_POLICY = re.compile(r"polic|not permitted|not allowed|access denied|\bclient\b|administrative", re.I)
_MAILBOX = re.compile(r"mailbox|quota exceeded|over ?quota|user unknown|unknown user|no such|does not exist", re.I)


def result_of(stage: Stage, code: int, words: str) -> Result:
    """The result of a reply that is no success."""
    found = _ENHANCED.match(words)
    enhanced = (int(found[1]), int(found[2])) if found else None
    shown = f"{code} {found[0].strip()}" if found else str(code)
    raw = f"{code} {' '.join(words.split())}"
    if stage not in ("recipient", "data"):
        return _before(stage, code, enhanced, shown, raw)
    if stage == "recipient" and code in _LOGIN_CODES:
        return Unavailable(f"it wants a login ({shown}): set options.user and the password", LOGIN_SECONDS, words=raw)
    if code in _OF_US_CODES:
        return Unavailable(_why(shown, words), words=raw)
    concern = _concern(stage, code, enhanced, words)
    if concern == "message":
        return Rejected(f"it answers {shown}", raw)
    if concern == "receiver" and (stage == "recipient" or _surely_of_us(enhanced)):
        return Unavailable(_why(shown, words), words=raw)
    if concern == "receiver":  # or of the message, as spam is: others are tried before it
        return RetryLater(_why(shown, words), concerns="receiver", words=raw)
    return RetryLater(f"it does not deliver to this mailbox now ({shown})", concerns="address", words=raw)


def _before(stage: Stage, code: int, enhanced: tuple[int, int] | None, shown: str, raw: str) -> Result:
    """Nothing of the message was told but its size."""
    if stage == "login":
        return Unavailable(
            f"it refuses our login ({shown}): check options.user and the password", LOGIN_SECONDS, words=raw
        )
    if stage == "sender" and (code == 552 or enhanced == (3, 4)):
        return Rejected(f"{_TOO_LARGE} ({shown})", raw)
    if stage == "sender" and code in _LOGIN_CODES:
        return Unavailable(f"it wants a login ({shown}): set options.user and the password", LOGIN_SECONDS, words=raw)
    if stage == "sender":
        return Unavailable(f"it refuses our sender ({shown}): check options.sender", words=raw)
    if stage == "hello":
        return Unavailable(f"it refuses our name ({shown}): set options.hello", words=raw)
    return Unavailable(_why(shown, raw), words=raw)


def _concern(stage: Stage, code: int, enhanced: tuple[int, int] | None, words: str) -> Concern:
    """Whom a reply to RCPT or DATA is about; the message means here that no other try would help."""
    if enhanced is not None and enhanced != (0, 0):
        return _by_enhanced(stage, code, *enhanced)
    if code == 552:
        return "message" if stage == "data" else "address"
    of_us = (_HELLO, _RELAY, _LISTED, _LOGIN, _SENDER, _POLICY)
    if code < 500:
        return "address" if code == 450 and not any(one.search(words) for one in (*of_us, _LIMIT)) else "receiver"
    if _MAILBOX.search(words) and not _RELAY.search(words):
        return "message"
    return "receiver" if any(one.search(words) for one in (*of_us, _LIMIT)) else "message"


def _by_enhanced(stage: Stage, code: int, subject: int, detail: int) -> Concern:
    match subject, detail:
        case (1, 7 | 8) | (2, 252):
            return "receiver"  # our sender
        case 1, _:
            return "message" if code >= 500 else "address"
        case (2, 3) | (3, 4) | (6, _):
            return "message" if code >= 500 else "receiver"  # its size or content
        case (2, _) | (4, 1):
            return "address"  # also 5.4.1, by which Exchange says that it knows no such recipient
        case 7, group if 120 <= group <= 138:
            return "address"  # a group or mailbox that takes mail of some senders only
    return "receiver"


def _surely_of_us(enhanced: tuple[int, int] | None) -> bool:
    """Whether a reply to the content cannot be about the content: 5.7.1 says that of spam, too."""
    return enhanced is not None and (enhanced == (2, 252) or (enhanced[0] == 7 and enhanced[1] > 1))


def _why(shown: str, words: str) -> str:
    """What it has against us, and what to do."""
    for pattern, why in (
        (_RELAY, "it does not relay for us ({}): log in with options.user, or let it know this host"),
        (_LISTED, "it blocks our address or domain ({}): ask its operator or the list to let us through"),
        (_HELLO, "it refuses our name or address ({}): set options.hello to a name that leads to this host"),
        (_SENDER, "it does not let us send as options.sender ({})"),
        (_LOGIN, "it wants another login ({}): check options.user and the password"),
        (_LIMIT, "it says that this is too much, or for later ({})"),
    ):
        if pattern.search(words):
            return why.format(shown)
    return f"it refuses us ({shown})"
