"""The events that begin an alert or a follow-up, from templates: most events are these, and differ in little.

A template is made of an event that `EventBuilder` has made, with marks where the id, the times and the context stand.
So what events say is decided there alone.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from npsflow.schemas import codec
from npsflow.schemas.headers import Headers, ready
from npsflow.schemas.records import encode_headers
from npsflow.schemas.response import Response
from npsflow.schemas.times import rfc3339, to_ms
from npsflow.streams.classify import policy
from npsflow.streams.classify.events import ALERT, Arrival, EventBody, EventBuilder, EventFamily
from npsflow.streams.classify.stored import Remembered
from npsflow.streams.scoring.scores import Scale
from npsflow.streams.scoring.severity import ALERT_DUE

_MOST = 1000  # templates: as many as there are languages, scores and rules at most, unless somebody makes languages up
_SUBMITTED = datetime(2001, 2, 3, 4, 5, 6, 789_123, UTC)
_NAME = bytes.fromhex("7e" * 16)
_CONTEXT = b'"\0"'  # JSON has no such text


class _Template(NamedTuple):
    """Value and headers with `%b` for what differs: name, time, name, (of alerts) time, due, context."""

    value: bytes
    headers: bytes
    due: timedelta


class FirstEvents:
    """Makes what `EventBuilder.first` makes."""

    def __init__(self, builder: EventBuilder) -> None:
        self._builder, self._by_rule = builder, builder.by_rule
        self._templates: dict[tuple[object, ...], _Template] = {}
        self._appended = 0
        self._time = rfc3339(0).encode()

    def make(
        self,
        family: EventFamily,
        response: Response,
        scale: Scale,
        appended: int,
        age: int,
        name: bytes,
        context: bytes,
    ) -> tuple[bytes, Headers]:
        """Value and headers of the event about a response that was `appended` (ms) `age` ms after it was submitted.

        `name`: the hex digits of its digest. `context`: the JSON of its `Context`.
        """
        if appended != self._appended:
            self._appended, self._time = appended, rfc3339(appended).encode()
        time = self._time
        if family is ALERT:
            why_not = policy.not_actionable(response, appended, appended - age)
            asked = not response.comment and response.language
            key: tuple[object, ...] = scale, response.score, response.contact_requested is True, why_not, asked
            template = self._templates.get(key) or self._template(key, family, response, scale, age)
            due = codec.encode(response.submitted_at + template.due)
            value = template.value % (name, time, name, time, due, context[1:])
        else:
            key = scale, response.score, self._by_rule and self._builder.action(scale, response)
            template = self._templates.get(key) or self._template(key, family, response, scale, age)
            due = codec.encode(response.submitted_at + template.due)
            value = template.value % (name, time, name, due, context[1:])
        return value, ready(template.headers % (name, time, name))

    def _template(
        self, key: tuple[object, ...], family: EventFamily, response: Response, scale: Scale, age: int
    ) -> _Template:
        if len(self._templates) >= _MOST:
            self._templates.clear()
        marked, submitted = replace(response, submitted_at=_SUBMITTED), to_ms(_SUBMITTED)
        due = ALERT_DUE if family is ALERT else policy.FOLLOW_UP_DUE
        arrival = Arrival(b"", _NAME, submitted + age, 0, False)
        body = EventBody(family, marked, scale, scale.ranks[response.score - scale.low], (), b"{" + _CONTEXT, 0)
        after = Remembered(
            flags=0, rank=body.rank, score=response.score, submitted=submitted, version=(0, 0, 0), content=0, context=0,
            segments=b"", key=b"", since=submitted, raised=arrival.appended,
        )  # fmt: skip
        (output,) = self._builder.first(after, body, arrival).outputs
        marks = _NAME.hex().encode(), rfc3339(arrival.appended).encode(), codec.encode(_SUBMITTED + due), _CONTEXT
        found = self._templates[key] = _Template(
            _with_slots(output.value or b"", marks), _with_slots(encode_headers(output.headers), marks), due
        )
        return found


def _with_slots(text: bytes, marks: tuple[bytes, ...]) -> bytes:
    text = text.replace(b"%", b"%%")
    for mark in marks:
        text = text.replace(mark, b"%b")
    return text
