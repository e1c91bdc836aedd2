"""A digest: one day's new, worse, overdue and won-back cases, and praise for agents, as a message to each address."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from npsflow.schemas.times import from_rfc3339, rfc3339, to_datetime, to_ms
from npsflow.streams.notify.event import in_departments, passes_filters
from npsflow.streams.notify.message import Message, Section, address_of, local_time, render_title, score_text
from npsflow.streams.notify.payload import redact
from npsflow.streams.notify.settings import NotifierSettings
from npsflow.streams.notify.texts import LABELS

DIGEST_TYPE = "npsflow.cases.digest.v1"
_HEADINGS = ("new", "worse", "overdue", "won_back", "praise")
_MAX_LINES = 20  # below each heading
_MAX_IDS = 100
_MAX_QUOTE = 200  # characters
_FINISHED = ("loop_closed", "closed")

Line = tuple[str, str]
"""The id of a case or follow-up, and its text."""


def last_slot(now: int, at: time, zone: str) -> int:
    """The last time, not after `now`, at which a digest of this time of day was due. Times in ms."""
    there = ZoneInfo(zone)
    today = to_datetime(now).astimezone(there).date()
    slots = (to_ms(datetime.combine(today - timedelta(days=ago), at, there)) for ago in range(3))
    return next(slot for slot in slots if slot <= now)  # compares instants: a clock that is put forward skips an hour


def hash_address(address: str) -> str:
    """Names an address without showing it: 8 bytes BLAKE2b, in hex."""
    return blake2b(address.encode(), digest_size=8).hexdigest()


class Digest:
    """What happened from `since` until `until`, in ms. Add cases and follow-ups in the order of their topics."""

    def __init__(self, notifier: NotifierSettings, since: int, until: int) -> None:
        self._notifier, self._since, self._until = notifier, since, until
        self._cases: dict[str, tuple[str, dict[str, Line]]] = {}
        self._praise: dict[str, tuple[str, Line]] = {}

    def add_case(self, case_id: str, case: Mapping[str, Any] | None) -> None:
        """Take the newest state of a case, None if it was erased. Raises ValueError for a time that is none."""
        self._cases.pop(case_id, None)
        if case is None or case.get("kind") not in self._notifier.cases or not passes_filters(case, self._notifier):
            return
        if lines := self._case_lines(case_id, case):
            self._cases[case_id] = address_of(str(case.get("owner") or ""), self._notifier), lines

    def add_follow_up(self, kind: str, event: Mapping[str, Any]) -> None:
        """Take an event of `customer-follow-up`. `kind` as in its type: requested, enriched or retracted."""
        follow_up_id = str(event.get("follow_up_id"))
        self._praise.pop(follow_up_id, None)
        if kind == "retracted" or event.get("action") == "ask" or not event.get("comment"):
            return
        if not in_departments(event, self._notifier):
            return
        agent = str(event.get("agent_id") or event.get("team") or event.get("department") or "-")
        quote = " ".join(str(event["comment"]).split())[:_MAX_QUOTE]
        text = f"{agent}: {score_text(event)}" + (f" “{quote}”" if "comment" in self._notifier.private else "")
        self._praise[follow_up_id] = address_of(agent, self._notifier), (follow_up_id, text)

    def messages(self) -> dict[str, Message]:
        """A message for each address that has something to hear, by the hash of the address."""
        by_address: dict[str, dict[str, list[Line]]] = {}
        for address, headings in self._cases.values():
            for heading, line in headings.items():
                by_address.setdefault(address, {}).setdefault(heading, []).append(line)
        for address, line in self._praise.values():
            by_address.setdefault(address, {}).setdefault("praise", []).append(line)
        return {hash_address(address): self._message(address, lines) for address, lines in sorted(by_address.items())}

    def _case_lines(self, case_id: str, case: Mapping[str, Any]) -> dict[str, Line]:
        """By heading."""
        due, due_at = from_rfc3339(case.get("due_at")), local_time(case.get("due_at"), self._notifier.zone)
        name = redact(dict(case), self._notifier.private).get("name")
        parts = [score_text(case), case.get("department"), case.get("customer_id"), name, case.get("owner")]
        line = case_id, ", ".join([*(str(part) for part in parts if part), due_at])
        lines = {}
        if self._since <= from_rfc3339(case.get("opened_at")) < self._until:
            lines["new"] = line
        elif self._since <= from_rfc3339(case.get("worsened_at")) < self._until:
            lines["worse"] = line
        if case.get("status") not in _FINISHED and not case.get("contacted_at") and due < self._until:
            lines["overdue"] = line
        if self._since <= from_rfc3339(case.get("won_back_at")) < self._until:
            lines["won_back"] = line
        return lines

    def _message(self, address: str, by_heading: Mapping[str, list[Line]]) -> Message:
        labels = LABELS[self._notifier.language]
        counts = {heading: len(by_heading.get(heading, ())) for heading in _HEADINGS}
        sections = []
        for heading in _HEADINGS:
            lines = [text for _, text in by_heading.get(heading, ())]
            if more := lines[_MAX_LINES:]:
                lines = [*lines[:_MAX_LINES], labels["more"].format(count=len(more))]
            if lines:
                sections.append(Section(labels[heading], tuple(lines)))
        span = {"since": rfc3339(self._since), "until": rfc3339(self._until)}
        ids = {heading: [id_ for id_, _ in lines[:_MAX_IDS]] for heading, lines in by_heading.items()}
        return Message(
            id="",
            type=DIGEST_TYPE,
            at=rfc3339(self._until),
            title=render_title("digest", counts, self._notifier),
            sections=tuple(sections),
            data=span | {"counts": counts} | ids,
            to=address,
        )
