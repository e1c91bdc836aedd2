"""Delighted, closed in 2026: responses and people as its API listed them, and the CSV of responses.

Source: app.delighted.com/docs/api, "Listing survey responses" and "Listing people". The titles of the CSV are not
documented there: these are those of the API, written out; others are named in `[intake.NAME.columns]`. Times have no
zone.
"""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from npsflow.agents.platforms.fields import objects, scalar, time
from npsflow.agents.platforms.protocol import Export, ExportItem, FileOptions, InvalidEntry, Platform, Table
from npsflow.streams.intake.mapping import FormMapping, Offer, Score, Submission

_METRICS: dict[str, Any] = {"nps": "nps", "enps": "enps", "csat": "csat"}
"""Survey types with the scale of a metric of ours; any other needs a scale in the settings."""

_MADE: dict[str, tuple[FormMapping, FormMapping]] = {}
"""The last mapping that was made for each type, and of which: one serves a million rows."""

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


def items(fields: dict[str, Any], form: FormMapping, options: FileOptions) -> Iterable[ExportItem]:
    """Paths: `score`, `comment`, `person.NAME`, `person_properties.NAME`, `answers.QUESTION`.

    A person who was surveyed, from the list of people, is an invitation.
    """
    id_ = scalar(fields, "id")
    if "last_sent_at" in fields and "score" not in fields:
        if (sent_at := time(fields, "last_sent_at", options)) is not None:
            person = f"{id_}-{fields['last_sent_at']}"
            yield Offer(options.form, person, sent_at, {"person": fields, **fields})
        return
    submitted_at = time(fields, "created_at", options)
    if submitted_at is None:
        raise InvalidEntry("missing_field", "created_at is missing")
    answers = {
        str(answer["question"].get("id")): _value(answer.get("value"))
        for answer in objects(fields, "additional_answers")
        if isinstance(answer.get("question"), dict)
    }
    yield Submission(
        form=options.form or scalar(fields, "survey_type"),
        response_id=id_,
        submitted_at=submitted_at,
        updated_at=time(fields, "updated_at", options),
        content={**fields, "answers": answers},
    )


def _value(answer: Any) -> Any:
    """An answer holds its value under the name of its kind, all others are null."""
    if not isinstance(answer, dict):
        return answer
    value = next((value for value in answer.values() if value is not None), None)
    if isinstance(value, list):
        return [choice.get("text") for choice in value if isinstance(choice, dict)]
    return value.get("text") if isinstance(value, dict) else value


def mapping(form: FormMapping, item: ExportItem) -> FormMapping:
    """Without a score question in the settings the type of the survey decides the metric."""
    if form.scores or isinstance(item, Offer):
        return form
    kind = str(item.content.get("survey_type") or "").strip().lower()
    if kind not in _METRICS:
        raise InvalidEntry("unmapped", "of this survey_type metric and scale have to be said: [[intake.NAME.scores]]")
    original, made = _MADE.get(kind, (None, form))
    if original is not form:
        made = replace(form, scores=[Score("score", _METRICS[kind])])
        _MADE[kind] = form, made
    return made


PLATFORM = Platform(
    export=Export(
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
        items=items,
        lists=["survey_responses", "people"],
        default=_DEFAULT,
        mapping=mapping,
    )
)
