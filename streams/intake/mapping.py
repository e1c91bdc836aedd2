"""Maps the forms of a platform to responses: `[intake.NAME]` names the score questions and the path of each field.

Nothing is guessed: a form without a mapping, or without any of the questions named here, is `Unmapped`. What a path may
be, `paths` says.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from npsflow.schemas.codec import NotFinite
from npsflow.schemas.invitation import Invitation
from npsflow.schemas.response import Customer, Metric, Reference, Response, Scalar, Scale
from npsflow.streams.intake.paths import InvalidPath, compiled, find, is_empty
from npsflow.streams.intake.signature import Signature
from npsflow.streams.scoring.languages import language_code
from npsflow.streams.scoring.scores import DEFAULT_SCALES

_OURS = {
    "response_id", "source", "survey_id", "metric", "score", "submitted_at", "updated_at", "deleted", "comment",
    "answers", "scale", "customer", "reference", "attributes",
}  # fmt: skip
_INNER = {"customer.": set(Customer.__struct_fields__), "reference.": set(Reference.__struct_fields__)}
_TRUTHS = {"contact_requested", "test", "internal", "customer.contact_allowed"}
COLUMNS = {"response_id", "submitted_at", "updated_at", "form", "invitation_id", "sent_at"}
"""What a column of an export may be besides a path, see `FormMapping.columns`."""
_NO_TEXT = (dict, list, NotFinite)
_MAX_SCORE = 1e9  # a larger number is no score, and may be too large for JSON
_WHOLE = re.compile(r"([0-9]{1,9})(?:[.,]0{1,2})?")  # spreadsheets and pandas write 9.0
_LEADING = re.compile(r"([0-9]{1,9})[\s\-\u2013\u2014:.)=(]+(?=[^\d\s])")  # not of 7-8 or 1.5
_TRUE = {"true", "yes", "1", "on"}
_API = re.compile(r"(https://[^/?#@\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?)(/[^?#\s]*)?")  # a token is sent there


PathSetting = str | tuple[str, ...]
"""One path, or several: the first that leads to something counts."""
Conditions = dict[str, Scalar | tuple[Scalar, ...]]
"""Path to the value, or the values, that it may have there; case and blanks do not matter, `*` is anything."""


class Score(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[intake.NAME.scores]]`: one score question.

    `words`: what its answers count as where they are not the score; case and blanks do not matter. `leading_number`:
    of a text like "9 - Very likely" the number counts. `add` is added to an answer that counts from another number;
    `reverse`: then the least of the scale is the most.
    """

    question: PathSetting
    metric: Metric
    scale: Scale | None = None
    words: dict[str, int] = {}
    leading_number: bool = False
    add: int = 0
    reverse: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """To the answer, one or several."""
        return every_path(self.question)

    @property
    def name(self) -> str:
        """What the ids of responses and the platform call the question."""
        return compiled(self.paths[0]).last


class Paths(Struct, frozen=True, forbid_unknown_fields=True):
    """`[intake.NAME.paths]`, of the generic platform: where in its body is what the others have fixed places for."""

    response_id: PathSetting = "response_id"
    submitted_at: PathSetting = "submitted_at"
    updated_at: PathSetting = "updated_at"
    deleted: PathSetting = "deleted"
    form: PathSetting = "form"
    invitation_id: PathSetting = "invitation_id"
    sent_at: PathSetting = "sent_at"


