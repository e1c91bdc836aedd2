"""Formbricks: responses as its API lists them, and the CSV of its responses page.

Source: github.com/formbricks/formbricks, its response types and its export (lib/response). An item is what a webhook
holds as `data`. The CSV has times by the clock of the server or the browser, to the second, and no time of a change:
where a webhook came as well, that one stands.
"""

from collections.abc import Iterable
from typing import Any

from npsflow.agents.history.export import Context, Export, Given, Table
from npsflow.agents.history.webhook_bridge import as_webhook
from npsflow.streams.intake.mapping import FormMapping


def item(fields: dict[str, Any], form: FormMapping, context: Context) -> Iterable[Given]:
    return as_webhook({"event": "responseFinished", "data": fields}, form)


EXPORT = Export(
    table=Table(
        response_id=["Response ID"],
        submitted_at=["Timestamp"],
        form=["Survey ID"],
        paths={
            "user id": "contact.userId",
            "url": "meta.url",
            "source": "meta.source",
            "country": "meta.country",
            "action": "meta.action",
        },
        rest=["answers", "attributes"],  # hidden fields, attributes of the contact
    ),
    item=item,
    lists=["data"],
)
