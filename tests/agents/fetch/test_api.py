"""What becomes of an answer, on a stand-in that answers as documented; and that no text shows the token."""

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

from npsflow.agents.broker.embedded import free_port
from npsflow.agents.fetch.backoff import MAX_ATTEMPTS, delay
from npsflow.agents.fetch.sources import Source, sources
from npsflow.agents.platforms.protocol import FetchError, Permanent, TokenRefused, Transient
from npsflow.schemas.errors import SettingsError
from npsflow.streams.intake.mapping import FormMapping, Score

from .standin import FIXTURES, STANDINS, TOKEN, Headers, Standin, SurveyMonkey

NOW = 1_772_377_331.0
IDS = {"survey": "105724755", "response": "5007154402"}
FORM = FormMapping("surveymonkey", [Score("weights.319352786", "nps")], api_per_minute=60_000)

_LEFT = "X-Ratelimit-App-Global-Minute"


@asynccontextmanager
async def asking(standin: Standin, token: str = TOKEN, form: FormMapping = FORM) -> AsyncIterator[Source]:
    async with standin.running() as address, aiohttp.ClientSession() as session:
        found = sources({"shop": replace(form, api=address)}, {"NPSFLOW_TOKEN_SHOP": token}, session, lambda: NOW)
        yield found["shop"]


async def failure(source: Source, ids: dict[str, str] = IDS) -> FetchError:
    with pytest.raises(FetchError) as failed:
        await source.fetch(ids)
    assert TOKEN not in str(failed.value)
    assert "example.com" not in str(failed.value)
    return failed.value


@pytest.mark.parametrize("name", sorted(STANDINS))
async def test_every_platform_hands_out_its_answers(name: str) -> None:
    """Over HTTP, all pages of them; and once more after a limit was reached, from the first page."""
    standin, folder = STANDINS[name](), FIXTURES / name
    form = msgspec.convert(tomllib.loads((folder / "form.toml").read_text()), FormMapping)
    ids = json.loads((folder / "fetch.json").read_text())["ids"]
    async with asking(standin, form=replace(form, api_per_minute=60_000)) as source:
        sent = await source.fetch(ids)
        made = [json.loads(record.value or b"") for one in sent for record in source.entrance.records(one, NOW)]
        standin.next(429, {"Retry-After": "3"})
        assert getattr(await failure(source, ids), "seconds", None) == 3
        assert await source.fetch(ids) == sent
        standin.tokens.clear()
        assert isinstance(await failure(source, ids), TokenRefused)
    expected = json.loads((folder / "expected.json").read_text())
    assert [(one["response_id"], one["score"]) for one in made] == [
        (one["response_id"], one["score"]) for one in expected
    ]
    assert standin.paths[: len(standin.answers)] == list(standin.answers)


async def test_an_answer() -> None:
    standin = SurveyMonkey()
    async with asking(standin) as source:
        (sent,) = await source.fetch(IDS)
    assert (sent.response_id, sent.content["weights"]["319352786"]) == ("5007154402", "3")
    assert standin.asked == [("surveys/105724755/responses/5007154402/details?simple=true", TOKEN)]
    assert source.api.open_at == 0


@pytest.mark.parametrize(
    ("status", "headers", "kind", "seconds", "closed"),
    [
        (429, {"Retry-After": "7"}, Transient, 7, 7),
        (429, {"Retry-After": "Sun, 01 Mar 2026 15:02:31 GMT"}, Transient, 20, 20),
        (429, {}, Transient, 60, 60),
        (429, {f"{_LEFT}-Remaining": "0", f"{_LEFT}-Reset": "12"}, Transient, 12, 12),
        (500, {}, Transient, 0, 0),
        (502, {"Retry-After": "soon"}, Transient, 0, 0),
        (503, {"Retry-After": "30"}, Transient, 30, 0),
        (503, {"Retry-After": "99999999"}, Transient, 86_400, 0),
        (302, {"Location": "/v3/elsewhere"}, Transient, 0, 0),
        (204, {}, Transient, 0, 0),
        (401, {}, TokenRefused, 60, 60),
        (403, {}, TokenRefused, 60, 60),
        (404, {}, Permanent, None, 0),
        (400, {}, Permanent, None, 0),
        (410, {}, Permanent, None, 0),
    ],
)  # fmt: skip
async def test_no_answer(status: int, headers: Headers, kind: type, seconds: float | None, closed: float) -> None:
    """`closed`: for how long nobody else need ask either."""
    standin = SurveyMonkey()
    standin.next(status, headers)
    async with asking(standin) as source:
        error = await failure(source)
    assert type(error) is kind
    assert getattr(error, "seconds", None) == seconds
    assert max(0, source.api.open_at - NOW) == closed
    assert len(standin.asked) == 1


