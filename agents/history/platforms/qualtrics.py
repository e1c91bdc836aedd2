"""Qualtrics: responses as its export API gives them in JSON, and the CSV with three rows of titles.

Source: qualtrics.com/support, "Understanding Your Dataset": the names of the fields, their texts, and the ids by which
they are imported, as JSON, which of times tells the zone too.
"""

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from npsflow.agents.history.export import Context, Export, Given, Table
from npsflow.agents.history.fields import scalar
from npsflow.agents.history.webhook_bridge import as_fetched
from npsflow.schemas import codec
from npsflow.streams.intake.mapping import FormMapping


def item(fields: dict[str, Any], form: FormMapping, context: Context) -> Iterable[Given]:
    return as_fetched({"result": fields}, {"survey": context.form, "response": scalar(fields, "responseId")}, form)


def titles(header: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """The name that the survey's maker gave, and the id, by which the API knows it."""
    return [[name, str(told.get("ImportId") or "")] for name, told in zip(header[0], _told(header), strict=True)]


def zone(header: Sequence[Sequence[str]]) -> tzinfo | None:
    """Of all times, where the file tells one."""
    found = {told["timeZone"] for told in _told(header) if isinstance(told.get("timeZone"), str)}
    try:
        return ZoneInfo(found.pop()) if len(found) == 1 else None
    except (KeyError, ValueError, OSError):  # the zone is said in another way
        return None


def _told(header: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    told = []
    for cell in header[2]:
        try:
            found = codec.loads(cell)
        except codec.NotJson:
            found = None
        told.append(found if isinstance(found, dict) else {})
    return told


EXPORT = Export(
    table=Table(
        response_id=["ResponseId", "ResponseID"],
        submitted_at=["EndDate"],
        updated_at=["RecordedDate"],
        header=3,
        titles=titles,
        zone=zone,
        rest=["values"],
    ),
    item=item,
    lists=["responses"],
)
