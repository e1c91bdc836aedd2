"""Typeform: responses as its Responses API lists them, and the CSV of its results page.

Source: typeform.com/developers/responses: an item is what a webhook holds as `form_response`, without the form's id.
Not documented, seen in files: the CSV has the token as `#`, times in UTC as their titles say, questions and hidden
fields by title, a column for each choice of a question with several.
"""

from collections.abc import Iterable
from datetime import UTC
from typing import Any

from npsflow.agents.history.export import Context, Export, Given, Table
from npsflow.agents.history.webhook_bridge import as_webhook
from npsflow.streams.intake.mapping import FormMapping

_NEVER = "0001-01-01T00:00:00Z"  # what is not submitted yet


def item(fields: dict[str, Any], form: FormMapping, context: Context) -> Iterable[Given]:
    sent = {"form_id": context.form} | fields
    if sent.get("submitted_at") == _NEVER:
        del sent["submitted_at"]
    return as_webhook({"event_type": "form_response", "form_response": sent}, form)


EXPORT = Export(
    table=Table(
        response_id=["#", "Response ID"],
        submitted_at=["Submit Date (UTC)", "Start Date (UTC)"],
        zone=lambda header: UTC,
    ),
    item=item,
    lists=["items"],
)
