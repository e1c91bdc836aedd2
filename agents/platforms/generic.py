"""Any platform that sends JSON: `[intake.NAME.paths]` says where things are, `verification` how it is signed."""

from collections.abc import Iterable, Sequence
from typing import Any

from npsflow.agents.intake.delivery import Delivery, Malformed, Platform, json_object
from npsflow.agents.platforms.signing import standard_webhooks, static
from npsflow.streams.intake.mapping import FormMapping, Offered, Submission, find


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    if form.verification == "bearer":
        static(delivery, form.header, secrets)
    else:
        standard_webhooks(delivery, secrets, now)


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission | Offered]:
    """Paths lead into the whole body. One that was sent and has no time of an answer is an invitation."""
    content, paths = json_object(delivery.body), form.paths
    invitation_id, sent_at = _text(content, paths.invitation_id), _text(content, paths.sent_at)
    deleted, submitted_at = find(content, paths.deleted) is True, _text(content, paths.submitted_at)
    if invitation_id and sent_at and submitted_at is None and not deleted:
        yield Offered(_text(content, paths.form) or "", invitation_id, sent_at, content)
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
    found = find(content, path)
    return None if found is None or isinstance(found, dict | list | bool) else str(found)


PLATFORM = Platform(verify, parse)
