"""What is sent: an event made readable for the team that it concerns, before any kind gives it its own shape."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from npsflow.schemas.cases import NO_COMPLAINT
from npsflow.streams.notify.event import Event, let_through
from npsflow.streams.notify.settings import EVERYBODY, Notifier
from npsflow.streams.notify.texts import LABELS, REASONS, SEVERITIES, TITLES

MOST_QUOTE = 2000
"""Characters of a comment that a person is shown."""


@dataclass(frozen=True, slots=True)
class Section:
    """Part of a digest: a heading and its lines."""

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is the same whenever this is sent again. `to` and `cc` are addresses as the kind knows them.

    `thread`: what the other side calls the first message about this case. `ticket`: the one that the survey was about.
    `quote`: the customer's own words. `data`: the event as far as it is let through, for programs.
    """

    id: str
    type: str
    at: str
    title: str
    facts: tuple[tuple[str, str], ...] = ()
    quote: str = ""
    sections: tuple[Section, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    to: str = ""
    cc: tuple[str, ...] = ()
    case_id: str = ""
    severity: str = ""
    thread: str = ""
    ticket: str = ""

    def text(self) -> str:
        """All of it as plain text."""
        lines = [self.title, *(f"{label}: {value}" for label, value in self.facts)]
        if self.quote:
            lines += ["", *(f"> {line}" for line in self.quote.splitlines())]
        for section in self.sections:
            lines += ["", section.heading, *(f"- {line}" for line in section.lines)]
        return "\n".join(lines)


def message_of(event: Event, notifier: Notifier, thread: str = "", told: Event | None = None) -> Message:
    """The message about an event. `told`: the one that stands for it, where a later one was merged into it."""
    told = told or event
    case = let_through(event.case, notifier.private)
    labels, quote = LABELS[notifier.language], str(case.get("comment") or "")
    first, others = _people(told, event.case)
    to = address(notifier, first)
    reference = case.get("reference")
    ticket = reference.get("id") if isinstance(reference, dict) and reference.get("type") == "ticket" else None
    return Message(
        id=told.id,
        type=told.type,
        at=told.at,
        title=_one_line(_title(told, event.case, notifier)) or told.type,
        facts=tuple((labels[name], _one_line(value)) for name, value in _facts(event, case, notifier) if value),
        quote=quote if len(quote) <= MOST_QUOTE else quote[:MOST_QUOTE] + "…",
        data=case,
        to=to,
        cc=tuple(dict.fromkeys(notifier.to[name] for name in others if notifier.to.get(name, to) != to)),
        case_id=event.case_id,
        severity=str(case.get("severity") or ""),
        thread=thread,
        ticket=str(ticket or ""),
    )


def address(notifier: Notifier, person: str) -> str:
    return notifier.to.get(person) or notifier.to.get(EVERYBODY, "")


def when(instant: object, zone: str) -> str:
    """A time as a person reads it."""
    try:
        local = datetime.fromisoformat(str(instant)).astimezone(ZoneInfo(zone))
    except ValueError:
        return ""
    return f"{local:%Y-%m-%d %H:%M} {local.tzname() if zone == 'UTC' else zone}"


def score_of(case: Mapping[str, Any]) -> str:
    return f"{str(case.get('metric', '')).upper()} {case.get('score', '')}".strip()


def title_of(what: str, places: Mapping[str, object], notifier: Notifier) -> str:
    """What the settings say, else what we say, of what has happened."""
    text = notifier.texts.get(what) or TITLES[notifier.language].get(what, what)
    return text.format_map(places)


def _people(event: Event, case: Mapping[str, Any]) -> tuple[str, list[str]]:
    """For whom it is, and who is told besides."""
    owner, informed = str(case.get("owner") or ""), [str(name) for name in case.get("informed") or ()]
    if event.what == "escalated" and (to := event.entry.get("assignee")):
        return str(to), [owner]
    return owner, informed


def _title(event: Event, case: Mapping[str, Any], notifier: Notifier) -> str:
    entry, severity, words = event.entry, str(case.get("severity") or ""), REASONS[notifier.language]
    cause, reason = str(entry.get("root_cause") or "-"), str(entry.get("reason") or case.get("reason") or "-")
    places = {
        "case": event.case_id,
        "metric": str(case.get("metric", "")).upper(),
        "score": case.get("score", ""),
        "severity": SEVERITIES[notifier.language].get(severity, severity),
        "department": case.get("department") or case.get("channel") or "-",
        "customer": case.get("customer_id") or "-",
        "owner": case.get("owner") or "-",
        "by": entry.get("by") or case.get("by") or "-",
        "to": entry.get("assignee") or "-",
        "due": when(case.get("due_at"), notifier.zone),
        "cause": words[cause] if cause == NO_COMPLAINT else cause,
        "reason": words.get(reason, reason),
    }
    return title_of(event.what, places, notifier)


def _facts(event: Event, case: Mapping[str, Any], notifier: Notifier) -> Iterable[tuple[str, str]]:
    """Label and value of what a person needs to know."""
    labels, words, entry = LABELS[notifier.language], REASONS[notifier.language], _last(case)
    was, reference, owner = case.get("previous_score"), case.get("reference"), str(case.get("owner") or "")
    yield "case", event.case_id
    yield "customer", str(case.get("customer_id") or "")
    for name in ("name", "email", "phone"):
        yield name, str(case.get(name) or "")
    yield "score", score_of(case) + ("" if was is None else f", {labels['was']} {was}")
    yield "reasons", ", ".join(words.get(str(one), str(one)) for one in case.get("reasons") or ())
    yield "department", str(case.get("department") or "")
    yield "agent", str(case.get("agent_id") or "")
    yield "channel", str(case.get("channel") or "")
    yield "owner", owner
    yield "informed", ", ".join(str(who) for who in case.get("informed") or () if who != owner)
    yield "due", when(case.get("due_at"), notifier.zone)
    if isinstance(reference, dict):
        yield "ticket", " ".join(str(reference.get(name) or "") for name in ("type", "id", "url")).strip()
    yield "begin", str(case.get("message") or "")
    yield "note", str(entry.get("comment") or "")


def _last(case: Mapping[str, Any]) -> Mapping[str, Any]:
    history = case.get("history") or [{}]
    last: Mapping[str, Any] = history[-1]
    return last


def _one_line(text: str) -> str:
    """Neither lines nor control characters: a title becomes a header, too."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
