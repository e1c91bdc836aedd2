"""One try to fetch a response: what it gives, and what is written of it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from npsflow.agents.fetch.queue import Due
from npsflow.agents.fetch.retrying import TRIES, pause
from npsflow.agents.fetch.sources import Source
from npsflow.agents.intake.api import Later, TokenRefused, Unanswered
from npsflow.agents.intake.entrance import Record
from npsflow.schemas import codec, topics
from npsflow.schemas.headers import DeadLetter, Headers
from npsflow.schemas.times import rfc3339
from npsflow.streams.intake.mapping import Unmapped

log = logging.getLogger(__name__)

Written = tuple[Record, Headers]


@dataclass(frozen=True)
class Tried:
    """`first` is written and acknowledged, then `then`, of which a value of None is a tombstone."""

    outcome: str
    first: Sequence[Written]
    then: Sequence[tuple[bytes, bytes | None]]


async def attempt(source: Source | None, due: Due, now: float, jitter: float) -> Tried:
    """Ask once. `now` in seconds; no source: the entrance is not in the settings any more."""
    name = due.fetch.entrance
    if source is None:
        return dead(due, "the settings have no such entrance whose answers are fetched", None, now)
    form = source.entrance.form
    try:
        sent = await source.answers.get(source.api, due.fetch.ids)
        made: list[Written] = [(record, []) for one in sent for record in source.entrance.responses(one)]
    except Later as error:
        return _again(due, error, now, jitter, form.source or form.platform)
    except (Unanswered, Unmapped) as error:
        return dead(due, str(error), form.source or form.platform, now)
    except Exception as error:
        log.error("a fetch failed: please report this", extra={"intake": name, "error": type(error).__name__})
        return _again(due, Later("our mistake"), now, jitter, form.source or form.platform)
    return Tried("fetched", made, [(event.key, None) for event in due.events])


def _again(due: Due, error: Later, now: float, jitter: float, source: str) -> Tried:
    attempts = due.attempts + 1
    if attempts >= TRIES:
        return dead(due, f"given up after {attempts} tries: {error}", source, now)
    tell = log.error if isinstance(error, TokenRefused) else log.warning
    tell("a response is not fetched yet", extra={"intake": due.fetch.entrance, "why": str(error), "tries": attempts})
    at = int((now + pause(attempts, jitter, error.seconds)) * 1000)
    later = [(event.key, replace(event.fetch, attempts=attempts, not_before=at)) for event in due.events]
    return Tried(error.outcome, [], [(key, codec.dumps(fetch)) for key, fetch in later])


def dead(due: Due, why: str, source: str | None, now: float) -> Tried:
    """Given up: a dead letter for each event, then its tombstone."""
    log.error("a response is not fetched", extra={"intake": due.fetch.entrance, "why": why})
    letters = [
        (
            Record(topics.DEAD_LETTERS, event.key, codec.dumps(event.fetch)),
            DeadLetter(
                "unfetched", why, topics.FETCHES, event.partition, event.offset, rfc3339(int(now * 1000)), source
            ).headers([]),
        )
        for event in due.events
    ]
    return Tried("dead", letters, [(event.key, None) for event in due.events])
