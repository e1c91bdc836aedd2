"""SurveyMonkey: responses as its API lists them in bulk, and the CSV "all individual responses".

Source: api.surveymonkey.com/v3/docs, "surveys/{id}/responses/bulk": an item is what is fetched for a webhook. Not
documented, seen in files: the CSV has two rows of titles, the question above and the row, the choice or the kind of
answer below; its `Respondent ID` is the id of the response; its times have no zone and begin with the month or the day.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from npsflow.agents.history.export import Context, Export, Given, Table
from npsflow.agents.history.fields import scalar
from npsflow.agents.history.webhook_bridge import as_fetched
from npsflow.streams.intake.mapping import FormMapping


def item(fields: dict[str, Any], form: FormMapping, context: Context) -> Iterable[Given]:
    ids = {"survey": scalar(fields, "survey_id") or context.form, "response": scalar(fields, "id")}
    return as_fetched(fields, ids, form)


def titles(header: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """The question's title where it has one column; `question / choice` where it has several, and for each."""
    above, below = header
    names, title = [], ""
    for at, (upper, lower) in enumerate(zip(above, below, strict=True)):
        title = upper.strip() or title
        alone = bool(upper.strip()) and (at + 1 == len(above) or bool(above[at + 1].strip()))
        both = [f"{title} / {lower.strip()}"] if lower.strip() else []
        names.append([title, *both] if alone or not both else both)
    return names


EXPORT = Export(
    table=Table(
        response_id=["Respondent ID"],
        submitted_at=["Start Date", "Date Created"],
        updated_at=["End Date", "Date Modified"],
        paths={
            "email address": "contact.email_address",
            "first name": "contact.first_name",
            "last name": "contact.last_name",
        },
        header=2,
        titles=titles,
    ),
    item=item,
    lists=["data"],
)