class FormMapping(Struct, frozen=True, forbid_unknown_fields=True):
    """`[intake.NAME]`: paths lead into what the platform sent, see `paths`.

    `forms`: ids of the forms it is for, all if empty. `comment`: the first of these paths that leads to a text.
    `fields`: field of a response to path; `values`: field to a fixed value. `drivers`: path to the topic it is about.
    `no_answer`: codes that stand where nobody answered, as -99.
    `only`: what has to hold for a body to count. `deleted`: any of these says that the answers are gone; `test`: any
    of these, that they are no customer's.
    `header`: the one that carries the secret as it is, instead of a bearer token. `events`: the platform's names of the
    events in which a survey was offered or answered, where its adapter asks for them.
    `api` and `api_per_minute`: where answers are fetched from and how often, if not as the platform's own (0).
    `columns`: title of a column in the platform's CSV export to the path where a webhook has the same, or to one of
    COLUMNS.
    Of the generic platform: `each`: path to a list whose entries are responses, "" where the body is one; `zone` of
    times without an offset; `time_of_arrival` counts where there is no time; `verification`, with `signature` and
    `parameter`, the one of the address that holds the secret.
    """

    platform: str
    scores: list[Score] = []
    source: str = ""
    survey_id: str = ""
    forms: list[str] = []
    comment: list[str] = []
    fields: dict[str, PathSetting] = {}
    values: dict[str, Scalar] = {}
    drivers: dict[str, str] = {}
    no_answer: tuple[Scalar, ...] = ()
    only: Conditions = {}
    deleted: Conditions = {}
    test: Conditions = {}
    columns: dict[str, str] = {}
    paths: Paths = Paths()
    each: str | None = None
    zone: str = ""
    time_of_arrival: bool = False
    verification: Literal["standard_webhooks", "bearer", "basic", "signature", "query", "path"] = "standard_webhooks"
    header: str = ""
    parameter: str = "token"
    signature: Signature | None = None
    events: dict[Literal["offered", "answered"], str] = {}
    api: str = ""
    api_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class Submission:
    """One filled-in form. Times are as the platform writes them; the paths of a mapping lead into `content`.

    `questions`: ids of all questions of the form, where the platform names them; `deleted`: the answers are gone;
    `finished`: no answer is to come that would need another submission; `test`: the platform says that they are a
    preview, a test or made up.
    """

    form: str
    response_id: str
    submitted_at: str | None
    updated_at: str | None = None
    deleted: bool = False
    content: Mapping[str, Any] = field(default_factory=dict)
    questions: frozenset[str] | None = None
    finished: bool = True
    test: bool = False


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


def every_path(setting: PathSetting) -> tuple[str, ...]:
    """The paths of a setting that may be one or several."""
    return (setting,) if isinstance(setting, str) else setting


def check(form: FormMapping) -> str | None:
    """The first mistake in a mapping, None if there is none."""
    return next(mistakes(form), None)


def mistakes(form: FormMapping) -> Iterator[str]:
    """All mistakes in a mapping; of a signature the first."""
    for name in (*form.fields, *form.values):
        prefix, dot, inner = name.partition(".")
        known = _INNER.get(prefix + dot, set())
        if not (inner in known or (prefix == "attributes" and inner) or (not dot and _is_free(name))):
            yield f"{name!r} is not a field that a form can fill"
    if form.api and not _API.fullmatch(form.api):
        yield "api is no https:// address (http:// only of this machine)"
    if form.api_per_minute < 0:
        yield "api_per_minute is below 0"
    if form.zone and not _is_zone(form.zone):
        yield f"zone: {form.zone!r} is not a time zone, as Europe/Amsterdam is"
    if (form.signature is not None) != (form.verification == "signature"):
        yield 'signature and verification = "signature" go together: one is there without the other'
    if form.signature is not None and (mistake := form.signature.mistake()):
        yield f"signature: {mistake}"
    if "/" in form.source:
        yield "source contains a slash"
    yield from _wrong_paths(form)
    yield from _wrong_scores(form)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # what is not there, is no name, is a folder
        return False
    return True


def _wrong_paths(form: FormMapping) -> Iterator[str]:
    for setting, paths in _all_paths(form):
        if not paths:
            yield f"{setting} names no path"
        for path in paths:
            try:
                compiled(path)
            except InvalidPath as error:
                yield f"{setting}: {path!r} is no path: {error}"


