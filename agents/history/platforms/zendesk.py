"""Zendesk: satisfaction ratings as its API lists them; those that were offered and not answered are invitations.

Source: developer.zendesk.com, satisfaction_ratings. It documents no CSV of them (Explore makes any): all of its columns
are named in `[intake.NAME.columns]`, and the ticket's number can be the response's id.
"""

from collections.abc import Iterable
from typing import Any

from npsflow.agents.history.export import Context, Export, Given, Table
from npsflow.agents.history.webhook_bridge import as_webhook
from npsflow.streams.intake.mapping import FormMapping


def item(fields: dict[str, Any], form: FormMapping, context: Context) -> Iterable[Given]:
    return as_webhook({"satisfaction_rating": fields}, form)


def _identity(cell: str) -> str:
    """As webhooks name a ticket."""
    return f"zen:ticket:{cell}" if cell.isdigit() else cell


EXPORT = Export(table=Table(identity=_identity), item=item, lists=["satisfaction_ratings"], form="satisfaction_rating")
