"""Delighted, closed in 2026: responses and people as its API listed them, and the CSV of responses.

Source: app.delighted.com/docs/api, "Listing survey responses" and "Listing people". The titles of the CSV are not
documented there: these are those of the API, written out; others are named in `[intake.NAME.columns]`. So is the zone.
"""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from npsflow.agents.history.export import Context, Export, Given, NotAnAnswer, Table
from npsflow.agents.history.fields import scalar, time
from npsflow.streams.intake.mapping import FormMapping, Offered, Score, Submission

_METRICS: dict[str, Any] = {"nps": "nps", "enps": "enps", "csat": "csat"}
"""Survey types whose scale is that of a metric of ours; of any other its scale has to be said."""

_DEFAULT = FormMapping(
    platform="delighted",
    comment=["comment"],
    fields={
        "customer.email": "person.email",
        "customer.name": "person.name",
        "customer.phone": "person.phone_number",
        "response_url": "permalink",
    },
)


def item(fields: dict[str, Any], form: FormMapping, context: Context) -> Iterable[Given]:
    """`score`, `comment`, `person.NAME`, `person_properties.NAME` and `answers.QUESTION` are where paths lead.

    A person who was surveyed, from the list of people, is an invitation.
    """
    id_ = scalar(fields, "id")
    if "last_sent_at" in fields and "score" not in fields:
        if (sent_at := time(fields, "last_sent_at", context)) is not None:
            person = f"{id_}-{fields['last_sent_at']}"
            yield Offered(context.form, person, sent_at, {"person": fields, **fields})
        return
    submitted_at = time(fields, "created_at", context)
    if submitted_at is None:
        raise NotAnAnswer("missing_field", "created_at is missing")
    answers = {
        str(answer["question"].get("id")): _value(answer.get("value"))
        for answer in fields.get("additional_answers") or ()
        if isinstance(answer, dict) and isinstance(answer.get("question"), dict)
    }
    yield Submission(
        form=context.form or scalar(fields, "survey_type"),
        response_id=id_,
        submitted_at=submitted_at,
        updated_at=time(fields, "updated_at", context),
        content={**fields, "answers": answers},
    )


def _value(given: Any) -> Any:
    """An answer holds its value under the name of its kind, all others are null."""
    if not isinstance(given, dict):
        return given
    value = next((value for value in given.values() if value is not None), None)
    if isinstance(value, list):
        return [choice.get("text") for choice in value if isinstance(choice, dict)]
    return value.get("text") if isinstance(value, dict) else value


def mapping(form: FormMapping, given: Given) -> FormMapping:
    """Without a score question in the settings the type of the survey tells the metric."""
    if form.scores or isinstance(given, Offered):
        return form
    kind = str(given.content.get("survey_type") or "").strip().lower()
    if kind not in _METRICS:
        raise NotAnAnswer("unmapped", "of this survey_type metric and scale have to be said: [[intake.NAME.scores]]")
    return replace(form, scores=[Score("score", _METRICS[kind])])


EXPORT = Export(
    table=Table(
        response_id=["Response ID", "Survey Response ID", "ID"],
        submitted_at=["Created At", "Response Created At"],
        updated_at=["Updated At", "Response Updated At"],
        form=["Survey ID", "Survey Type"],
        paths={
            "score": "score",
            "comment": "comment",
            "survey type": "survey_type",
            "permalink": "permalink",
            "person id": "person.id",
            "email": "person.email",
            "name": "person.name",
            "phone number": "person.phone_number",
        },
        rest=["person_properties"],
    ),
    item=item,
    lists=["survey_responses", "people"],
    default=_DEFAULT,
    mapping=mapping,
)
