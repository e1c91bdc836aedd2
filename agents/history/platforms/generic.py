"""Any other platform: `[intake.NAME.paths]` says where things are in its JSON; in its CSV these are titles."""

from collections.abc import Iterable
from typing import Any

from npsflow.agents.history.export import Context, Export, Given, Table
from npsflow.agents.history.webhook_bridge import as_webhook
from npsflow.streams.intake.mapping import FormMapping


def item(fields: dict[str, Any], form: FormMapping, context: Context) -> Iterable[Given]:
    return as_webhook(fields, form)


def table(form: FormMapping) -> Table:
    paths = form.paths
    return Table([paths.response_id], [paths.submitted_at], [paths.updated_at], [paths.form])


EXPORT = Export(table=table, item=item, lists=["data", "items", "responses", "results"])
