"""Intake on a real Kafka: what is answered is true."""

import json
from io import BytesIO
from typing import Any

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.intake.limits import MAX_BODY
from npsflow.agents.web.limits import Limits
from npsflow.schemas.topics import DEAD_LETTERS, RESPONSES
from npsflow.streams.engine.installation import Installation
from tests.agents.platforms.conformance import FIXTURES
from tests.agents.platforms.signing import SECRET, SIGN

from .serving import FORMBRICKS, PATH, install, records, serving, signed


async def test_answers(broker: Broker) -> None:
    installation = Installation(broker.bootstrap, "intake-answers.")
    await install(installation)
    async with serving(installation) as intake:
        client = intake.client
        async with client.post(PATH, **signed(FORMBRICKS.good)) as answer:
            assert (answer.status, await answer.json()) == (200, {"responses": 2})
        found = [json.loads(record.value or b"") for record in await records(installation, RESPONSES)]
        expected = json.loads((FIXTURES / "formbricks" / "expected.json").read_text())
        assert sorted(found, key=json.dumps) == sorted(expected, key=json.dumps)

        other = json.dumps(
            {"event_type": "form_response", "form_response": {"form_id": "x", "token": "t", "submitted_at": "now"}}
        )
        async with client.post("/in/typed", data=other, headers=SIGN["typeform"](other.encode(), SECRET, 0)) as answer:
            assert answer.status == 202
            assert "form 'x'" in (await answer.json())["status"]
        (letter,) = await records(installation, DEAD_LETTERS)
        headers = dict(letter.headers)
        assert (letter.value, headers["npsflow_dlq_reason"]) == (other.encode(), b"unmapped")
        assert headers["npsflow_dlq_topic"] == b"intake/typed"

        expectations: list[tuple[str, str, dict[str, Any], int]] = [
            ("POST", PATH, {"data": FORMBRICKS.good}, 401),
            ("POST", PATH, signed(b""), 400),
            ("POST", PATH, signed(b"x" * (MAX_BODY + 1)) | {"data": BytesIO(bytes(MAX_BODY + 1))}, 413),
            ("POST", "/in/nowhere", signed(FORMBRICKS.good), 404),
            ("POST", "/elsewhere", {}, 404),
            ("PUT", PATH, {}, 405),
            ("GET", PATH, {}, 200),
            ("HEAD", PATH, {}, 200),
        ]
        for method, path, more, status in expectations:
            async with client.request(method, path, **more) as answer:
                assert (method, path, answer.status) == (method, path, status)
        async with client.get("/metrics") as answer:
            metrics = await answer.text()
        for outcome in ("accepted", "forged", "malformed", "too_large", "handshake"):
            assert f'outcome="{outcome}"' in metrics
        assert len(await records(installation, RESPONSES)) == 2


async def test_a_sender_may_not_send_too_much(broker: Broker) -> None:
    installation = Installation(broker.bootstrap, "intake-limit.")
    await install(installation)
    async with serving(installation, Limits(rate=1)) as intake:
        client = intake.client
        statuses = []
        for _ in range(4):
            async with client.post(PATH, **signed(FORMBRICKS.good)) as answer:
                statuses.append(answer.status)
        assert statuses[:2] == [200, 200]
        assert statuses[-1] == 429
        assert int(answer.headers["Retry-After"]) >= 1
