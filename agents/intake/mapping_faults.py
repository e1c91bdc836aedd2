"""What `npsflow check` finds wrong with mappings: it looks at the newest responses and dead letters."""

from collections.abc import Iterable, Iterator
from typing import Any

from npsflow.agents.intake.endpoint import Endpoint, kept_delivery
from npsflow.agents.platforms.fields import json_or_none
from npsflow.agents.platforms.protocol import Malformed
from npsflow.streams.intake.coverage import never_found
from npsflow.streams.intake.entrance import Entrance
from npsflow.streams.stage import Record

_ENOUGH = 20  # responses without what a path would give them, before that says something


def mapping_faults(
    endpoints: Iterable[Endpoint], responses: Iterable[Record], letters: Iterable[Record]
) -> Iterator[tuple[str, str]]:
    """What is wrong, and what to do: bodies still not understood, and paths that found nothing.

    `responses` and `letters`: records of survey-responses and of survey-responses-dlq.
    """
    values, letters = [json_or_none(record.value or b"") for record in responses], list(letters)
    for endpoint in endpoints:
        name = endpoint.entrance.name
        if reasons := list(_still_unmapped(endpoint, letters)):
            text = f"mappings: intake.{name} does not understand {len(reasons)} of the newest bodies: {reasons[-1]}"
            yield text, "mend it, see `npsflow intake try`, and run `npsflow dlq replay --reason unmapped`"
        made = [value for value in values if _may_have_made(endpoint.entrance, value)]
        for setting, path in never_found(endpoint.entrance.form, made) if len(made) >= _ENOUGH else ():
            text = f"mappings: intake.{name}: {setting} = {path} found nothing in the last {len(made)} bodies"
            yield text, f"see what is there with `npsflow intake try {name} FILE`"


def _still_unmapped(endpoint: Endpoint, letters: Iterable[Record]) -> Iterator[str]:
    """Why the present settings do not understand what was kept; what was mended since is left out."""
    topic = f"intake/{endpoint.entrance.name}".encode()
    for letter in letters:
        if dict(letter.headers).get("npsflow_dlq_topic") == topic:
            try:
                reason = endpoint.understand(kept_delivery(letter.value or b"", letter.headers), 0.0).unmapped
            except Malformed as error:
                reason = str(error)
            if reason:
                yield reason


def _may_have_made(entrance: Entrance, response: Any) -> bool:
    """Whether the response is of this source and survey; others may write to the topic under the same name."""
    if not isinstance(response, dict) or response.get("source") != entrance.source or response.get("deleted"):
        return False
    form = entrance.form
    surveys = [form.survey_id] if form.survey_id else form.forms
    return not surveys or response.get("survey_id") in surveys
