"""An event of `service-recovery` as a notifier reads it, and which events a notifier wants."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from npsflow.schemas import codec
from npsflow.schemas.events import Severity
from npsflow.schemas.headers import Headers
from npsflow.streams.notify.settings import EventName, NotifierSettings
from npsflow.streams.scoring.segments import normal
from npsflow.streams.stage import Record

_PREFIX, _SUFFIX = "npsflow.case.", ".v1"
_SEVERITIES: tuple[Severity, ...] = ("medium", "high", "critical")
_MAX_ID = 600  # bytes; the ids that npsflow writes are shorter


class UnreadableEvent(ValueError):
    """A record that npsflow did not write. The text quotes nothing of it."""


class Event(NamedTuple):
    """A case event: `id`, `type` and `at` from its headers, `name` the short form of `type`, `case` its whole value."""

    id: str
    type: str
    at: str
    name: EventName
    case: dict[str, Any]

    @property
    def case_id(self) -> str:
        """The id of its case; its own id if it is about no case."""
        return str(self.case.get("case_id") or self.id)

    def customers(self, key: str) -> set[str]:
        """The customers it is about, named as in Kafka keys. `key` is its own: the key of a bundle is another one."""
        anonymous = f"{self.case.get('source')}/{self.case.get('response_id')}"
        return {key, str(self.case.get("customer_id") or anonymous)}

    @property
    def entry(self) -> dict[str, Any]:
        """The last entry of its history, {} if there is none."""
        history = self.case.get("history")
        last = history[-1] if isinstance(history, list) and history else {}
        return last if isinstance(last, dict) else {}

    @property
    def worsens(self) -> bool:
        """Whether the open case is more severe by it."""
        return bool(self.entry.get("severity"))

    @property
    def answer(self) -> Mapping[str, Any]:
        """The unhappy answer that it is about, its metric and score at least; if it names none, the worst."""
        entry, about = self.entry, self.entry.get("alert_id")
        if not about:
            return self.case
        answers = entry.get("answer"), self.case.get("newest"), self.case.get("worst")
        named = [answer for answer in answers if isinstance(answer, dict) and answer.get("alert_id") == about]
        return named[0] if named else self.case | {name: entry[name] for name in ("metric", "score") if name in entry}


def ce_type(headers: Headers) -> str:
    """The `ce_type` of a record, "" if it has none."""
    return next((value.decode(errors="replace") for name, value in headers if name == "ce_type" and value), "")


def is_case_event(headers: Headers) -> bool:
    """Whether a record is a decision about a case. The other records on the topic are alerts; notifiers skip them."""
    return ce_type(headers).startswith(_PREFIX)


def read_event(record: Record, opened: bytes | None = None) -> Event:
    """Parse a case event. `opened`: its value with sealed texts opened, if somebody is to read them.

    Raises UnreadableEvent when its id or value is not as npsflow writes it.
    """
    headers = {name: value.decode(errors="replace") for name, value in record.headers if value is not None}
    type_ = headers.get("ce_type", "")
    try:
        case = codec.loads(opened or record.value or b"")
    except codec.NotJson:
        raise UnreadableEvent("the event is not JSON") from None
    if not isinstance(case, dict) or not 0 < len(headers.get("ce_id", "").encode()) <= _MAX_ID:
        raise UnreadableEvent("the event is no JSON object, or has no id")
    if len(str(case.get("case_id", "")).encode()) > _MAX_ID:
        raise UnreadableEvent("the case has no id of ours")
    name: Any = type_.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    event = Event(headers["ce_id"], type_, headers.get("ce_time", ""), name, case)
    return event._replace(name="enriched") if name == "noted" and event.entry.get("reason") == "enriched" else event


def is_wanted(event: Event, notifier: NotifierSettings) -> bool:
    """Whether this notifier sends a message about it. Raises ValueError for an unknown severity.

    Whoever wants to hear of escalations hears of every step that makes an open case more severe.
    """
    kind = event.case.get("kind", "recovery")
    named = event.name in notifier.events or (event.worsens and "escalated" in notifier.events)
    return named and kind in notifier.cases and passes_filters(event.case, notifier)


def passes_filters(case: Mapping[str, Any], notifier: NotifierSettings) -> bool:
    """Whether department and severity are wanted; no severity passes. Raises ValueError for an unknown one."""
    severity = case.get("severity")
    severe = severity is None or _SEVERITIES.index(severity) >= _SEVERITIES.index(notifier.at_least)
    return severe and in_departments(case, notifier)


def in_departments(case: Mapping[str, Any], notifier: NotifierSettings) -> bool:
    """Whether its department is wanted, or that of its newest answer; upper and lower case are the same."""
    newest = case.get("newest")
    answers = (case, newest if isinstance(newest, dict) else case)
    departments = {normal(str(answer.get("department") or "")) for answer in answers}
    return not notifier.departments or not departments.isdisjoint(map(normal, notifier.departments))


def settle_seconds(event: Event, notifier: NotifierSettings) -> float:
    """How long the message waits for a comment; 0 if the event has one, is critical or opens no case."""
    waits = event.name == "opened" and not event.case.get("comment") and event.case.get("severity") != "critical"
    return notifier.settle_seconds if waits else 0.0
