"""What a JSON export says is read by the very adapter that reads the platform's webhooks or fetches its answers."""

from collections.abc import Iterator, Mapping
from typing import Any

from npsflow.agents import platforms
from npsflow.agents.history.export import Given, NotAnAnswer
from npsflow.agents.intake.api import Unanswered
from npsflow.agents.intake.delivery import Delivery, TurnedDown
from npsflow.schemas import codec
from npsflow.streams.intake.mapping import FormMapping, Offered, Submission


def as_webhook(body: Mapping[str, Any], form: FormMapping) -> Iterator[Given]:
    """As if `body` had come. Raises NotAnAnswer."""
    try:
        for given in platforms.named(form.platform).parse(Delivery({}, codec.dumps(body)), form):
            if not isinstance(given, Submission | Offered):
                raise NotAnAnswer("no_answers", "it holds no answers")
            yield _no_deletion(given)
    except TurnedDown as error:
        raise NotAnAnswer("missing_field", str(error)) from None


def as_fetched(answer: Mapping[str, Any], ids: Mapping[str, str], form: FormMapping) -> Iterator[Given]:
    """As if the platform's API had answered so when it was asked for the response `ids`. Raises NotAnAnswer."""
    platform: Any = platforms.named(form.platform)
    asking = platform.answers.get(_Answering(answer), ids)
    try:
        asking.send(None)  # nothing is waited for, so it ends at once
    except StopIteration as ended:
        yield from map(_no_deletion, ended.value)
    except NotAnAnswer:
        raise
    except Unanswered:
        raise NotAnAnswer("missing_field", "the platform's API does not answer like this") from None
    finally:
        asking.close()


class _Answering:
    """The API of a platform, which has one answer."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self._answer = answer

    async def get(self, *_: str, **__: str) -> Mapping[str, Any]:
        return self._answer


def _no_deletion(given: Given) -> Given:
    if isinstance(given, Submission) and given.deleted:
        raise NotAnAnswer("deleted", "an import deletes nothing")
    return given
