"""A board that may not write actions any more says so, and invites nobody to try again."""

import json

import pytest

from npsflow.agents.kafka import clients
from npsflow.schemas.topics import CASES
from tests.support.waiting import eventually

from .harness import Harness
from .secured import Acl, Secured
from .test_board import CASE, post, served

PREFIX = "lectern."
EVERYTHING, READ = (Acl("TOPIC", "PREFIXED", PREFIX, operation) for operation in ("ALL", "READ"))


async def test_what_kafka_forbids_is_named_and_not_to_be_sent_again(
    secured: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    secured.add_user("lectern")
    secured.allow("lectern", [EVERYTHING])
    async with Harness(secured.broker, PREFIX, door=secured.with_login("lectern")) as harness:
        async with clients.producer(harness.installation) as producer:
            await producer.send_and_wait(harness.installation.topic(CASES), json.dumps(CASE).encode(), b"c-1", 0)
        async with served(harness) as (client, book):

            async def there() -> bool:
                return book.cases.find("c-1") is not None

            await eventually(there)
            secured.allow("lectern", [READ])
            secured.forbid("lectern", [EVERYTHING])
            async with client.post("/cases/c-1/actions", json={"action": "contact", "by": "anna"}) as answer:
                assert (answer.status, "Retry-After" in answer.headers) == (500, False)
                assert "again" not in (await answer.json())["error"]
            assert f"topic ({PREFIX}recovery-actions)" in caplog.text
            assert "deploy/acls.md" in caplog.text
            secured.allow("lectern", [EVERYTHING])
            assert (await post(client, "/cases/c-1/actions", {"action": "contact", "by": "anna"}))[0] == 202
