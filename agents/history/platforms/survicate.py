"""Survicate: responses as its Data Export API lists them; its CSV by `[intake.NAME.columns]`.

Source: developers.survicate.com/data-export. Third-hand (schemas of connectors): `uuid`, `collected_at`, and how an
answer is held under `answers`. No documentation of the CSV was found, so nothing of it is taken for granted.
"""

from collections.abc import Iterable
from typing import Any

from npsflow.agents.history.export import Context, Export, Given, Table
from npsflow.agents.history.webhook_bridge import as_webhook
from npsflow.agents.intake.delivery import maybe
from npsflow.streams.intake.mapping import FormMapping


def item(fields: dict[str, Any], form: FormMapping, context: Context) -> Iterable[Given]:
    answers = [_answer(answer) for answer in maybe(fields, "answers", list) if isinstance(answer, dict)]
    survey = {"id": fields.get("survey_id") or context.form}
    told = {
        "responseUuid": fields.get("uuid"),
        "timestamp": fields.get("collected_at"),
        "survey": survey,
        "url": fields.get("url"),
        "respondent": fields.get("respondent"),
        "answers": answers,
    }
    return as_webhook({"event": {"surveyCompleted": told}}, form)


def _answer(given: dict[str, Any]) -> dict[str, Any]:
    """As a webhook has it: of a Net Promoter Score the choice's id is the score, its body the category."""
    told: dict[str, Any] = {"question": {"id": given.get("question_id")}}
    answer = given.get("answer")
    if not isinstance(answer, dict):
        return told | {"text": answer}
    if "tag" in answer:
        return told | {"choice": {"id": answer.get("content"), "body": answer["tag"], "comment": answer.get("comment")}}
    return told | {"choice": {"id": answer.get("id"), "body": answer.get("content"), "comment": answer.get("comment")}}


EXPORT = Export(table=Table(), item=item, lists=["data"])
