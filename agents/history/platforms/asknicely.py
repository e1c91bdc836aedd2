"""AskNicely: what its API `responses` gives, as JSON or as CSV with the same names.

Source: demo.asknice.ly/help/apidocs/responses. Third-hand: that the score is there as `answer`; name another column in
`[intake.NAME.columns]`. An export has no count of changes: where a webhook told of one, that one stands.
"""

from collections.abc import Iterable
from typing import Any

from npsflow.agents.history.export import Context, Export, Given, Table
from npsflow.agents.history.webhook_bridge import as_webhook
from npsflow.streams.intake.mapping import FormMapping


def item(fields: dict[str, Any], form: FormMapping, context: Context) -> Iterable[Given]:
    """All of it stands where a webhook has its `question`, and where it has its `person`."""
    id_ = str(fields.get("response_id") or fields.get("id") or "")
    question = {"score": fields.get("answer")} | fields | {"id": id_}
    return as_webhook({"question": question, "person": fields}, form)


EXPORT = Export(
    table=Table(
        response_id=["response_id"],
        submitted_at=["responded"],
        form=["survey_template"],
        paths={"answer": "question.score"},
        rest=["question", "person"],
    ),
    item=item,
    lists=["data"],
)
