"""One attempt to fetch a response, and the records that come of it."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from npsflow.agents.fetch.backoff import MAX_ATTEMPTS, delay
from npsflow.agents.fetch.queue import Due, PendingEvent
from npsflow.agents.fetch.sources import Source
from npsflow.agents.platforms.protocol import FetchError, TokenRefused, Transient
from npsflow.schemas import codec, topics
from npsflow.schemas.fetch import Fetch
from npsflow.schemas.headers import DeadLetter
from npsflow.schemas.times import rfc3339
from npsflow.streams.intake.coverage import check_answered
from npsflow.streams.intake.entrance import Entrance, KeyedRecord
from npsflow.streams.intake.mapping import Submission, Unmapped

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """What came of it: `records` are written and acknowledged first, then `queue`, those of the queue's own topic."""

    outcome: str
    records: Sequence[KeyedRecord]
    queue: Sequence[KeyedRecord]


async def attempt(source: Source | None, due: Due, now: float, jitter: float) -> Attempt:
    """Ask the API once; `now` in seconds, `jitter` from 0 to 1. No source: the settings do not have the entrance."""
    if source is None:
        return give_up(due, "the settings have no such entrance whose answers are fetched", None, now)
    entrance = source.entrance
    try:
        submissions = await source.fetch(due.fetch.ids)
        records = _records(entrance, submissions, now)
    except Transient as error:
        return _retry(due, error, now, jitter, entrance.source)
    except (FetchError, Unmapped) as error:
        return give_up(due, str(error), entrance.source, now)
    except Exception as error:
        log.error("a fetch failed: please report this", extra={"intake": entrance.name, "error": type(error).__name__})
        return _retry(due, Transient("our mistake"), now, jitter, entrance.source)
    return Attempt("fetched", records, _tombstones(due))


def _records(entrance: Entrance, submissions: Iterable[Submission], now: float) -> list[KeyedRecord]:
    """Those of all submissions. Raises Unmapped if the first that cannot be understood stands among none that can."""
    records: list[KeyedRecord] = []
    unmapped: Unmapped | None = None
    for submission in submissions:
        try:
            made = list(entrance.records(submission, now))
            if not made:
                check_answered(entrance.form, submission)
            records += made
        except Unmapped as error:
            unmapped = unmapped or error
    if unmapped is not None and not records:
        raise unmapped
    return records


def _retry(due: Due, error: Transient, now: float, jitter: float, source: str) -> Attempt:
    attempts = due.attempts + 1
    if attempts >= MAX_ATTEMPTS:
        return give_up(due, f"given up after {attempts} tries: {error}", source, now)
    level = logging.ERROR if isinstance(error, TokenRefused) else logging.WARNING
    extra = {"intake": due.fetch.entrance, "why": str(error), "tries": attempts}
    log.log(level, "a response is not fetched yet", extra=extra)
    at = int((now + delay(attempts, jitter, error.seconds)) * 1000)
    later = [_queued(event, replace(event.fetch, attempts=attempts, not_before=at)) for event in due.events]
    return Attempt(error.outcome, [], later)


def give_up(due: Due, why: str, source: str | None, now: float) -> Attempt:
    """A dead letter for each event, then its tombstone. `source` as in the letter's header; `now` in seconds."""
    log.error("a response is not fetched", extra={"intake": due.fetch.entrance, "why": why})
    return Attempt("dead", [_dead_letter(event, why, source, now) for event in due.events], _tombstones(due))


def _dead_letter(event: PendingEvent, why: str, source: str | None, now: float) -> KeyedRecord:
    at = rfc3339(int(now * 1000))
    letter = DeadLetter("unfetched", why, topics.FETCHES, event.partition, event.offset, at, source)
    return KeyedRecord(topics.DEAD_LETTERS, event.key, codec.dumps(event.fetch), letter.headers([]))


def _tombstones(due: Due) -> list[KeyedRecord]:
    return [_queued(event, None) for event in due.events]


def _queued(event: PendingEvent, fetch: Fetch | None) -> KeyedRecord:
    return KeyedRecord(topics.FETCHES, event.key, None if fetch is None else codec.dumps(fetch))
