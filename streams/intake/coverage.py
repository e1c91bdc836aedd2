"""Whether a mapping fits what a platform sends: which of its paths lead somewhere, and which paths are there."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from npsflow.schemas import codec
from npsflow.streams.intake import recipes
from npsflow.streams.intake.mapping import (
    FormMapping,
    PathSetting,
    Submission,
    Unmapped,
    every_path,
)
from npsflow.streams.intake.paths import compiled, find

_MAX_DEPTH = 30  # of JSON that is looked through
_PSEUDONYM = re.compile("e-[0-9a-f]{32}")


class MappedPath(NamedTuple):
    """A path of the mapping, or several, and the setting that names it, as `fields."customer.id"`."""

    setting: str
    path: PathSetting

    @property
    def text(self) -> str:
        """The paths as they are written."""
        return " or ".join(every_path(self.path))


def check_answered(form: FormMapping, submission: Submission) -> None:
    """Raises Unmapped for a finished form that has none of the score questions, for which it may be answered or blank.

    To be called for a submission of which no response was made. A form that is not finished, or is deleted, may hold
    none.
    """
    if submission.deleted or not submission.finished:
        return
    if form.is_deleted(submission.content) or not form.counts(submission.content):
        return
    content, questions = _without_nulls(submission.content), submission.questions or frozenset()
    paths = [path for score in form.scores for path in score.paths]
    if not any(find(content, path) is not None or compiled(path).last in questions for path in paths):
        raise Unmapped(f"the form is finished, and no score question is in it: nothing is at {', '.join(paths)}")


def mapped_paths(form: FormMapping) -> Iterator[MappedPath]:
    """Every path of the mapping that has to lead somewhere."""
    if form.platform == "generic" or form.platform in recipes.names():
        yield MappedPath("paths.response_id", form.paths.response_id)
        if not form.time_of_arrival:
            yield MappedPath("paths.submitted_at", form.paths.submitted_at)
        if not form.survey_id:
            yield MappedPath("paths.form", form.paths.form)
    for score in form.scores:
        yield MappedPath("scores", score.question)
    for path in form.comment:
        yield MappedPath("comment", path)
    for name, setting in form.fields.items():
        yield MappedPath(f"fields.{name}", setting)
    for path in form.drivers:
        yield MappedPath("drivers", path)


def present_paths(content: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every path that leads to a value, and the value: one that holds no further paths, or lies too deep.

    A text that is a JSON object or list is looked through as well.
    """
    if isinstance(content, str) and content.lstrip()[:1] in ("{", "["):
        with suppress(codec.NotJson):
            content, path = codec.loads_lenient(content), path + "|json"
    if depth < _MAX_DEPTH and isinstance(content, Mapping) and content:
        for name, value in content.items():
            yield from present_paths(value, f"{path}.{name}" if path else str(name), depth + 1)
    elif depth < _MAX_DEPTH and isinstance(content, list) and any(isinstance(item, Mapping | list) for item in content):
        for position, value in enumerate(content):
            yield from present_paths(value, f"{path}[{position}]", depth + 1)
    elif path:
        yield path, content


def never_found(form: FormMapping, responses: Sequence[Mapping[str, Any]]) -> list[MappedPath]:
    """The paths of the mapping to which none of these responses owes anything; of several comments all or none.

    `responses`: values of survey-responses that this mapping may have made. A path counts as found when a response has
    what it fills: the field, the topic of the driver, the id of the score question.
    """
    ids = [str(response.get("response_id")) for response in responses]
    topics = {topic for response in responses for topic in _topics(response)}
    comments = any(response.get("comment") for response in responses)
    several = form.scores if len(form.scores) > 1 else ()
    ends = {score.question: f":{score.name}" for score in several}
    return [
        *(MappedPath("scores", path) for path, end in ends.items() if not any(id_.endswith(end) for id_ in ids)),
        *(MappedPath("comment", path) for path in form.comment if not comments),
        *(
            MappedPath(f"fields.{name}", path)
            for name, path in form.fields.items()
            if not any(_has(response, name) for response in responses)
        ),
        *(MappedPath("drivers", path) for path, topic in form.drivers.items() if topic not in topics),
    ]


def _topics(response: Mapping[str, Any]) -> Iterator[Any]:
    answers = response.get("answers")
    for answer in answers if isinstance(answers, list) else ():
        if isinstance(answer, Mapping):
            yield answer.get("topic")


def _has(response: Mapping[str, Any], name: str) -> bool:
    """Whether the field is there; an id that was made of an e-mail address is none that a path has found."""
    outer, _, inner = name.partition(".")
    value = response.get(outer)
    if inner:
        value = value.get(inner) if isinstance(value, Mapping) else None
    return value is not None and not (name == "customer.id" and _PSEUDONYM.fullmatch(str(value)))


def _without_nulls(content: Any, depth: int = 0) -> Any:
    """The same with an empty text for each null, so that `find` tells what is null from what is not there."""
    if depth > _MAX_DEPTH:
        return content
    if isinstance(content, Mapping):
        return {name: _without_nulls(value, depth + 1) for name, value in content.items()}
    if isinstance(content, list):
        return [_without_nulls(value, depth + 1) for value in content]
    return "" if content is None else content