def _all_paths(form: FormMapping) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each setting that holds paths."""
    for score in form.scores:
        yield "question", score.paths
    for path in form.comment:
        yield "comment", (path,)
    for name in Paths.__struct_fields__:
        yield f"paths.{name}", every_path(getattr(form.paths, name))
    for name, setting in form.fields.items():
        yield f"fields.{name}", every_path(setting)
    for name in ("drivers", "only", "deleted", "test"):
        yield from ((name, (path,)) for path in getattr(form, name))
    if form.each is not None:
        yield "each", (form.each,)


def _wrong_scores(form: FormMapping) -> Iterator[str]:
    questions = [score.name for score in form.scores]
    for question in dict.fromkeys(question for question in questions if questions.count(question) > 1):
        yield f"question {question!r} is named twice"
    for score in form.scores:
        words: dict[str | None, int] = {}
        for word, number in score.words.items():
            if words.setdefault(_folded(word), number) != number:
                yield f"words: {word!r} is there twice, with two scores"


def _is_free(name: str) -> bool:
    return name in Response.__struct_fields__ and name not in _OURS


def responses(form: FormMapping, sent: Submission, pseudonym: Callable[[str], str | None]) -> list[dict[str, Any]]:
    """One response (or deletion) for each score question that is answered; an empty list while none is.

    `pseudonym` makes a customer's id of an e-mail address where the company's own number is not known.
    Raises Unmapped when the mapping is not for this form, or the form has none of its score questions.
    """
    if not counts(form, sent.content):
        return []
    check_mapped(form, sent.form)
    questions = sent.questions
    if questions is not None and not any(compiled(path).last in questions for s in form.scores for path in s.paths):
        raise Unmapped(f"form {sent.form!r} has none of the questions named as scores")
    deleted = sent.deleted or is_deleted(form, sent.content)
    made = []
    for score in form.scores:
        identity = {"source": form.source or form.platform, "response_id": _identity(form, sent, score)}
        if sent.updated_at is not None:
            identity["updated_at"] = sent.updated_at
        if deleted:
            made.append(identity | {"deleted": True})
        elif not is_empty(answer := _find(form, sent.content, score.question)):
            made.append(identity | _response(form, sent, score, answer, pseudonym))
    return made


def _find(form: FormMapping, content: Mapping[str, Any], setting: PathSetting) -> Any:
    """The value at the path, None where there is none or it says that nobody answered."""
    if not form.no_answer:
        return find(content, setting)
    codes = {_folded(code) for code in form.no_answer}
    for path in every_path(setting):
        value = find(content, path)
        if isinstance(value, list):
            value = [item for item in value if _folded(item) not in codes]
        if not is_empty(value) and _folded(value) not in codes:
            return value
    return None


def counts(form: FormMapping, content: Mapping[str, Any]) -> bool:
    """Whether all that `only` asks for holds, except what is otherwise of a deletion."""
    if not form.only:
        return True
    deleted = is_deleted(form, content)
    return all(
        _is_one_of(content, path, wanted)
        for path, wanted in form.only.items()
        if not (deleted and path in form.deleted)
    )


def is_deleted(form: FormMapping, content: Mapping[str, Any]) -> bool:
    """Whether something in `deleted` holds."""
    return bool(form.deleted) and any(_is_one_of(content, path, wanted) for path, wanted in form.deleted.items())


def _is_one_of(content: Mapping[str, Any], path: str, wanted: Scalar | tuple[Scalar, ...]) -> bool:
    """Whether the value at the path, or one in the list there, is one of those that are wanted."""
    value = find(content, path)
    if wanted == "*":
        return not is_empty(value)
    values = {_folded(item) for item in (value if isinstance(value, list) else [value])} - {None}
    return not values.isdisjoint(map(_folded, wanted if isinstance(wanted, tuple) else (wanted,)))


def _folded(value: Any) -> str | None:
    """As text, so that case, blanks and the way a number is written make no difference; None of what has no text."""
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_SCORE:
        value = int(value)
    return " ".join(str(value).split()).casefold()


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
    return sent.response_id if len(form.scores) == 1 else f"{sent.response_id}:{score.name}"


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
    if sent.test:
        made["test"] = True
    for path in form.comment:
        if isinstance(text := _find(form, sent.content, path), str) and text.strip():
            made["comment"] = text
            break
    answers = (_driver(path, topic, _find(form, sent.content, path)) for path, topic in form.drivers.items())
    if drivers := [answer for answer in answers if answer is not None]:
        made["answers"] = drivers
    return made


def _fill(
    made: dict[str, Any], form: FormMapping, content: Mapping[str, Any], pseudonym: Callable[[str], str | None]
) -> None:
    for name, value in form.values.items():
        _put(made, name, value)
    for name, path in form.fields.items():
        _put(made, name, _as_field(name, _find(form, content, path)))
    if form.test and any(_is_one_of(content, path, wanted) for path, wanted in form.test.items()):
        made["test"] = True
    customer = made.get("customer", {})
    if "id" not in customer and isinstance(email := customer.get("email"), str) and (made_up := pseudonym(email)):
        customer["id"] = made_up


def _score(score: Score, answer: Any) -> Any:
    """A whole number where the answer is one; anything else stays what it is, to be refused by name."""
    if isinstance(answer, list) and len(answer) == 1:  # the only one of several choices
        answer = answer[0]
    if isinstance(answer, NotFinite):
        return answer.text  # JSON has no such number
    if isinstance(answer, dict | list):
        return type(answer)()  # what it holds may lie too deep to be written as JSON
    if isinstance(answer, str) and answer in score.words:
        return score.words[answer]
    if score.words:
        words = {_folded(word): number for word, number in score.words.items()}
        if (number := words.get(_folded(answer))) is not None:
            return number
    if (number := _whole(answer, leading=score.leading_number)) is None:
        return answer
    number += score.add
    if score.reverse:
        low, high = _ends(score)
        return low + high - number
    return number


def _ends(score: Score) -> tuple[int, int]:
    if score.scale is not None:
        return score.scale.min, score.scale.max
    return DEFAULT_SCALES[score.metric].low, DEFAULT_SCALES[score.metric].high


def _whole(answer: Any, *, leading: bool) -> int | None:
    """The whole number that an answer is, or begins with; None if it is none."""
    if isinstance(answer, str):
        match = _WHOLE.fullmatch(answer.strip()) or (_LEADING.match(answer.strip()) if leading else None)
        return None if match is None else int(match[1])
    if isinstance(answer, float):
        return int(answer) if answer.is_integer() and abs(answer) < _MAX_SCORE else None
    return answer if isinstance(answer, int) and not isinstance(answer, bool) else None


def _joined(choices: list[Any]) -> str | None:
    """Several choices as one text."""
    texts = (str(choice) for choice in choices if choice is not None and not isinstance(choice, _NO_TEXT))
    return ", ".join(text for text in texts if text.strip()) or None


def _driver(path: str, topic: str, answer: Any) -> dict[str, Any] | None:
    if isinstance(answer, list):
        answer = _joined(answer)
    if answer is None or isinstance(answer, dict | NotFinite):
        return None
    kind = "score" if isinstance(answer, int | float) and not isinstance(answer, bool) else "text"
    return {"question_id": compiled(path).last, "topic": topic, kind: answer if kind == "score" else str(answer)}


def _as_field(name: str, value: Any) -> Any:
    if isinstance(value, list):
        value = _joined(value)
    if value is None or isinstance(value, dict | NotFinite):
        return None
    if name in _TRUTHS:
        return value if isinstance(value, bool) else str(value).strip().lower() in _TRUE
    if name == "customer.value" or name.startswith("attributes."):
        return value
    return language_code(str(value)) if name == "language" else str(value)


def _put(made: dict[str, Any], name: str, value: Any) -> None:
    if value is not None:
        outer, _, inner = name.partition(".")
        if inner:
            made.setdefault(outer, {})[inner] = value
        else:
            made[outer] = value
