"""Maps the forms of a platform to responses: `[intake.NAME]` names the score questions and the path of each field.

Nothing is guessed: a form without a mapping, or without any of the questions named here, is `Unmapped`. What a path may
be, `paths` says.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from npsflow.schemas.response import Customer, Metric, Reference, Response, Scalar, Scale
from npsflow.streams.intake.conditions import Condition, Conditions, any_holds, each, folded
from npsflow.streams.intake.paths import InvalidPath, compiled
from npsflow.streams.intake.signature import Signature

_OURS = {
    "response_id", "source", "survey_id", "metric", "score", "submitted_at", "updated_at", "deleted", "comment",
    "answers", "scale", "customer", "reference", "attributes",
}  # fmt: skip
_INNER = {"customer.": set(Customer.__struct_fields__), "reference.": set(Reference.__struct_fields__)}
COLUMNS = {"response_id", "submitted_at", "updated_at", "form", "invitation_id", "sent_at"}
"""What a column of an export may be besides a path, see `FormMapping.columns`."""
_FORM_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_API = re.compile(r"(https://[^/?#@\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?)(/[^?#\s]*)?")  # a token is sent there


PathSetting = str | tuple[str, ...]
"""One path, or several: the first that leads to something counts."""


class Score(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
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

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """To the answer, one or several."""
        return every_path(self.question)

    @cached_property
    def name(self) -> str:
        """What the ids of responses and the platform call the question."""
        return compiled(self.paths[0]).last

    @cached_property
    def folded_words(self) -> dict[str | None, int]:
        """`words`, however they are written."""
        return {folded(word): number for word, number in self.words.items()}


class Paths(Struct, frozen=True, forbid_unknown_fields=True):
    """`[intake.NAME.paths]`, of the generic platform: where in its body is what the others have fixed places for."""

    response_id: PathSetting = "response_id"
    submitted_at: PathSetting = "submitted_at"
    updated_at: PathSetting = "updated_at"
    deleted: PathSetting = "deleted"
    form: PathSetting = "form"
    invitation_id: PathSetting = "invitation_id"
    sent_at: PathSetting = "sent_at"


def named_form(form_id: str) -> str:
    """A form, for an error; what may be no id, but something that a customer wrote, is not repeated."""
    return f"form {form_id!r}" if _FORM_ID.fullmatch(form_id) else "the form"


class FormMapping(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
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

    def counts(self, content: Mapping[str, Any]) -> bool:
        """Whether all that `only` asks for holds, except what is otherwise of a deletion."""
        if not self.only:
            return True
        passed_over = self.deleted if self.is_deleted(content) else ()
        return all(condition.path.text in passed_over or condition.holds(content) for condition in self._only)

    def is_deleted(self, content: Mapping[str, Any]) -> bool:
        """Whether something in `deleted` holds."""
        return bool(self.deleted) and any_holds(self._deleted, content)

    def is_test(self, content: Mapping[str, Any]) -> bool:
        """Whether something in `test` holds."""
        return bool(self.test) and any_holds(self._test, content)

    def check_mapped(self, form: str) -> None:
        """Raises Unmapped when the mapping is not for this form or names no score question."""
        self.check_form(form)
        if not self.scores:
            raise Unmapped("no score question is named")

    def check_form(self, form: str) -> None:
        """Raises Unmapped when the mapping is not for this form."""
        if self.forms and form not in self.forms:
            raise Unmapped(f"{named_form(form)} is not among the forms of this mapping")

    @cached_property
    def _only(self) -> tuple[Condition, ...]:
        return each(self.only)

    @cached_property
    def _deleted(self) -> tuple[Condition, ...]:
        return each(self.deleted)

    @cached_property
    def _test(self) -> tuple[Condition, ...]:
        return each(self.test)


class Submission(Struct, frozen=True):
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
    content: Mapping[str, Any] = {}
    questions: frozenset[str] | None = None
    finished: bool = True
    test: bool = False


class Offer(Struct, frozen=True):
    """One survey that a platform offered to a customer."""

    form: str
    invitation_id: str
    sent_at: str
    content: Mapping[str, Any] = {}


class FetchRequest(Struct, frozen=True):
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
            if words.setdefault(folded(word), number) != number:
                yield f"words: {word!r} is there twice, with two scores"


def _is_free(name: str) -> bool:
    return name in Response.__struct_fields__ and name not in _OURS
