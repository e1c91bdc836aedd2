"""What `check` says about sealing."""

import json
from dataclasses import dataclass, field
from typing import Any

from npsflow.agents.operations.sealing_faults import clear_responses, short_keys
from npsflow.agents.sealing.cipher import new_key_id, new_secret, seal
from npsflow.schemas import topics
from npsflow.schemas.headers import Headers
from npsflow.schemas.times import DAY

TOKEN = seal(b"My boiler leaks", new_key_id(), new_secret())


@dataclass
class Kept:
    """A record of `survey-responses`."""

    value: bytes | None
    key: bytes | None = None
    topic: str = "t"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    headers: Headers = field(default_factory=list)


def kept(source: Any, **fields: Any) -> Kept:
    return Kept(json.dumps({"source": source, **fields}).encode())


def test_those_in_the_clear_are_named_by_source_and_field() -> None:
    records = [
        kept("crm", comment="My boiler leaks"),
        kept("crm", customer={"email": "ann@example.com"}, comment=TOKEN),
        kept("forms", comment=TOKEN, score=3),
        kept("forms", comment=" "),
        kept("shop", attributes={"nick": "Ann"}),
        kept(7, comment="boiler"),
        Kept(b"Ann has a boiler"),
        Kept(b'["boiler"]'),
        Kept(TOKEN.encode()),
        Kept(None),
    ]
    texts = [text for text, _ in clear_responses(records, ["nick"])]
    assert texts == [
        "sealing: 2 of the newest responses of crm are in the clear: comment, customer.email",
        "sealing: 1 of the newest responses of shop are in the clear: attributes.nick",
        "sealing: 3 of the newest responses of unknown are in the clear: all of it, comment",
    ]
    assert list(clear_responses(records[2:4], [])) == []


def test_keys_that_end_before_their_texts() -> None:
    def configs(keys: float, letters: float) -> dict[str, dict[str, str]]:
        days = {topics.CUSTOMER_KEYS: keys, topics.DEAD_LETTERS: letters, topics.PANES: 9999}
        return {name: {"retention.ms": str(int(of * DAY) if of > 0 else -1)} for name, of in days.items()}

    for keys, letters in (400, 180), (-1, 180), (-1, -1), (210, 180):
        assert list(short_keys(configs(keys, letters))) == []
    for keys, letters in (200, 180), (400, -1):
        ((text, _),) = short_keys(configs(keys, letters))
        assert text.startswith(f"sealing: customer-keys is kept for {keys} days, other topics for ")
    assert list(short_keys({topics.DEAD_LETTERS: {"retention.ms": "1"}})) == []
