"""Any platform that sends JSON or a form: `[intake.NAME.paths]` names the paths in it, or the titles of its CSV.

`verification` says how its webhooks are signed. A recipe of `npsflow.streams.intake.recipes` is settings for this.
"""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from npsflow.agents.platforms import bodies, signing
from npsflow.agents.platforms.protocol import (
    Delivery,
    Export,
    ExportItem,
    FileOptions,
    InvalidEntry,
    Malformed,
    Platform,
    Table,
    Webhook,
)
from npsflow.agents.platforms.times import InvalidTime, TimeFormat
from npsflow.schemas.codec import NotFinite
from npsflow.streams.intake.mapping import (
    FormMapping,
    Offer,
    PathSetting,
    Submission,
    Unmapped,
    every_path,
)
from npsflow.streams.intake.paths import find

_MOST_ENTRIES = 1_000


class _Unreadable(Unmapped):
    """The settings find something else than they name; `reason` in a word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """As `verification` says. Raises Forged, Stale."""
    match form.verification:
        case "bearer":
            signing.static(delivery, form.header, secrets)
        case "basic":
            signing.basic(delivery, secrets)
        case "query":
            signing.in_query(delivery, form.parameter, secrets)
        case "path":
            signing.in_path(delivery, secrets)
        case "signature" if form.signature is not None:
            signing.described(delivery, form.signature, secrets, now)
        case _:
            signing.standard_webhooks(delivery, secrets, now)


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission | Offer]:
    """Paths lead into the body, or into each entry of a list and, where it has no such name, the body around it.

    An entry with a time of sending but none of an answer is an invitation.
    Raises Malformed for what is no form, and Unmapped, after all others, for the first entry in which the paths do not
    lead to an id and a time.
    """
    body, times, unread = bodies.read(delivery.body), TimeFormat(_zone(form)), ""
    for number, content in enumerate(_entries(body, form.each), start=1):
        try:
            yield from _events(content, form, times)
        except _Unreadable as error:
            unread = unread or (str(error) if form.each is None else f"entry {number}: {error}")
    if unread:
        raise Unmapped(unread)


def _zone(form: FormMapping) -> ZoneInfo | None:
    return ZoneInfo(form.zone) if form.zone else None


def _entries(body: Any, each: str | None) -> Iterator[Any]:
    """What stands for one response each: the body, or the entries of a list, or of an object with objects alone."""
    if each is None:
        if not isinstance(body, dict):
            raise Malformed("the body is neither an object nor a form; if it is a list, set each")
        yield body
        return
    entries = find(body, each) if each else body
    if isinstance(entries, dict):
        apart = bool(each) and all(isinstance(value, dict) for value in entries.values())
        entries = list(entries.values()) if apart else [entries]
    if not isinstance(entries, list):
        if isinstance(body, dict):
            raise Unmapped(f"each: no list is at {each}")
        raise Malformed("the body is no list, object or form")
    if len(entries) > _MOST_ENTRIES:
        raise Malformed(f"the body holds over {_MOST_ENTRIES:,} responses")
    for entry in entries:
        yield ChainMap(entry, body) if each and isinstance(entry, dict) else entry


def _events(content: Any, form: FormMapping, times: TimeFormat) -> Iterator[Submission | Offer]:
    if not isinstance(content, Mapping):
        raise _Unreadable("missing_field", "it is no object")
    if not form.counts(content):
        return
    paths = form.paths
    deleted = find(content, paths.deleted) is True or form.is_deleted(content)
    submitted_at, updated_at, sent_at = (
        _time(content, name, getattr(paths, name), times) for name in ("submitted_at", "updated_at", "sent_at")
    )
    form_id, invitation_id = _text(content, paths.form) or "", _text(content, paths.invitation_id)
    if invitation_id and sent_at and submitted_at is None and not deleted:
        yield Offer(form_id, invitation_id, sent_at, content)
        return
    response_id = _text(content, paths.response_id)
    if response_id is None:
        raise _Unreadable("missing_field", f"{_names(paths.response_id)} is missing")
    if submitted_at is None and not deleted and not form.time_of_arrival:
        raise _Unreadable("missing_field", f"{_names(paths.submitted_at)} is missing")
    yield Submission(form_id, response_id, submitted_at, updated_at, deleted, content)


def _names(setting: PathSetting) -> str:
    return " or ".join(every_path(setting))


def _text(content: Mapping[str, Any], path: PathSetting) -> str | None:
    """An id may be a number, one that became a float on the way too."""
    value = find(content, path)
    if value is None or value == "" or isinstance(value, dict | list | bool | NotFinite):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _time(content: Mapping[str, Any], name: str, path: PathSetting, times: TimeFormat) -> str | None:
    value = find(content, path)
    if value is None or isinstance(value, dict | list | bool | NotFinite) or not str(value).strip():
        return None
    try:
        return times.parse(value)
    except InvalidTime as error:
        raise _Unreadable("invalid_time", f"{name}: {error}") from None


# The export.


def items(fields: dict[str, Any], form: FormMapping, options: FileOptions) -> Iterable[ExportItem]:
    """An item is the body of a webhook, or one entry of its list. Raises InvalidEntry behind what could be read."""
    times = TimeFormat(_zone(form) or options.times.zone, options.times.order)
    each = form.each if form.each and find(fields, form.each) is not None else None
    unreadable = None
    try:
        for content in _entries(fields, each):
            try:
                for event in _events(content, form, times):
                    yield _importable(event)
            except (_Unreadable, InvalidEntry) as error:
                unreadable = unreadable or InvalidEntry(error.reason, str(error))
    except (Malformed, Unmapped) as error:
        raise InvalidEntry("missing_field", str(error)) from None
    if unreadable is not None:
        raise unreadable


def _importable(event: ExportItem) -> ExportItem:
    if isinstance(event, Submission) and event.deleted:
        raise InvalidEntry("deleted", "an import deletes nothing")
    if isinstance(event, Submission) and event.submitted_at is None:
        raise InvalidEntry("missing_field", "submitted_at is missing")
    return event


def table(form: FormMapping) -> Table:
    """The paths of the mapping are titles here."""
    paths = form.paths
    return Table(
        response_id=every_path(paths.response_id),
        submitted_at=every_path(paths.submitted_at),
        updated_at=every_path(paths.updated_at),
        form=every_path(paths.form),
        zone=lambda header: _zone(form),
    )


_EXPORT = Export(table=table, items=items, lists=["data", "items", "responses", "results"])


def settings(form: FormMapping) -> Iterable[str]:
    """What goes with a `verification` is only looked at with it."""
    with_it = {"bearer": "header", "query": "parameter", "signature": "signature"}.get(
        form.verification, "verification"
    )
    return ("paths", "each", "zone", "time_of_arrival", "verification", with_it)


PLATFORM = Platform(webhook=Webhook(verify, parse), export=_EXPORT, settings=settings)
