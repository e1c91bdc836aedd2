"""Every platform over HTTP: what is answered, and what then stands on a real Kafka."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
from jsonschema import Draft202012Validator

from npsflow import schemas
from npsflow.agents.broker.embedded import Broker
from npsflow.agents.intake.limits import MAX_BODY
from npsflow.schemas.response import Deletion
from npsflow.schemas.topics import DEAD_LETTERS, FETCHES, INVITATIONS, RESPONSES
from npsflow.streams.classify.parsing import read
from npsflow.streams.engine.installation import Installation
from npsflow.streams.scoring.scores import Scales
from tests.agents.platforms.conformance import FIXTURES, NOW, Conformance, endpoint, key_of, platform, version
from tests.agents.platforms.signing import SECRET, SIGN

from .serving import install, records, serving, written

INVITATION = json.loads((Path(schemas.__file__).parent / "generated" / "invitation.json").read_text())


class Sender:
    """Posts to `/in/e` as the platform does; hears the status, and how many responses it has become."""

    def __init__(self, client: aiohttp.ClientSession, under: Conformance) -> None:
        self._client, self._under = client, under

    async def post(self, body: bytes, secret: str = SECRET, now: float = NOW) -> tuple[int, Any]:
        sent = self._under.delivery(body, secret, now)
        async with self._client.post(
            "/in/e", data=BytesIO(sent.body), headers=sent.headers, params=sent.query
        ) as answer:
            return answer.status, (await answer.json()).get("responses")


async def keeps_what_is_signed(sender: Sender, under: Conformance) -> list[bytes]:
    """Bodies that nobody can read, if there is anything in them."""
    kept = [body for body in map(under.enveloped, (b"{", b"")) if body]
    for body in (b"{", b""):
        assert (await sender.post(body))[0] == (202 if under.enveloped(body) in kept else 400)
    return kept


FETCHED = [name for name in sorted(SIGN) if (FIXTURES / name / "answers.json").exists()]


@pytest.mark.parametrize("name", sorted(SIGN.keys() - FETCHED))
async def test_a_platform_is_served(broker: Broker, name: str) -> None:
    under, installation = platform(name), Installation(broker.bootstrap, f"intake-served-{name}.")
    expected = under.become(under.good)
    await install(installation)
    async with serving(installation, endpoints={"e": under.endpoint}, clock=lambda: NOW) as intake:
        sender = Sender(intake.client, under)
        assert await sender.post(under.good) == (200, len(expected))
        assert await sender.post(under.good) == (200, len(expected))
        assert await written(installation, RESPONSES) == {key_of(RESPONSES, made): [made, made] for made in expected}

        assert (await sender.post(under.good, secret="d3Jvbmc="))[0] == 401
        if under.signs_a_time:
            assert (await sender.post(under.good, now=NOW - 301))[0] == 401
        assert (await sender.post(bytes(MAX_BODY + 1)))[0] == 413
        kept = await keeps_what_is_signed(sender, under)
        partial = under.body("partial.json") if under.has("partial.json") else b""
        assert not partial or await sender.post(partial) == (200, 0)
        assert sum(map(len, (await written(installation, RESPONSES)).values())) == 2 * len(expected)

        for body in under.versions():
            assert (await sender.post(body))[0] == 200
        for values in (await written(installation, RESPONSES)).values():
            earlier, later = values[-2:]
            # Some platforms tell no time of a change: then the later record of the log stands.
            assert version(earlier) < version(later) or "updated_at" not in later
            assert later["comment"] != earlier.get("comment")

        if under.has("deleted.json"):
            assert await sender.post(under.body("deleted.json")) == (200, len(expected))
            for values in (await written(installation, RESPONSES)).values():
                assert isinstance(read(json.dumps(values[-1]).encode(), Scales())[0], Deletion)
        assert [record.value for record in await records(installation, DEAD_LETTERS)] == kept


@pytest.mark.parametrize("name", FETCHED)
async def test_an_event_without_answers_is_kept_to_be_fetched(broker: Broker, name: str) -> None:
    under, installation = platform(name), Installation(broker.bootstrap, f"intake-served-{name}.")
    await install(installation)
    async with serving(installation, endpoints={"e": under.endpoint}, clock=lambda: NOW) as intake:
        sender = Sender(intake.client, under)
        for _ in range(2):
            assert await sender.post(under.good) == (200, 0)
        expected = json.loads(under.body("fetch.json")) | {"asked_at": int(NOW * 1000)}
        assert await written(installation, FETCHES) == {f"e/{expected['event_id']}": [expected, expected]}
        assert (await sender.post(under.good, secret="d3Jvbmc="))[0] == 401
        assert (await sender.post(bytes(MAX_BODY + 1)))[0] == 413
        kept = await keeps_what_is_signed(sender, under)
        if under.has("deleted.json"):
            gone = under.become(under.body("deleted.json"))
            assert await sender.post(under.body("deleted.json")) == (200, len(gone))
            assert await written(installation, RESPONSES) == {key_of(RESPONSES, made): [made] for made in gone}
        assert [record.value for record in await records(installation, DEAD_LETTERS)] == kept


@pytest.mark.parametrize("name", [name for name in sorted(SIGN) if (FIXTURES / name / "offered.json").exists()])
async def test_an_invitation_has_its_topic(broker: Broker, name: str) -> None:
    """Keyed by the customer where one is known; a response names the invitation that it answers."""
    under, installation = platform(name), Installation(broker.bootstrap, f"intake-offered-{name}.")
    anonymous = endpoint(under.form)
    await install(installation)
    for served in (under.endpoint, anonymous):
        async with serving(installation, endpoints={"e": served}, clock=lambda: NOW) as intake:
            assert await Sender(intake.client, under).post(under.body("offered.json")) == (200, 0)
    found = await written(installation, INVITATIONS)
    (known,) = under.become(under.body("offered.json"))
    (unknown,) = under.become(under.body("offered.json"), anonymous)
    assert set(found) == {key_of(INVITATIONS, known), f"{unknown['source']}/{unknown['invitation_id']}"}
    assert found[key_of(INVITATIONS, unknown)][-1] == unknown
    for invitation, *_ in found.values():
        jsonschema.validate(invitation, INVITATION, Draft202012Validator)
        assert invitation["invitation_id"] == under.become(under.good)[0]["invitation_id"]
    assert await records(installation, RESPONSES) == []


async def test_an_event_without_a_score_is_to_be_fetched(broker: Broker) -> None:
    under, installation = platform("zendesk"), Installation(broker.bootstrap, "intake-asked.")
    await install(installation)
    async with serving(installation, endpoints={"e": under.endpoint}, clock=lambda: NOW) as intake:
        assert await Sender(intake.client, under).post(under.body("asked.json")) == (200, 0)
    (fetch,) = json.loads(under.body("fetch.json"))
    assert await written(installation, FETCHES) == {key_of(FETCHES, fetch): [fetch]}


async def test_wootric_may_send_url_encoded(broker: Broker) -> None:
    under, installation = platform("wootric"), Installation(broker.bootstrap, "intake-encoded.")
    body = under.body("encoded.txt")
    headers = under.sign(body, SECRET, NOW) | {"Content-Type": "application/x-www-form-urlencoded"}
    await install(installation)
    async with (
        serving(installation, endpoints={"e": under.endpoint}) as intake,
        intake.client.post("/in/e", data=body, headers=headers) as answer,
    ):
        assert (answer.status, await answer.json()) == (200, {"responses": 1})
    ((response,),) = (await written(installation, RESPONSES)).values()
    assert (response["response_id"], response["customer"]["id"], response["score"]) == ("1128", "C-7730", 7)
