"""Maps the forms of a platform to responses: `[intake.NAME]` names the score questions and the path of each field.

Nothing is guessed: a form without a mapping, or without any of the questions named here, is `Unmapped`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec import Struct

from npsflow.schemas.invitation import Invitation
from npsflow.schemas.response import Customer, Metric, Reference, Response, Scalar, Scale

_OURS = {
    "response_id", "source", "survey_id", "metric", "score", "submitted_at", "updated_at", "deleted", "comment",
    "answers", "scale", "customer", "reference", "attributes",
}  # fmt: skip
_INNER = {"customer.": set(Customer.__struct_fields__), "reference.": set(Reference.__struct_fields__)}
_TRUTHS = {"contact_requested", "test", "internal", "customer.contact_allowed"}
COLUMNS = {"response_id", "submitted_at", "updated_at", "form", "invitation_id", "sent_at"}
"""What a column of an export may be besides a path, see `FormMapping.columns`."""
_MAX_SCORE = 1e9  # a larger number is no score, and may be too large for JSON
_TRUE = {"true", "yes", "1", "on"}
_API = re.compile(r"(https://[^/?#@\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?)(/[^?#\s]*)?")  # a token is sent there


class Score(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[intake.NAME.scores]]`: one score question. `words`: what its answers count as, where they are no numbers."""

    question: str
    metric: Metric
    scale: Scale | None = None
    words: dict[str, int] = {}


class Paths(Struct, frozen=True, forbid_unknown_fields=True):
    """`[intake.NAME.paths]`, of the generic platform: where in its JSON is what the others have fixed places for."""

    response_id: str = "response_id"
    submitted_at: str = "submitted_at"
    updated_at: str = "updated_at"
    deleted: str = "deleted"
    form: str = "form"
    invitation_id: str = "invitation_id"
    sent_at: str = "sent_at"


class FormMapping(Struct, frozen=True, forbid_unknown_fields=True):
    """`[intake.NAME]`: paths lead into what the platform sent, names joined by dots.

    `forms`: ids of the forms it is for, all if empty. `comment`: the first of these paths that leads to a text.
    `fields`: field of a response to path; `values`: field to a fixed value. `drivers`: path to the topic it is about.
    `header`: the one that carries the secret as it is, instead of a bearer token. `events`: the platform's names of the
    events in which a survey was offered or answered, where its adapter asks for them.
    `api` and `api_per_minute`: where answers are fetched from and how often, if not as the platform's own (0).
    `columns`: title of a column in the platform's CSV export to the path where a webhook has the same, or to one of
    COLUMNS.
    """

    platform: str
    scores: list[Score] = []
    source: str = ""
    survey_id: str = ""
    forms: list[str] = []
    comment: list[str] = []
    fields: dict[str, str] = {}
    values: dict[str, Scalar] = {}
    drivers: dict[str, str] = {}
    columns: dict[str, str] = {}
    paths: Paths = Paths()
    verification: Literal["standard_webhooks", "bearer"] = "standard_webhooks"
    header: str = ""
    events: dict[Literal["offered", "answered"], str] = {}
    api: str = ""
    api_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class Submission:
    """One filled-in form. Times are as the platform writes them; the paths of a mapping lead into `content`.

    `questions`: ids of all questions of the form, where the platform names them; `deleted`: the answers are gone;
    `finished`: no answer is to come that would need another submission.
    """

    form: str
    response_id: str
    submitted_at: str | None
    updated_at: str | None = None
    deleted: bool = False
    content: Mapping[str, Any] = field(default_factory=dict)
    questions: frozenset[str] | None = None
    finished: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """One survey that a platform offered to a customer."""

    form: str
    invitation_id: str
    sent_at: str
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """An event without answers: they have to be fetched. `ids`: what the platform's API needs to find them."""

    form: str
    event_id: str
    ids: Mapping[str, str]


class Unmapped(Exception):
    """The settings do not say what this form means. The text holds nothing that a customer wrote."""


def check(form: FormMapping) -> str | None:
    """The first mistake in a mapping, None if there is none."""
    for name in (*form.fields, *form.values):
        prefix, dot, inner = name.partition(".")
        known = _INNER.get(prefix + dot, set())
        if not (inner in known or (prefix == "attributes" and inner) or (not dot and _is_free(name))):
            return f"{name!r} is not a field that a form can fill"
    questions = [_last(score.question) for score in form.scores]
    if twice := [question for question in questions if questions.count(question) > 1]:
        return f"question {twice[0]!r} is named twice"
    if form.api and not _API.fullmatch(form.api):
        return "api is no https:// address (http:// only of this machine)"
    if form.api_per_minute < 0:
        return "api_per_minute is below 0"
    return "source contains a slash" if "/" in form.source else None


def _is_free(name: str) -> bool:
    return name in Response.__struct_fields__ and name not in _OURS


