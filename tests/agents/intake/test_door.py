"""What is answered to requests that hold nothing, or nothing that is understood: nothing is lost, nothing is silent."""

import asyncio
import json
import logging
import time
from typing import Any
from urllib.parse import quote

import pytest
from yarl import URL

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.intake.endpoint import Endpoint, signed
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.topics import DEAD_LETTERS, RESPONSES
from npsflow.streams.config.settings import parse
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.logs import JsonFormatter
from tests.agents.platforms.signing import SIGN, standard_webhooks

from .raw import connected
from .serving import Serving, install, records, serving

FORM, BEARER, LINK = "whsec_Zm9ybWJyaWNrcyBzZWNyZXQgb25l", "a secret of words", "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldA=="
PATH = "qz/x+1 %2F\u00e9"
ENTRANCES = parse("""
[intake.forms]
platform = "formbricks"
comment = ["answers.why"]
scores = [{ question = "answers.nps", metric = "nps" }, { question = "answers.effort", metric = "ces" }]

[intake.typed]
platform = "typeform"
scores = [{ question = "answers.nps", metric = "nps" }]

[intake.shop]
platform = "generic"
verification = "bearer"
scores = [{ question = "score", metric = "nps" }, { question = "other.stars", metric = "csat" }]

[intake.link]
platform = "jotform"
verification = "path"
fields = { "attributes.age" = "age", channel = "channel" }
drivers = { speed = "speed" }
time_of_arrival = true
paths = { response_id = "id", form = "form" }
scores = [{ question = "score", metric = "nps" }]

[intake.app]
platform = "survicate"
scores = [{ question = "answers.7", metric = "nps" }]

[intake.desk]
platform = "zendesk"
scores = [{ question = "satisfaction_rating.score", metric = "csat", words = { good = 5, bad = 1 } }]
""")
NOW = "2026-03-01T15:02:11Z"


@pytest.fixture(scope="module")
def endpoints() -> dict[str, Endpoint]:
    secrets = {"FORMS": FORM, "TYPED": BEARER, "SHOP": BEARER, "LINK": PATH, "APP": BEARER, "DESK": BEARER}
    return signed(ENTRANCES, {f"NPSFLOW_SECRET_{name}": secret for name, secret in secrets.items()})


@pytest.fixture(scope="module")
def installation(broker: Broker) -> Installation:
    found = Installation(broker.bootstrap, "intake-door.")
    asyncio.run(install(found))
    return found


def sent(name: str, body: bytes) -> dict[str, Any]:
    """Signed as the platform of the entrance does."""
    if name == "link":
        return {"data": body}
    if name == "shop":
        return {"data": body, "headers": {"Authorization": f"Bearer {BEARER}"}}
    platform = ENTRANCES.intake[name].platform
    return {"data": body, "headers": SIGN[platform](body, FORM if name == "forms" else BEARER, time.time())}


async def post(intake: Serving, name: str, body: bytes) -> tuple[int, Any]:
    path = f"/in/{name}/{quote(PATH)}" if name == "link" else f"/in/{name}"
    async with intake.client.post(URL(path, encoded=True), **sent(name, body)) as answer:
        return answer.status, await answer.json()


def formbricks(event: str, data: dict[str, Any], **more: Any) -> bytes:
    response = {"id": "r1", "surveyId": "s1", "createdAt": NOW, "data": data}
    return json.dumps({"event": event, "data": response | more}).encode()


def typeform(answers: list[str], questions: list[str] | None, event: str = "form_response") -> bytes:
    of = [{"type": "number", "number": 2, "field": {"id": name, "ref": name}} for name in answers]
    response: dict[str, Any] = {"form_id": "f1", "token": "t1", "submitted_at": NOW, "answers": of}
    if questions is not None:
        response["definition"] = {"fields": [{"id": name, "ref": name} for name in questions]}
    return json.dumps({"event_type": event, "form_response": response}).encode()


def generic(**fields: Any) -> bytes:
    return json.dumps({"response_id": "1", "submitted_at": NOW, "form": "f1"} | fields).encode()


def survicate(kind: str, **fields: Any) -> bytes:
    event = {"responseUuid": "u1", "timestamp": NOW, "survey": {"id": "s1"}} | fields
    return json.dumps({"event": {kind: event}}).encode()


def zendesk(**rating: Any) -> bytes:
    return json.dumps({"satisfaction_rating": {"ticket_id": 5, "updated_at": NOW} | rating}).encode()