async def test_the_last_request_of_a_day_closes_it_for_the_rest() -> None:
    standin = SurveyMonkey()
    standin.left["Day"] = 0
    async with asking(standin) as source:
        await source.fetch(IDS)
    assert source.api.open_at == NOW + 3600


async def test_a_wrong_token_is_refused_and_a_renewed_one_read(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("an old one\n")
    standin = SurveyMonkey()
    async with asking(standin, f"@{file}") as source:
        assert isinstance(await failure(source), TokenRefused)
        file.write_text(TOKEN + "\n")
        assert await source.fetch(IDS)
        file.unlink()
        assert "token cannot be read" in str(await failure(source))
    assert [token for _, token in standin.asked] == ["an old one", TOKEN]


async def test_one_that_is_slow() -> None:
    standin = SurveyMonkey()
    standin.slow.clear()
    async with asking(standin) as source:
        source.api.timeout = aiohttp.ClientTimeout(total=0.2)
        assert str(await failure(source)).startswith("it does not answer: ")
        standin.slow.set()


async def test_one_that_is_away() -> None:
    form = replace(FORM, api=f"http://127.0.0.1:{free_port()}")
    async with aiohttp.ClientSession() as session:
        source = sources({"shop": form}, {"NPSFLOW_TOKEN_SHOP": TOKEN}, session, lambda: NOW)["shop"]
        assert str(await failure(source)) == "it does not answer: ClientConnectorError"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff"])
async def test_what_is_no_json_object(body: bytes) -> None:
    standin = SurveyMonkey()
    standin.raw = body
    async with asking(standin) as source:
        assert isinstance(await failure(source), Transient)


async def test_an_answer_that_never_ends() -> None:
    async with asking(SurveyMonkey()) as source:
        source.api.max_bytes = 1000
        assert "larger than" in str(await failure(source))


@pytest.mark.parametrize("response", ["../../users/me", "1/2", "", "a b", "1?x=y", "é"])
async def test_an_id_leads_nowhere_else(response: str) -> None:
    standin = SurveyMonkey()
    async with asking(standin) as source:
        assert isinstance(await failure(source, IDS | {"response": response}), Permanent)
    assert standin.asked == []


async def test_no_more_requests_than_are_allowed() -> None:
    standin = SurveyMonkey()
    async with asking(standin, form=replace(FORM, api_per_minute=600)) as source:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*[source.fetch(IDS) for _ in range(25)])
        assert loop.time() - began >= (25 - 20 - 1) / 10  # twenty at once, then ten a second


async def test_what_is_missing_is_named() -> None:
    token = {"NPSFLOW_TOKEN_THE_SHOP": TOKEN}
    async with aiohttp.ClientSession() as session:
        with pytest.raises(SettingsError, match="set NPSFLOW_TOKEN_THE_SHOP"):
            sources({"the-shop": FORM}, {}, session, lambda: NOW)
        with pytest.raises(SettingsError, match="say in `api` where qualtrics answers"):
            sources({"the-shop": FormMapping("qualtrics")}, token, session, lambda: NOW)
        assert sources({"x": FormMapping("typeform")}, {}, session, lambda: NOW) == {}


def test_tries_are_spread_over_about_a_day() -> None:
    total = sum(delay(attempts, 0.5) for attempts in range(1, MAX_ATTEMPTS))
    assert 20 * 3600 < total < 28 * 3600
    assert delay(1, 0) < delay(1, 1) < delay(3, 0)
    assert delay(1, 0.5, at_least=3600) == 3600
    assert delay(10_000, 1) < 3 * 3600