def responses(form: FormMapping, sent: Submission, pseudonym: Callable[[str], str | None]) -> list[dict[str, Any]]:
    """One response (or deletion) for each score question that is answered; an empty list while none is.

    `pseudonym` makes a customer's id of an e-mail address where the company's own number is not known.
    Raises Unmapped when the mapping is not for this form, or the form has none of its score questions.
    """
    check_mapped(form, sent.form)
    questions = sent.questions
    if questions is not None and not any(_last(score.question) in questions for score in form.scores):
        raise Unmapped(f"form {sent.form!r} has none of the questions named as scores")
    made = []
    for score in form.scores:
        identity = {"source": form.source or form.platform, "response_id": _identity(form, sent, score)}
        if sent.updated_at is not None:
            identity["updated_at"] = sent.updated_at
        if sent.deleted:
            made.append(identity | {"deleted": True})
        elif (answer := find(sent.content, score.question)) not in (None, ""):
            made.append(identity | _response(form, sent, score, answer, pseudonym))
    return made


def invitation(form: FormMapping, offer: Offer, pseudonym: Callable[[str], str | None]) -> dict[str, Any]:
    """The invitation with those fields of the mapping that it can have; `pseudonym` as for a response.

    Raises Unmapped when the form is not one of the mapping's.
    """
    _check_form(form, offer.form)
    made: dict[str, Any] = {
        "invitation_id": offer.invitation_id,
        "source": form.source or form.platform,
        "survey_id": form.survey_id or offer.form,
        "sent_at": offer.sent_at,
    }
    _fill(made, form, offer.content, pseudonym)
    return {name: value for name, value in made.items() if name in Invitation.__struct_fields__}


def check_mapped(form: FormMapping, form_id: str) -> None:
    """Raises Unmapped when the mapping is not for this form or names no score question."""
    _check_form(form, form_id)
    if not form.scores:
        raise Unmapped("no score question is named")


def _check_form(form: FormMapping, form_id: str) -> None:
    if form.forms and form_id not in form.forms:
        raise Unmapped(f"form {form_id!r} is not among the forms of this mapping")


def _identity(form: FormMapping, sent: Submission, score: Score) -> str:
    return sent.response_id if len(form.scores) == 1 else f"{sent.response_id}:{_last(score.question)}"


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _response(
    form: FormMapping, sent: Submission, score: Score, answer: Any, pseudonym: Callable[[str], str | None]
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "survey_id": form.survey_id or sent.form,
        "metric": score.metric,
        "score": _score(score, answer),
        "submitted_at": sent.submitted_at,
    }
    if score.scale is not None:
        made["scale"] = {"min": score.scale.min, "max": score.scale.max}
    _fill(made, form, sent.content, pseudonym)
    for path in form.comment:
        if isinstance(text := find(sent.content, path), str) and text.strip():
            made["comment"] = text
            break
    answers = (_driver(path, topic, find(sent.content, path)) for path, topic in form.drivers.items())
    if drivers := [answer for answer in answers if answer is not None]:
        made["answers"] = drivers
    return made


def _fill(
    made: dict[str, Any], form: FormMapping, content: Mapping[str, Any], pseudonym: Callable[[str], str | None]
) -> None:
    for name, value in form.values.items():
        _put(made, name, value)
    for name, path in form.fields.items():
        _put(made, name, _as_field(name, find(content, path)))
    customer = made.get("customer", {})
    if "id" not in customer and isinstance(email := customer.get("email"), str) and (made_up := pseudonym(email)):
        customer["id"] = made_up


def _score(score: Score, answer: Any) -> Any:
    """A whole number where the answer is one; anything else stays what it is, to be refused by name."""
    if isinstance(answer, dict | list):
        return type(answer)()  # what it holds may lie too deep to be written as JSON
    if isinstance(answer, str):
        if answer in score.words:
            return score.words[answer]
        text = answer.strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else answer
    return int(answer) if isinstance(answer, float) and answer.is_integer() and abs(answer) < _MAX_SCORE else answer


def _driver(path: str, topic: str, answer: Any) -> dict[str, Any] | None:
    if answer is None or isinstance(answer, dict | list):
        return None
    kind = "score" if isinstance(answer, int | float) and not isinstance(answer, bool) else "text"
    return {"question_id": _last(path), "topic": topic, kind: answer if kind == "score" else str(answer)}


def _as_field(name: str, value: Any) -> Any:
    if value is None or isinstance(value, dict):
        return None
    if isinstance(value, list):
        return ", ".join(str(item) for item in value if not isinstance(item, dict | list)) or None
    if name in _TRUTHS:
        return value if isinstance(value, bool) else str(value).strip().lower() in _TRUE
    if name == "customer.value" or name.startswith("attributes."):
        return value
    return str(value)


def _put(made: dict[str, Any], name: str, value: Any) -> None:
    if value is not None:
        outer, _, inner = name.partition(".")
        if inner:
            made.setdefault(outer, {})[inner] = value
        else:
            made[outer] = value


def find(content: Any, path: str) -> Any:
    """The value at the path, None if there is none. A name that holds dots itself is found as well."""
    if not isinstance(content, Mapping):
        return None
    if path in content:
        return content[path]
    parts = path.split(".")
    for size in range(len(parts) - 1, 0, -1):
        if (name := ".".join(parts[:size])) in content:
            return find(content[name], ".".join(parts[size:]))
    return None
