"""A message: an event made readable for a team, before a kind of notifier gives it its own format."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from npsflow.schemas.cases import NO_COMPLAINT
from npsflow.streams.notify.event import Event
from npsflow.streams.notify.payload import redact
from npsflow.streams.notify.settings import EVERYBODY, NotifierSettings
from npsflow.streams.notify.texts import LABELS, REASONS, SEVERITIES, TITLES

_MAX_QUOTE, _MAX_ASIDE = 2000, 200  # characters of a comment: that of the answer itself, that of another


@dataclass(frozen=True, slots=True)
class Section:
    """Part of a digest: a heading and its lines."""

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One message; its `id` stays the same when it is sent again.

    `facts`: label and value. `quote`: the customer's own words. `data`: the redacted event, for programs. `to`, `cc`:
    addresses of the kind. `thread`: the receiver's reference of the first message about this case, "" if there is none.
    `ticket`: the id of the ticket that the survey was about.
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
        """The whole message as plain text."""
        lines = [self.title, *(f"{label}: {value}" for label, value in self.facts)]
        if self.quote:
            lines += ["", *(f"> {line}" for line in self.quote.splitlines())]
        for section in self.sections:
            lines += ["", section.heading, *(f"- {line}" for line in section.lines)]
        return "\n".join(lines)


def build_message(event: Event, notifier: NotifierSettings, thread: str = "", first: Event | None = None) -> Message:
    """The message about `event`. `first`: the event whose id and title it has, where `event` was merged into it."""
    first = first or event
    case = redact(event.case, notifier.private)
    shown = event._replace(case=case)
    labels, quote = LABELS[notifier.language], str(shown.answer.get("comment") or "")
    person, others = _recipients(first, event.case)
    to = address_of(person, notifier)
    reference = case.get("reference")
    ticket = reference.get("id") if isinstance(reference, dict) and reference.get("type") == "ticket" else None
    return Message(
        id=first.id,
        type=first.type,
        at=first.at,
        title=_one_line(_title(first, event.case, notifier)) or first.type,
        facts=tuple((labels[name], _one_line(value)) for name, value in _facts(shown, notifier) if value),
        quote=quote if len(quote) <= _MAX_QUOTE else quote[:_MAX_QUOTE] + "…",
        data=case,
        to=to,
        cc=tuple(dict.fromkeys(notifier.to[name] for name in others if notifier.to.get(name, to) != to)),
        case_id=event.case_id,
        severity=str(case.get("severity") or ""),
        thread=thread,
        ticket=str(ticket or ""),
    )


def address_of(person: str, notifier: NotifierSettings) -> str:
    """The address of a person, else that of everybody; "" if the kind has none."""
    return notifier.to.get(person) or notifier.to.get(EVERYBODY, "")


def local_time(instant: object, zone: str) -> str:
    """An RFC 3339 time as `2026-03-02 09:00 Europe/Amsterdam`, "" for anything else."""
    try:
        local = datetime.fromisoformat(str(instant)).astimezone(ZoneInfo(zone))
    except ValueError:
        return ""
    return f"{local:%Y-%m-%d %H:%M} {local.tzname() if zone == 'UTC' else zone}"


def score_text(case: Mapping[str, Any]) -> str:
    """Metric and score: `NPS 2`."""
    return f"{str(case.get('metric', '')).upper()} {case.get('score', '')}".strip()


def render_title(name: str, values: Mapping[str, object], notifier: NotifierSettings) -> str:
    """The title of an event or digest, from the settings or else the built-in text, with `values` in the braces."""
    text = notifier.texts.get(name) or TITLES[notifier.language].get(name, name)
    return text.format_map(values)


def _recipients(event: Event, case: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Whom it is for, and who gets a copy."""
    owner, informed = str(case.get("owner") or ""), [str(name) for name in case.get("informed") or ()]
    if event.name == "escalated" and (to := event.entry.get("assignee")):
        return str(to), [owner]
    return owner, informed


def _title(event: Event, case: Mapping[str, Any], notifier: NotifierSettings) -> str:
    entry, severity, words = event.entry, str(case.get("severity") or ""), REASONS[notifier.language]
    answer = event._replace(case=dict(case)).answer
    cause, reason = str(entry.get("root_cause") or "-"), str(entry.get("reason") or case.get("reason") or "-")
    values = {
        "case": event.case_id,
        "metric": str(answer.get("metric", "")).upper(),
        "score": answer.get("score", ""),
        "severity": SEVERITIES[notifier.language].get(severity, severity),
        "department": answer.get("department") or answer.get("channel") or "-",
        "customer": case.get("customer_id") or "-",
        "owner": case.get("owner") or "-",
        "by": entry.get("by") or case.get("by") or "-",
        "to": entry.get("assignee") or "-",
        "due": local_time(case.get("due_at"), notifier.zone),
        "cause": words[cause] if cause == NO_COMPLAINT else cause,
        "reason": words.get(reason, reason),
    }
    name = "worsened" if event.worsens and event.name == "noted" else event.name
    title = render_title(name, values, notifier)
    if event.worsens and name != "worsened" and name not in notifier.texts:
        title += f"; {LABELS[notifier.language]['now']} {values['severity']}"
    return title


def _facts(event: Event, notifier: NotifierSettings) -> Iterable[tuple[str, str]]:
    """Labels and values of an event without what is private, in the order in which they are shown."""
    case, labels, words = event.case, LABELS[notifier.language], REASONS[notifier.language]
    answer, entry = event.answer, _last(case)
    was, reference, owner = answer.get("previous_score"), case.get("reference"), str(case.get("owner") or "")
    yield "case", event.case_id
    yield "customer", str(case.get("customer_id") or "")
    for name in ("name", "email", "phone"):
        yield name, str(case.get(name) or "")
    yield "score", score_text(answer) + ("" if was is None else f", {labels['was']} {was}")
    for name in ("worst", "newest"):
        yield name, _other_answer(case, name, answer, notifier)
    yield "reasons", ", ".join(words.get(str(reason), str(reason)) for reason in case.get("reasons") or ())
    yield "department", str(answer.get("department") or "")
    yield "agent", str(case.get("agent_id") or "")
    yield "channel", str(answer.get("channel") or "")
    yield "owner", owner
    yield "informed", ", ".join(str(name) for name in case.get("informed") or () if name != owner)
    yield "due", local_time(case.get("due_at"), notifier.zone)
    if isinstance(reference, dict):
        yield "ticket", " ".join(str(reference.get(name) or "") for name in ("type", "id", "url")).strip()
    yield "begin", str(case.get("message") or "")
    yield "note", str(entry.get("comment") or "")


def _other_answer(case: Mapping[str, Any], name: str, shown: Mapping[str, Any], notifier: NotifierSettings) -> str:
    """The `newest` or `worst` answer of a case, "" if it is the one that is `shown` anyway."""
    answer = case.get(name)
    if not isinstance(answer, dict) or answer.get("response_id") in (None, shown.get("response_id")):
        return ""
    when = local_time(answer.get("submitted_at"), notifier.zone)
    parts = [score_text(answer), str(answer.get("department") or ""), str(answer.get("channel") or ""), when]
    comment = str(answer.get("comment") or "")
    text = ", ".join(part for part in parts if part)
    return text + (f" “{comment[:_MAX_ASIDE]}”" if comment else "")


def _last(case: Mapping[str, Any]) -> Mapping[str, Any]:
    history = case.get("history") or [{}]
    last: Mapping[str, Any] = history[-1]
    return last


def _one_line(text: str) -> str:
    """Without line ends and control characters: a title may become a mail header."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
