"""Any platform that sends JSON: `[intake.NAME.paths]` names the paths in it, or the titles of columns in its CSV.

`verification` says how its webhooks are signed.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from npsflow.agents.platforms.fields import json_object
from npsflow.agents.platforms.protocol import (
    Delivery,
    Export,
    ExportItem,
    FileOptions,
    Malformed,
    Platform,
    Table,
    Webhook,
)
from npsflow.agents.platforms.signing import standard_webhooks, static
from npsflow.agents.platforms.webhook_bridge import parse_as_webhook
from npsflow.streams.intake.mapping import FormMapping, Offer, Submission, find


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """As `verification` says: a bearer token or a header with the secret, or Standard Webhooks."""
    if form.verification == "bearer":
        static(delivery, form.header, secrets)
    else:
        standard_webhooks(delivery, secrets, now)


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission | Offer]:
    """Paths lead into the whole body. One with a time of sending but none of an answer is an invitation."""
    content, paths = json_object(delivery.body), form.paths
    invitation_id, sent_at = _text(content, paths.invitation_id), _text(content, paths.sent_at)
    deleted, submitted_at = find(content, paths.deleted) is True, _text(content, paths.submitted_at)
    if invitation_id and sent_at and submitted_at is None and not deleted:
        yield Offer(_text(content, paths.form) or "", invitation_id, sent_at, content)
        return
    response_id = _text(content, paths.response_id)
    if response_id is None:
        raise Malformed(f"{paths.response_id} is missing")
    if submitted_at is None and not deleted:
        raise Malformed(f"{paths.submitted_at} is missing")
    yield Submission(
        form=_text(content, paths.form) or "",
        response_id=response_id,
        submitted_at=submitted_at,
        updated_at=_text(content, paths.updated_at),
        deleted=deleted,
        content=content,
    )


def _text(content: dict[str, Any], path: str) -> str | None:
    """An id may be a number."""
    value = find(content, path)
    return None if value is None or isinstance(value, dict | list | bool) else str(value)


# The export.


def items(fields: dict[str, Any], form: FormMapping, options: FileOptions) -> Iterable[ExportItem]:
    """An item is the body of a webhook."""
    return parse_as_webhook(parse, fields, form)


def table(form: FormMapping) -> Table:
    """The paths of the mapping are titles here."""
    paths = form.paths
    return Table([paths.response_id], [paths.submitted_at], [paths.updated_at], [paths.form])


_EXPORT = Export(table=table, items=items, lists=["data", "items", "responses", "results"])


def settings(form: FormMapping) -> Iterable[str]:
    """A header is only looked at where it is to carry the secret."""
    return ("paths", "verification", "header") if form.verification == "bearer" else ("paths", "verification")


PLATFORM = Platform(webhook=Webhook(verify, parse), export=_EXPORT, settings=settings)
