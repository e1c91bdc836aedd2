"""Google Forms: responses as its API lists them; the CSV of its responses page, which has no ids.

Source: developers.google.com/forms/api, forms.responses.list. The CSV has one `Timestamp` (in another language it is
named in `[intake.NAME.columns]`) and questions by title. As it has no ids, what also came by webhook would be counted
twice: hence `--make-ids`, or better the JSON.
"""

from collections.abc import Iterable
from typing import Any

from npsflow.agents.history.export import Context, Export, Given, Table
from npsflow.agents.history.fields import scalar
from npsflow.agents.history.webhook_bridge import as_fetched
from npsflow.streams.intake.mapping import FormMapping


def item(fields: dict[str, Any], form: FormMapping, context: Context) -> Iterable[Given]:
    return as_fetched({"responses": [fields]}, {"form": scalar(fields, "formId") or context.form}, form)


EXPORT = Export(table=Table(submitted_at=["Timestamp"]), item=item, lists=["responses"])