SAID = [{"question": {"id": 8}, "text": "slow"}]
CASES: list[tuple[str, bytes, str]] = [
    # Understood.
    ("forms", formbricks("responseFinished", {"nps": 9}), "accepted"),
    ("forms", formbricks("responseFinished", {"effort": 3, "nps": ""}), "accepted"),
    ("shop", generic(score=3), "accepted"),
    ("shop", generic(other={"stars": 4}), "accepted"),
    ("typed", typeform(["nps"], None), "accepted"),
    ("shop", json.dumps({"response_id": "1", "deleted": True}).encode(), "accepted"),
    # Nothing is said yet, or the customer left it blank.
    ("forms", formbricks("responseCreated", {}), "no_score"),
    ("forms", formbricks("responseUpdated", {"role": "buyer"}, finished=False), "no_score"),
    ("forms", formbricks("responseFinished", {"why": "x"}, ttc={"nps": 900, "why": 1, "_total": 901}), "no_score"),
    ("forms", formbricks("responseFinished", {"nps": None}), "no_score"),
    ("typed", typeform([], ["nps", "why"]), "no_score"),
    ("typed", typeform(["why"], None, "form_response_partial"), "no_score"),
    ("shop", generic(score=None), "no_score"),
    ("shop", generic(other={"stars": ""}), "no_score"),
    ("app", survicate("questionAnswered", question={"id": 8}, text="slow"), "no_score"),
    ("app", survicate("surveyCompleted"), "no_score"),
    ("desk", zendesk(score=""), "no_score"),
    # Of no interest.
    ("forms", json.dumps({"event": "surveyPublished", "data": {}}).encode(), "ignored"),
    ("typed", json.dumps({"event_type": "form_published"}).encode(), "ignored"),
    ("desk", zendesk(score="unoffered"), "ignored"),
    # A question was renamed, a path leads nowhere, or what it leads to is no score.
    ("forms", formbricks("responseFinished", {"rating": 9}), "unmapped"),
    ("forms", formbricks("responseUpdated", {"rating": 9}, finished=True), "unmapped"),
    ("forms", formbricks("responseFinished", {"nps": 11}), "unmapped"),
    ("typed", typeform(["rating"], ["rating"]), "unmapped"),
    ("typed", typeform(["rating"], None), "unmapped"),
    ("shop", generic(rating=3), "unmapped"),
    ("shop", generic(score={"value": 3}), "unmapped"),
    ("shop", generic(score="3 stars"), "unmapped"),
    ("app", survicate("surveyCompleted", answers=SAID), "unmapped"),
    ("desk", zendesk(rating="good"), "unmapped"),
    ("desk", zendesk(score="splendid"), "unmapped"),
    # What every worker would refuse.
    ("shop", generic(score=3, submitted_at="yesterday"), "unmapped"),
    ("shop", generic(score=3, form=None), "unmapped"),
    ("shop", generic(score=3, response_id="x" * 300), "unmapped"),
    # What is signed, and is not what the platform sends.
    ("shop", generic(score=3, submitted_at=None), "unmapped"),
    ("shop", b'{"score": NaN}', "unmapped"),
    ("shop", b"score=3", "unmapped"),
    ("forms", formbricks("responseFinished", {"nps": 9}, surveyId=None), "unmapped"),
]


async def test_2xx_only_for_what_is_understood_or_kept(
    installation: Installation, endpoints: dict[str, Endpoint]
) -> None:
    async with serving(installation, endpoints=endpoints) as intake:
        for name, body, outcome in CASES:
            before = intake.counted(name, outcome)
            status, text = await post(intake, name, body)
            assert (status, intake.counted(name, outcome) - before) == (202 if outcome == "unmapped" else 200, 1), body
            assert outcome == "unmapped" or bool(text["responses"]) == (outcome == "accepted")
    kept = [body for _, body, outcome in CASES if outcome == "unmapped"]
    assert [letter.value for letter in await records(installation, DEAD_LETTERS)] == kept


async def test_of_a_form_with_a_bad_answer_the_good_one_counts_and_all_of_it_is_kept(
    installation: Installation, endpoints: dict[str, Endpoint]
) -> None:
    async with serving(installation, endpoints=endpoints) as intake:
        body = generic(response_id="both", score=3, other={"stars": 55})
        assert (await post(intake, "shop", body))[0] == 202
    assert [r.key for r in await records(installation, RESPONSES) if b"both" in (r.key or b"")] == [
        b"generic/both:score"
    ]
    letter = (await records(installation, DEAD_LETTERS))[-1]
    headers = dict(letter.headers)
    assert (letter.value, headers["npsflow_dlq_reason"]) == (body, b"unmapped")
    assert headers["npsflow_dlq_message"] == b"score_out_of_range: score is not within 1-5"
    assert (headers["npsflow_dlq_topic"], headers["npsflow_dlq_source"]) == (b"intake/shop", b"generic")


