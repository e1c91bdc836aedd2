"""What the demo sends through intake becomes the very responses of the sample."""

import json
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from npsflow.agents.demo import webhooks
from npsflow.agents.demo.sample import sample
from npsflow.agents.intake.endpoint import secret_name, signed
from npsflow.agents.platforms.protocol import Delivery
from npsflow.schemas.topics import RESPONSES
from npsflow.streams.config.settings import parse
from tests.agents.platforms.signing import SECRET


def with_times(value: bytes | None) -> dict[str, Any]:
    """The fields, times as what they mean and not as they are spelled."""
    fields: dict[str, Any] = json.loads(value or b"")
    times = {name: datetime.fromisoformat(fields[name]) for name in ("submitted_at", "updated_at") if name in fields}
    return fields | times


def test_every_webhook_becomes_the_response_that_it_was_made_of() -> None:
    configured = parse(webhooks.settings(webhooks.ENTRANCES))
    names = {secret_name(name): SECRET for name in configured.intake}
    found, sent, direct = signed(configured, names), Counter[str](), Counter[str]()
    for line in sample(7, 5_000, datetime.now(UTC), live=True):
        made = webhooks.webhook(line, SECRET)
        if made is None:
            direct[line.kind] += 1
            continue
        to = found[made.entrance]
        sent[to.entrance.form.platform] += 1
        delivery = Delivery({name.lower(): value for name, value in made.headers.items()}, made.body)
        to.verify(delivery, time.time())
        ((topic, key, value, _),) = to.records(delivery, time.time())
        assert (topic, key, with_times(value)) == (RESPONSES, line.key, with_times(line.value))
    assert min(sent[name] for name in webhooks.PLATFORMS) > 500
    assert direct["response"] == 0
    assert all(direct[kind] for kind in ("wrong_key", "lenient", "deletion"))
