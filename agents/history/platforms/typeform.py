"""Typeform: responses as its Responses API lists them, and the CSV of its results page.

Source: typeform.com/developers/responses (an item is what a webhook holds as `form_response`, without the form's id).
The CSV has the token as `#`, times in UTC as their titles say, and questions and hidden fields by title.
"""

from collections.abc import Iterable
from datetime import UTC
from typing import Any

from npsflow.agents.history.export import Context, Export, Given, NotAnAnswer, Table
from npsflow.agents.intake.delivery import Malformed
from npsflow.agents.intake.platforms.typeform import submission
from npsflow.streams.forms import Form


def item(fields: dict[str, Any], form: Form, context: Context) -> Iterable[Given]:
    """Paths lead where they lead in a webhook."""
    fields.setdefault("token", fields.get("response_id"))
    fields.setdefault("form_id", context.form)
    try:
        yield submission(fields)
    except Malformed as error:
        raise NotAnAnswer("missing_field", str(error)) from None


EXPORT = Export(
    table=Table(
        response_id=("#", "Response ID"),
        submitted_at=("Submit Date (UTC)", "Stage Date (UTC)", "Start Date (UTC)"),
        zone=UTC,
    ),
    item=item,
    lists=("items",),
)
