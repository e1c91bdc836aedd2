"""A JSON export is read by the same functions that read the platform's webhooks or fetch its answers."""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any

from npsflow.agents.platforms.protocol import Api, Delivery, ExportItem, FetchError, InvalidEntry, Rejected
from npsflow.schemas import codec
from npsflow.streams.intake.mapping import FetchRequest, FormMapping, Offer, Submission

Parse = Callable[[Delivery, FormMapping], Iterable[Submission | Offer | FetchRequest]]
Fetch = Callable[[Api, Mapping[str, str]], Coroutine[Any, Any, list[Submission]]]


def parse_as_webhook(parse: Parse, body: Mapping[str, Any], form: FormMapping) -> Iterator[ExportItem]:
    """What `parse` makes of a webhook with this body. Raises InvalidEntry when it holds no answers."""
    try:
        for event in parse(Delivery({}, codec.dumps_lenient(body).encode()), form):
            if isinstance(event, FetchRequest):
                raise InvalidEntry("no_answers", "it holds no answers")
            yield _not_deleted(event)
    except Rejected as error:
        raise InvalidEntry("missing_field", str(error)) from None


def parse_as_answer(fetch: Fetch, answer: Mapping[str, Any], ids: Mapping[str, str]) -> Iterator[ExportItem]:
    """What `fetch` makes of this answer to a request for `ids`. Raises InvalidEntry when it makes nothing."""
    fetching = fetch(_OneAnswer(answer), ids)
    try:
        fetching.send(None)  # it waits for nothing, so it ends at once
    except StopIteration as done:
        yield from map(_not_deleted, done.value)
    except FetchError:
        raise InvalidEntry("missing_field", "the platform's API does not answer like this") from None
    finally:
        fetching.close()


class _OneAnswer:
    """An API with the same answer to every request."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self._answer = answer

    async def get(self, *_: str, **__: str) -> Mapping[str, Any]:
        return self._answer


def _not_deleted(item: ExportItem) -> ExportItem:
    if isinstance(item, Submission) and item.deleted:
        raise InvalidEntry("deleted", "an import deletes nothing")
    return item
