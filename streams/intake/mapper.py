"""Makes responses and invitations of what a platform sent, as a mapping says. Pure; all look-ups are made once."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from npsflow.schemas.codec import NotFinite
from npsflow.schemas.invitation import Invitation
from npsflow.schemas.response import Scalar
from npsflow.streams.intake.conditions import MAX_SCORE, folded
from npsflow.streams.intake.mapping import (
    FormMapping,
    Offer,
    PathSetting,
    Score,
    Submission,
    Unmapped,
    every_path,
    named_form,
)
from npsflow.streams.intake.paths import compiled, is_empty
from npsflow.streams.scoring.languages import language_code
from npsflow.streams.scoring.scores import DEFAULT_SCALES

_TRUTHS = {"contact_requested", "test", "internal", "customer.contact_allowed"}
_TRUE = {"true", "yes", "1", "on"}
_NO_TEXT = (dict, list, NotFinite)
_WHOLE = re.compile(r"([0-9]{1,9})(?:[.,]0{1,2})?")  # spreadsheets and pandas write 9.0
_LEADING = re.compile(r"([0-9]{1,9})[\s\-\u2013\u2014:.)=(]+(?=[^\d\s])")  # not of 7-8 or 1.5

Find = Callable[[Mapping[str, Any]], Any]
"""The value that a setting leads to, None where there is none or it says that nobody answered."""


class _Question(NamedTuple):
    """`end`: what tells the ids of several responses of one form from each other; `fixed`: what all of them have."""

    score: Score
    find: Find
    end: str
    fixed: dict[str, Any]


class _Field(NamedTuple):
    """`outer` or `outer.inner` of a response."""

    outer: str
    inner: str
    find: Find
    read: Callable[[Any], Any]


class _Driver(NamedTuple):
    question_id: str
    topic: str
    find: Find


class Mapper:
    """A mapping, ready to be used.

    `pseudonym` makes a customer's id of an e-mail address where the company's own number is not known.
    """

    def __init__(self, form: FormMapping, pseudonym: Callable[[str], str | None]) -> None:
        self._form, self._pseudonym = form, pseudonym
        self._source = form.source or form.platform
        self._names = frozenset(compiled(path).last for score in form.scores for path in score.paths)
        codes = frozenset(folded(code) for code in form.no_answer)
        several = len(form.scores) > 1
        self._questions = [
            _Question(score, _finder(score.question, codes), f":{score.name}" if several else "", _fixed(score))
            for score in form.scores
        ]
        self._fields = [_Field(*_parts(name), _constant(value), _as_it_is) for name, value in form.values.items()]
        self._fields += [_Field(*_parts(name), _finder(at, codes), _reader(name)) for name, at in form.fields.items()]
        self._comments = [_finder(path, codes) for path in form.comment]
        self._drivers = [
            _Driver(compiled(path).last, topic, _finder(path, codes)) for path, topic in form.drivers.items()
        ]

    def responses(self, sent: Submission) -> list[dict[str, Any]]:
        """One response (or deletion) for each score question that is answered; an empty list while none is.

        Raises Unmapped when the mapping is not for this form, or the form has none of its score questions.
        """
        form, content = self._form, sent.content
        if not form.counts(content):
            return []
        form.check_mapped(sent.form)
        if sent.questions is not None and self._names.isdisjoint(sent.questions):
            raise Unmapped(f"{named_form(sent.form)} has none of the questions named as scores")
        deleted = sent.deleted or form.is_deleted(content)
        made = []
        for question in self._questions:
            if deleted:
                made.append(self._identity(sent, question) | {"deleted": True})
            elif not is_empty(answer := question.find(content)):
                made.append(self._response(sent, question, answer))
        return made

    def invitation(self, offer: Offer) -> dict[str, Any]:
        """The invitation with those fields of the mapping that it can have.

        Raises Unmapped when the form is not one of the mapping's.
        """
        self._form.check_form(offer.form)
        made: dict[str, Any] = {
            "invitation_id": offer.invitation_id,
            "source": self._source,
            "survey_id": self._form.survey_id or offer.form,
            "sent_at": offer.sent_at,
        }
        self._fill(made, offer.content)
        return {name: value for name, value in made.items() if name in Invitation.__struct_fields__}

    def _identity(self, sent: Submission, question: _Question) -> dict[str, Any]:
        identity = {"source": self._source, "response_id": sent.response_id + question.end}
        if sent.updated_at is not None:
            identity["updated_at"] = sent.updated_at
        return identity

    def _response(self, sent: Submission, question: _Question, answer: Any) -> dict[str, Any]:
        content = sent.content
        made = self._identity(sent, question)
        made |= question.fixed
        made["survey_id"] = self._form.survey_id or sent.form
        made["score"] = _score(question.score, answer)
        made["submitted_at"] = sent.submitted_at
        self._fill(made, content)
        if sent.test:
            made["test"] = True
        for find in self._comments:
            if isinstance(text := find(content), str) and text and not text.isspace():
                made["comment"] = text
                break
        if self._drivers and (answers := self._answers(content)):
            made["answers"] = answers
        return made

    def _fill(self, made: dict[str, Any], content: Mapping[str, Any]) -> None:
        for outer, inner, find, read in self._fields:
            if (value := find(content)) is None or (value := read(value)) is None:
                continue
            if inner:
                made.setdefault(outer, {})[inner] = value
            else:
                made[outer] = value
        if self._form.is_test(content):
            made["test"] = True
        customer = made.get("customer", {})
        if "id" not in customer and isinstance(email := customer.get("email"), str) and (id_ := self._pseudonym(email)):
            customer["id"] = id_

    def _answers(self, content: Mapping[str, Any]) -> list[dict[str, Any]]:
        answers = (_driver(driver, driver.find(content)) for driver in self._drivers)
        return [answer for answer in answers if answer is not None]


def _fixed(score: Score) -> dict[str, Any]:
    scale = {} if score.scale is None else {"scale": {"min": score.scale.min, "max": score.scale.max}}
    return {"metric": score.metric, **scale}


def _parts(name: str) -> tuple[str, str]:
    outer, _, inner = name.partition(".")
    return outer, inner


# Finding.


def _constant(value: Scalar) -> Find:
    return lambda content: value


def _finder(setting: PathSetting, codes: frozenset[str | None]) -> Find:
    """`codes`: what stands, folded, where nobody answered."""
    finds = [compiled(path).find for path in every_path(setting)]
    if codes:
        return lambda content: _first(_answered(find(content), codes) for find in finds)
    if isinstance(setting, str):
        return finds[0]
    return lambda content: _first(find(content) for find in finds)


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if not is_empty(value)), None)


def _answered(value: Any, codes: frozenset[str | None]) -> Any:
    """The same without codes."""
    if isinstance(value, list):
        return [item for item in value if folded(item) not in codes]
    return None if folded(value) in codes else value


# Reading.


def _score(score: Score, answer: Any) -> Any:
    """A whole number where the answer is one; anything else stays what it is, to be refused by name."""
    if isinstance(answer, list) and len(answer) == 1:  # the only one of several choices
        answer = answer[0]
    if isinstance(answer, NotFinite):
        return answer.text  # JSON has no such number
    if isinstance(answer, dict | list):
        return type(answer)()  # what it holds may lie too deep to be written as JSON
    if score.words:
        if isinstance(answer, str) and answer in score.words:
            return score.words[answer]
        if (number := score.folded_words.get(folded(answer))) is not None:
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
        return int(answer) if answer.is_integer() and abs(answer) < MAX_SCORE else None
    return answer if isinstance(answer, int) and not isinstance(answer, bool) else None


def _joined(choices: list[Any]) -> str | None:
    """Several choices as one text."""
    texts = (str(choice) for choice in choices if choice is not None and not isinstance(choice, _NO_TEXT))
    return ", ".join(text for text in texts if text.strip()) or None


def _single(value: Any) -> Any:
    """A text for several choices; None of what is no value of a field."""
    if isinstance(value, list):
        return _joined(value)
    return None if isinstance(value, dict | NotFinite) else value


def _driver(driver: _Driver, answer: Any) -> dict[str, Any] | None:
    if (answer := _single(answer)) is None:
        return None
    kind = "score" if isinstance(answer, int | float) and not isinstance(answer, bool) else "text"
    read = answer if kind == "score" else str(answer)
    return {"question_id": driver.question_id, "topic": driver.topic, kind: read}


def _reader(name: str) -> Callable[[Any], Any]:
    """How the value of a field is read."""
    if name in _TRUTHS:
        return _truth
    if name == "customer.value" or name.startswith("attributes."):
        return _single
    return _language if name == "language" else _text


def _as_it_is(value: Any) -> Any:
    return value


def _truth(value: Any) -> bool | None:
    single = _single(value)
    return single if single is None or isinstance(single, bool) else str(single).strip().lower() in _TRUE


def _text(value: Any) -> str | None:
    if type(value) is str:  # nearly always
        return value
    single = _single(value)
    return None if single is None else str(single)


def _language(value: Any) -> str | None:
    text = _text(value)
    return None if text is None else language_code(text)
