"""What customers who are not unhappy are asked for, and who is asked nothing, worked out anew from their answers.

Settings are the default ones: promoters are asked for a referral, nobody twice in 90 days, and nobody who has a case.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .lifecycle import follow
from .model import DAY, Case, Fields, Version, category

_THANKS = {"en": "Thank you for your answer.", "nl": "Dank u wel voor uw antwoord."}
_TRIED_AGAIN = ("", "retracted", "no_contact", "opted_out")


@dataclass
class Ask:
    """What a customer is asked for because of one response; `stands`: the response still asks for it."""

    key: str
    identity: str
    left: str = ""
    stands: bool = False
    open: bool = False
    opened: int = 0
    ended: int = 0
    due: int = 0
    action: str = ""
    message: str = ""
    content: Fields | None = None


class Asks:
    """All asks of one month. `has_case`: whether a customer, by key, has an open case."""

    def __init__(self, has_case: Callable[[str], bool]) -> None:
        self._has_case = has_case
        self._asks: dict[tuple[str, str], Ask] = {}
        self._asked: dict[str, int] = {}  # by key: when the customer was asked last
        self._lives: dict[str, tuple[Case, int]] = {}  # by identity; since when the answer is as happy as it is

    def all(self) -> list[Ask]:
        """Those that were ever opened."""
        return [ask for ask in self._asks.values() if ask.opened]

    def clock(self, now: int) -> None:
        """What is due has expired."""
        for ask in self._asks.values():
            if ask.due <= now:
                _close(ask, now)

    def produce(self, version: Version, known: Version | None, now: int) -> None:
        """A version of a response counts, in place of `known`."""
        life, since = self._lives.get(version.identity, (Case(), 0))
        if known is None:
            since = max(version.submitted, version.order[0])
        elif not _as_happy(known, version):
            since = version.order[0] if "updated_at" in version.content else now
        self._lives[version.identity] = life, since
        count = len(life.steps)
        follow(life, version, "follow_up")
        for step in life.steps[count:]:
            ask = self._asks.setdefault((step.key, version.identity), Ask(step.key, version.identity))
            if step.type == "retracted":
                if _close(ask, now):
                    self._asked[ask.key] = 0
                ask.stands, ask.left = False, "retracted"
            else:
                self._read(ask, version.content, since + 7 * DAY, now)

    def leave(self, key: str, now: int) -> None:
        """A customer has an open case now: whatever was asked counts as never asked."""
        for ask in self._asks.values():
            if ask.key == key and ask.stands and _close(ask, now):
                ask.stands, ask.left, self._asked[key] = False, "case_open", 0

    def act(self, key: str, response: str, now: int) -> None:
        """The customer was asked, or has declined."""
        ask = self._asks.get((key, response))
        if ask is not None and ask.stands:
            _close(ask, now)

    def _read(self, ask: Ask, content: Fields, due: int, now: int) -> None:
        happy, customer = category(content["metric"], content["score"]) == 2, content.get("customer", {})
        if happy and content["metric"] != "nps":
            return  # thanks are all
        forbidden = customer.get("contact_allowed") is False
        if ask.stands:
            ask.content, ask.action = content, _action(happy) if ask.open else ask.action
            if forbidden:
                _close(ask, now)
            return
        if not customer.get("id"):
            ask.left = "no_contact"
        elif ask.left in _TRIED_AGAIN:
            ask.left = "opted_out" if forbidden else self._obstacle(ask.key, due, now)
            if not ask.left:
                self._open(ask, content, due, now)

    def _obstacle(self, key: str, due: int, now: int) -> str:
        if due <= now:
            return "stale"
        if self._has_case(key):
            return "case_open"
        asked = self._asked.get(key)
        return "asked_recently" if asked and now < asked + 90 * DAY else ""

    def _open(self, ask: Ask, content: Fields, due: int, now: int) -> None:
        language = "nl" if str(content.get("language", "")).startswith("nl") else "en"
        ask.stands = ask.open = True
        ask.opened, ask.ended, ask.due, self._asked[ask.key] = now, 0, due, now
        ask.content, ask.message = content, _THANKS[language]
        ask.action = _action(category(content["metric"], content["score"]) == 2)


def _action(happy: bool) -> str:
    return "referral" if happy else "ask"


def _close(ask: Ask, now: int) -> bool:
    """Close an ask; give whether it was open."""
    was, ask.open = ask.open, False
    ask.ended = now if was else ask.ended
    return was


def _as_happy(known: Version, version: Version) -> bool:
    """Whether a version is as happy as the one before it, which counted: then its time goes on."""
    if not (known.counts and version.counts) or known.content["metric"] == "enps":
        return False
    one, other = ((v.content["metric"], category(v.content["metric"], v.content["score"])) for v in (known, version))
    return one == other
