"""What is measured on: NPS responses of about 400 bytes, twenty in a second of event time, a quarter of detractors.

They carry all seven default dimensions. The same seed gives the same responses; only their times follow the clock, so
that they count as fresh.
"""

import random
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from npsflow.schemas import codec

PER_SECOND = 20
MONTH = timedelta(days=30)

Encoded = tuple[bytes, bytes]
"""Key and value of a record of `survey-responses`."""

_SCORES, _OFTEN = range(11), (3, 2, 2, 3, 4, 5, 6, 12, 18, 20, 25)
_CUSTOMERS, _ACCOUNTS = 50_000, 5_000
_COMMENTS = (
    None,
    None,
    "fine",
    "Quick answer, thanks",
    "I would tell everybody I know to try it",
    "The invoice was wrong again and nobody could explain why",
    "Three calls, three different answers, and the parcel is still missing",
)


def responses(times: Iterable[datetime], seed: int = 7) -> Iterator[dict[str, Any]]:
    """One response for each time. The last eight digits of its id are its number, in hex."""
    r = random.Random(seed)
    choice = r.choice
    for i, (at, score) in enumerate(zip(times, _scores(r), strict=False)):
        yield {
            "source": "typeform",
            "response_id": str(uuid.UUID(int=r.getrandbits(96) << 32 | i)),
            "survey_id": f"s{r.randrange(20)}",
            "survey_kind": choice(("relationship", "transactional")),
            "metric": "nps",
            "score": score,
            "submitted_at": at.isoformat(timespec="milliseconds"),
            "comment": choice(_COMMENTS),
            "channel": choice(("email", "sms", "web", "app")),
            "journey_stage": choice(("purchase", "onboarding", "support", "renewal")),
            "department": choice(("sales", "service", "logistics")),
            "product": choice(("basic", "plus", "pro")),
            "customer": {
                "id": f"C-{r.randrange(_CUSTOMERS)}",
                "account_id": f"A-{r.randrange(_ACCOUNTS)}",
                "tier": choice(("gold", "silver", "bronze")),
            },
        }


def number(response_id: str) -> int:
    """Which of the responses it is."""
    return int(response_id[-8:], 16)


def encode(response: dict[str, Any]) -> Encoded:
    return f"{response['source']}/{response['response_id']}".encode(), codec.dumps(response)


def steady(count: int) -> Iterator[datetime]:
    """Twenty a second, the last of them now."""
    begin = datetime.now(UTC) - timedelta(seconds=count / PER_SECOND)
    return (begin + timedelta(seconds=i / PER_SECOND) for i in range(count))


def month(count: int) -> Iterator[datetime]:
    """Spread over the last month, in random order."""
    now, r = datetime.now(UTC), random.Random(30)
    return (now - r.random() * MONTH for _ in range(count))


@lru_cache(1)
def waiting(count: int) -> list[Encoded]:
    """Steady responses, encoded; made once, as several figures are measured on the same ones."""
    return [encode(response) for response in responses(steady(count))]


def _scores(r: random.Random) -> Iterator[int]:
    while True:
        yield from r.choices(_SCORES, _OFTEN, k=1000)
