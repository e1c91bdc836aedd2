"""AskNicely: one webhook for every score and for every change of it; it carries a header of your own, and no signature.

Source: asknicely.zendesk.com, articles 47782734299540 (Triggering Webhooks) and 47819959059092.
"""

from collections.abc import Iterable, Sequence

from npsflow.agents.intake.delivery import Delivery, Malformed, Platform, identifier, json_object, maybe, part
from npsflow.agents.platforms import times
from npsflow.agents.platforms.signing import static
from npsflow.streams.intake.mapping import FormMapping, Submission


def verify(delivery: Delivery, form: FormMapping, secrets: Sequence[str], now: float) -> None:
    """The header named in `header`, as it was typed in on AskNicely's page; `Authorization: Bearer` if none is."""
    static(delivery, form.header, secrets)


def parse(delivery: Delivery, form: FormMapping) -> Iterable[Submission]:
    """`question.NAME` and `person.NAME` are where paths lead; a form is what AskNicely calls a survey template.

    Of a change AskNicely tells only that it is one: `count` goes up by one each time, so it counts as so many seconds
    later than the answer.
    """
    sent = json_object(delivery.body)
    question, count = part(sent, "question", dict), sent.get("count", 1)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 1_000_000:
        raise Malformed("count is no number")
    responded = question.get("responded")
    if not responded:  # sent or opened, not answered
        return
    person = {name: value for name, value in maybe(sent, "person", dict).items() if name != "id"}  # AskNicely's own
    yield Submission(
        form=maybe(question, "survey_template", str),
        response_id=identifier(question, "id"),
        submitted_at=times.of_seconds(responded),
        updated_at=times.of_seconds(responded, count - 1) if count > 1 else None,
        content={"question": question, "person": person},
    )


PLATFORM = Platform(verify, parse)
