"""A day at a glance, for each address: cases that are new, overdue or won back, and praise for agents."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from npsflow.schemas.times import from_rfc3339, rfc3339, to_datetime, to_ms
from npsflow.streams.notify.event import concerns, let_through, of_department
from npsflow.streams.notify.message import Message, Section, address, score_of, title_of, when
from npsflow.streams.notify.settings import Notifier
from npsflow.streams.notify.texts import LABELS

DIGEST_TYPE = "npsflow.cases.digest.v1"
_HEADINGS = ("new", "overdue", "won_back", "praise")
_MOST = 20  # lines below a heading
_MOST_IDS = 100
_QUOTE = 200
_ENDED = ("loop_closed", "closed")

Line = tuple[str, str]
"""An id, and what is said of it."""


def last_slot(now: int, at: time, zone: str) -> int:
    """When a digest was due last; times in ms."""
    there = ZoneInfo(zone)
    today = to_datetime(now).astimezone(there).date()
    slots = (to_ms(datetime.combine(today - timedelta(days=ago), at, there)) for ago in range(3))
    return next(slot for slot in slots if slot <= now)  # of times, not of what clocks show: they are put forward


def part_of(to: str) -> str:
    """Names an address without saying it."""
    return blake2b(to.encode(), digest_size=8).hexdigest()


class Digest:
    """Of what happened from `since` until `until`, in ms. Cases and follow-ups come in the order of their topics."""

    def __init__(self, notifier: Notifier, since: int, until: int) -> None:
        self._notifier, self._since, self._until = notifier, since, until
        self._cases: dict[str, tuple[str, dict[str, Line]]] = {}
        self._praise: dict[str, tuple[str, Line]] = {}

    def case(self, case_id: str, case: Mapping[str, Any] | None) -> None:
        """As it stands; None if it was forgotten."""
        self._cases.pop(case_id, None)
        wanted = case is not None and case.get("kind") in self._notifier.cases and concerns(case, self._notifier)
        found = self._told(case_id, case) if case is not None and wanted else {}
        if case is not None and found:
            self._cases[case_id] = address(self._notifier, str(case.get("owner") or "")), found

    def follow_up(self, kind: str, event: Mapping[str, Any]) -> None:
        """An event of `customer-follow-up`; kind as in its type: requested, enriched or retracted."""
        name = str(event.get("follow_up_id"))
        self._praise.pop(name, None)
        if kind == "retracted" or event.get("action") == "ask" or not event.get("comment"):
            return
        if not of_department(event, self._notifier):
            return
        agent = str(event.get("agent_id") or event.get("team") or event.get("department") or "-")
        words = " ".join(str(event["comment"]).split())[:_QUOTE]
        said = f"{agent}: {score_of(event)}" + (f" “{words}”" if "comment" in self._notifier.private else "")
        self._praise[name] = address(self._notifier, agent), (name, said)

    def messages(self) -> dict[str, Message]:
        """By part, for each address of which there is anything to tell."""
        found: dict[str, dict[str, list[Line]]] = {}
        for to, headings in self._cases.values():
            for heading, line in headings.items():
                found.setdefault(to, {}).setdefault(heading, []).append(line)
        for to, line in self._praise.values():
            found.setdefault(to, {}).setdefault("praise", []).append(line)
        return {part_of(to): self._message(to, of) for to, of in sorted(found.items())}

    def _told(self, case_id: str, case: Mapping[str, Any]) -> dict[str, Line]:
        due = from_rfc3339(case.get("due_at"))
        kept = let_through(dict(case), self._notifier.private)
        parts = [score_of(case), case.get("department"), case.get("customer_id"), kept.get("name"), case.get("owner")]
        said = ", ".join([*(str(part) for part in parts if part), when(case.get("due_at"), self._notifier.zone)])
        line, found = (case_id, said), {}
        if self._since <= from_rfc3339(case.get("opened_at")) < self._until:
            found["new"] = line
        if case.get("status") not in _ENDED and not case.get("contacted_at") and due < self._until:
            found["overdue"] = line
        if self._since <= from_rfc3339(case.get("won_back_at")) < self._until:
            found["won_back"] = line
        return found

    def _message(self, to: str, of: Mapping[str, list[Line]]) -> Message:
        labels = LABELS[self._notifier.language]
        counts = {heading: len(of.get(heading, ())) for heading in _HEADINGS}
        sections = []
        for heading in _HEADINGS:
            lines = [said for _, said in of.get(heading, ())]
            if more := lines[_MOST:]:
                lines = [*lines[:_MOST], labels["more"].format(count=len(more))]
            if lines:
                sections.append(Section(labels[heading], tuple(lines)))
        title = title_of("digest", counts, self._notifier)
        span = {"since": rfc3339(self._since), "until": rfc3339(self._until)}
        ids = {heading: [name for name, _ in lines[:_MOST_IDS]] for heading, lines in of.items()}
        return Message(
            id="",
            type=DIGEST_TYPE,
            at=rfc3339(self._until),
            title=title,
            sections=tuple(sections),
            data=span | {"counts": counts} | ids,
            to=to,
        )