async def test_a_number_that_json_does_not_have_costs_its_field(
    installation: Installation, endpoints: dict[str, Endpoint]
) -> None:
    body = b'{"id": "nan", "form": "f1", "score": 9, "age": %s, "channel": %s, "speed": %s, "more": ["\\ud83d"]}'
    async with serving(installation, endpoints=endpoints) as intake:
        for number in (b"NaN", b"-Infinity", b"1e999"):
            assert await post(intake, "link", body % (number, number, number)) == (200, {"responses": 1})
            async with intake.client.post(
                URL(f"/in/link/{quote(PATH)}", encoded=True), data=b'{"id": 1, "form": "f1", "score": %s}' % number
            ) as answer:
                named = number.decode() if number != b"1e999" else "Infinity"
                text = f"kept, but not understood: invalid_score: score is {named}, not an integer"
                assert (answer.status, await answer.json()) == (202, {"status": text})
    written = [json.loads(r.value or b"") for r in await records(installation, RESPONSES) if r.key == b"jotform/nan"]
    assert [fields.keys() & {"score", "attributes", "channel", "answers"} for fields in written] == [{"score"}] * 3


# Handshakes


TEST = b'{"event":"testEndpoint"}'


@pytest.mark.parametrize("secret", [FORM, LINK, None])
async def test_the_test_of_formbricks_needs_no_secret(
    installation: Installation, endpoints: dict[str, Endpoint], secret: str | None
) -> None:
    headers = {} if secret is None else standard_webhooks(TEST, secret, time.time())
    letters = len(await records(installation, DEAD_LETTERS))
    async with serving(installation, endpoints=endpoints) as intake:
        async with intake.client.post("/in/forms", data=TEST, headers=headers) as answer:
            assert answer.status == 200
        assert (intake.counted("forms", "handshake"), intake.counted("forms", "accepted")) == (1, 0)
    assert len(await records(installation, DEAD_LETTERS)) == letters


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("forms", b'{"event":"testEndpoint","data":{"id":"r1"}}'),
        ("forms", b'{"event":"responseFinished"}'),
        ("forms", b'["testEndpoint"]'),
        ("forms", b'{"event":"testEndpoint"}' + b" " * 200),
        ("forms", b""),
        ("typed", TEST),
        ("shop", TEST),
        ("desk", TEST),
        ("app", b"{}"),
    ],
)
async def test_whatever_else_is_not_signed_is_401(
    installation: Installation, endpoints: dict[str, Endpoint], name: str, body: bytes
) -> None:
    async with (
        serving(installation, endpoints=endpoints) as intake,
        intake.client.post(f"/in/{name}", data=body, headers=standard_webhooks(body, LINK, time.time())) as answer,
    ):
        assert answer.status == 401
        assert intake.counted(name, "forged") == 1


# Addresses


async def test_slashes_too_many_are_no_other_address(
    installation: Installation, endpoints: dict[str, Endpoint]
) -> None:
    body = generic(score=3)
    async with serving(installation, endpoints=endpoints) as intake:
        for path in ("/in/shop", "/in/shop/", "//in/shop", "/in//shop", "///in//shop//"):
            url = f"http://127.0.0.1:{intake.port}{path}"
            for method, more, status in (("POST", sent("shop", body), 200), ("GET", {}, 200), ("HEAD", {}, 200)):
                async with intake.client.request(method, url, allow_redirects=False, **more) as answer:
                    assert (path, method, answer.status) == (path, method, status)
        assert (intake.counted("shop", "accepted"), intake.counted("shop", "handshake")) == (5, 10)


async def test_an_address_that_is_no_entrance_is_counted_without_it(
    installation: Installation, endpoints: dict[str, Endpoint]
) -> None:
    async with serving(installation, endpoints=endpoints) as intake:
        for path in ("/in/qzx", "/in/qzx/", "/qzx", "/in/shop/qzx", "/in/", "/"):
            async with intake.client.post(path, data=b"{}") as answer:
                assert (path, answer.status) == (path, 404)
        for path in ("/metrics", "/health/ready"):
            async with intake.client.get(path) as answer:
                assert (answer.status, "qzx" in await answer.text()) == (200, False)
        assert intake.counted("unknown", "unknown") == 6


async def test_a_secret_in_the_path_opens_its_own_entrance_and_is_written_nowhere(
    installation: Installation, endpoints: dict[str, Endpoint], caplog: pytest.LogCaptureFixture
) -> None:
    body = b'{"id": 1, "form": "f1"}'
    with caplog.at_level(logging.INFO):
        async with serving(installation, endpoints=endpoints) as intake:
            for path, status in (
                (f"/in/link/{quote(PATH)}", 202), (f"//in/link//{quote(PATH, safe='')}/", 202), ("/in/link", 401),
                ("/in/link/", 401), (f"/in/link/x{quote(PATH)}", 401), (f"/in/link?token={quote(PATH)}", 401),
                (f"/in/shop/{quote(PATH)}", 404), (f"/in/{quote(PATH)}", 404),
            ):  # fmt: skip
                url = URL(f"http://127.0.0.1:{intake.port}{path}", encoded=True)
                async with intake.client.post(url, data=body) as answer:
                    assert (path, answer.status) == (path, status)
                    assert "qz" not in await answer.text()
            async with intake.client.head(URL(f"/in/link/{quote(PATH)}", encoded=True)) as answer:
                assert answer.status == 200
            async with connected(intake.port) as raw:  # what aiohttp itself turns down
                raw.send(b"POST /in/link/qz/x\x01 HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n")
                assert (await raw.answer())[0] == 400
            async with intake.client.get("/metrics") as answer:
                assert "qz" not in await answer.text()
    letters = [letter for letter in await records(installation, DEAD_LETTERS) if letter.value == body]
    assert len(letters) == 2
    logged = [JsonFormatter().format(record) for record in caplog.records]
    assert any("the secret in the address is missing or wrong" in line for line in logged)
    assert not [line for line in logged if "qz" in line]
    assert "qz" not in str([letter.headers for letter in letters])


# The log


async def test_refusals_are_logged_once_a_minute_without_what_was_sent(
    installation: Installation, endpoints: dict[str, Endpoint], caplog: pytest.LogCaptureFixture
) -> None:
    private = generic(score=3, mail="someone@example.com")
    with caplog.at_level(logging.WARNING):
        async with serving(installation, endpoints=endpoints) as intake:
            for _ in range(3):
                headers = {"Authorization": "Bearer someone-elses-token"}
                async with intake.client.post("/in/shop", data=private, headers=headers) as answer:
                    assert answer.status == 401
                async with intake.client.post("/in/shop", **sent("shop", b"")) as answer:
                    assert answer.status == 400
                assert (await post(intake, "shop", generic(mail="someone@example.com")))[0] == 202
                async with intake.client.post("/in/someone@example.com", data=private) as answer:
                    assert answer.status == 404
                assert (await post(intake, "shop", private))[0] == 200
    logged = [vars(record) for record in caplog.records if record.name == "npsflow.agents.intake.limits"]
    assert [(one["intake"], one["outcome"], one.get("why")) for one in logged] == [
        ("shop", "forged", "the bearer token is missing or wrong"),
        ("shop", "malformed", "the body is empty"),
        ("shop", "unmapped", None),
        ("unknown", "unknown", None),
    ]
    for text in ("example.com", "someone", BEARER):
        assert text not in str(logged)


# Settings


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ('platform = "formbricks"\nverification = "bearer"', "verification"),
        ('platform = "typeform"\nheader = "X-Secret"', "header"),
        ('platform = "typeform"\napi = "https://api.example.com"', "api"),
        ('platform = "wootric"\napi_per_minute = 5', "api_per_minute"),
        ('platform = "survicate"\nevents = { answered = "x" }', "events"),
        ('platform = "zendesk"\npaths = { form = "x" }', "paths"),
        ('platform = "generic"\nheader = "X-Secret"', "header"),
        ('platform = "delighted"\nheader = "X-Secret"', "header"),
    ],
)
def test_a_setting_without_effect_is_refused(settings: str, setting: str) -> None:
    with pytest.raises(SettingsError, match=f"intake.shop: {setting} has no effect on "):
        signed(parse(f"[intake.shop]\n{settings}"), {"NPSFLOW_SECRET_SHOP": BEARER})


@pytest.mark.parametrize(
    "settings",
    [
        'platform = "generic"\nverification = "bearer"\nheader = "X-Secret"',
        'platform = "asknicely"\nheader = "X-Secret"',
        'platform = "zendesk"\nevents = { answered = "x" }\napi = "https://api.example.com"',
        'platform = "generic"\nno_answer = [-99]',
        'platform = "generic"\nverification = "path"',
        'platform = "typeform"\ncolumns = { NPS = "answers.nps" }',
    ],
)
def test_a_setting_with_an_effect_is_not(settings: str) -> None:
    assert signed(parse(f"[intake.shop]\n{settings}"), {"NPSFLOW_SECRET_SHOP": BEARER}).keys() == {"shop"}
