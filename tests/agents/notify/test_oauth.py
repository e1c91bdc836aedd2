"""Access tokens for e-mail: from a token endpoint, anew before they expire, to a server that checks them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from npsflow.agents.notify.kind import Delivered, Result, Unavailable
from npsflow.agents.notify.oauth import AccessTokens, Client
from npsflow.schemas.errors import SettingsError

from . import mail
from .conformance import Case, Conformance, events
from .test_email import a_mail_server

SECRET = "the-secret-of-the-client"


@dataclass
class Provider:
    """A token endpoint on loopback. `status` and `answer`: what it says instead of a token; `lives`: expires_in."""

    lives: Any = 3600
    status: int = 200
    answer: dict[str, Any] | str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    rotates: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    token: str = ""

    async def _give(self, request: web.Request) -> web.Response:
        self.asked.append({name: str(value) for name, value in (await request.post()).items()})
        if isinstance(self.answer, str):
            return web.Response(status=self.status, text=self.answer, headers=self.headers)
        if self.answer is not None:
            return web.json_response(self.answer, status=self.status, headers=self.headers)
        given = {"access_token": self.token or f"token-{len(self.asked)}", "token_type": "Bearer"}
        given |= {"refresh_token": f"refresh-{len(self.asked)}"} if self.rotates else {}
        return web.json_response(given | ({} if self.lives is None else {"expires_in": self.lives}))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Provider"]:
        app = web.Application()
        app.router.add_post("/token", self._give)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
            yield self
        finally:
            await runner.cleanup()


@asynccontextmanager
async def getting(provider: Provider, now: list[float], **more: str) -> AsyncIterator[AccessTokens]:
    async with provider.running(), aiohttp.ClientSession() as session:
        yield AccessTokens(session, Client(provider.url, "us", SECRET, **more), clock=lambda: now[0])


@pytest.mark.parametrize(
    ("lives", "used_for"),
    [(3600, 3540), ("3600", 3540), (90, 45), (0, 0), (None, 240), ("soon", 240), ("nan", 240), (-5, 0)],
)
async def test_a_token_is_used_until_shortly_before_it_expires(lives: Any, used_for: int) -> None:
    now = [1000.0]
    async with getting(provider := Provider(lives), now) as tokens:
        assert await tokens.get() == "token-1"
        now[0] += max(0, used_for - 0.5)
        assert await tokens.get() == ("token-1" if used_for else "token-2")
        now[0] += 0.5
        assert await tokens.get() == ("token-2" if used_for else "token-3")
    assert provider.asked[0] == {"grant_type": "client_credentials", "client_id": "us", "client_secret": SECRET}


async def test_many_who_need_one_at_once_ask_once() -> None:
    async with getting(provider := Provider(), [0.0], scope="mail") as tokens:
        assert set(await asyncio.gather(*(tokens.get() for _ in range(9)))) == {"token-1"}
        assert len(provider.asked) == 1
        assert provider.asked[0]["scope"] == "mail"
        tokens.drop()
        assert await tokens.get() == "token-2"


async def test_a_refresh_token_from_a_file_or_from_the_last_answer(tmp_path: Path) -> None:
    (file := tmp_path / "refresh").write_text("from the file\n")
    provider = Provider(lives=0, rotates=True)
    async with getting(provider, [0.0], refresh_token=str(file)) as tokens:
        for _ in range(2):
            assert isinstance(await tokens.get(), str)
        provider.status, provider.answer = 400, {"error": "invalid_grant", "error_description": "of ann@example.com"}
        refused = await tokens.get()
        assert isinstance(refused, Unavailable)
        assert refused.reason.endswith(" refuses us (400 invalid_grant): get a new refresh token")
        assert refused.words == '400 {"error": "invalid_grant", "error_description": "of ann@example.com"}'
        file.write_text("a new one")
        provider.answer = None
        assert isinstance(await tokens.get(), str)
        provider.status, provider.answer = 503, ""
        assert isinstance(await tokens.get(), Unavailable)
        provider.answer = None
        assert isinstance(await tokens.get(), str)
    given = [asked["refresh_token"] for asked in provider.asked]
    assert given == ["from the file", "refresh-1", "refresh-2", "a new one", "refresh-4", "refresh-4"]
    assert {asked["grant_type"] for asked in provider.asked} == {"refresh_token"}


@pytest.mark.parametrize(
    ("status", "answer", "why", "seconds"),
    [
        (401, {"error": "invalid_client"}, "refuses us (401 invalid_client): check client_id", 60),
        (400, {"error": "of ann@example.com"}, "refuses us (400): check client_id", 60),
        (403, "<html>", "refuses us (403): check client_id", 60),
        (302, "elsewhere", "refuses us (302): check client_id", 60),
        (429, "", "gives no token now (429)", 7),
        (503, "", "gives no token now (503)", 7),
        (200, "<html>", "answers without an access token: check options.token_url", 60),
        (200, {"access_token": "a\nb"}, "answers without an access token", 60),
        (200, ["x"], "answers without an access token", 60),
    ],
)
async def test_a_refusal_is_one_sentence(status: int, answer: Any, why: str, seconds: int) -> None:
    headers = {"Retry-After": "7"} if status in (429, 503) else {"Location": "/token"} if status == 302 else {}
    async with getting(provider := Provider(status=status, answer=answer, headers=headers), [0.0]) as tokens:
        found = await tokens.get()
    assert isinstance(found, Unavailable)
    assert f"the token endpoint 127.0.0.1:{provider.url.split(':')[2].split('/')[0]} {why}" in found.reason
    assert (found.seconds, found.concerns) == (seconds, "receiver")
    assert not {"ann@example.com", SECRET} & set(found.reason.replace("(", " ").split())


async def test_nobody_answers_and_no_file_is_there() -> None:
    async with getting(provider := Provider(), [0.0], refresh_token="/no/such") as tokens:
        without = await tokens.get()
        assert isinstance(without, Unavailable)
        assert without.reason == "options.refresh_token cannot be read: no such file or directory"
    async with aiohttp.ClientSession() as session:
        found = await AccessTokens(session, Client(provider.url, "us", SECRET)).get()
    assert isinstance(found, Unavailable)
    assert found.reason.endswith(": it cannot be reached: connection refused")


# To a mail server.


async def sent(case: Case, count: int = 1) -> list[Result]:
    message = replace(Conformance(case).message(events()[0]), to="team@example.com")
    async with case.sending(SECRET) as sender:
        return [await sender.send(replace(message, id=f"c-{number}.1")) for number in range(count)]


def more(provider: Provider, **options: str) -> str:
    named = {"auth": "xoauth2", "token_url": provider.url, "client_id": "us"} | options
    return "".join(f', {name} = "{value}"' for name, value in named.items())


@pytest.mark.parametrize(("lives", "asked"), [(3600, 1), (0, 3)])
async def test_mails_are_sent_with_tokens_of_the_endpoint(tmp_path: Path, lives: int, asked: int) -> None:
    async with (
        Provider(lives, token=mail.TOKEN).running() as provider,
        a_mail_server(tmp_path, "starttls", more(provider)) as case,
    ):
        assert [type(result) for result in await sent(case, 3)] == [Delivered] * 3
        assert len(case.end.received) == 3
        assert len(provider.asked) == asked


async def test_a_token_that_the_server_refuses_is_shown_once(tmp_path: Path) -> None:
    """Tokens are revoked before they expire when somebody changes a password."""
    async with Provider().running() as provider, a_mail_server(tmp_path, "starttls", more(provider)) as case:
        first, second = await sent(case, 2)
        for result in first, second:
            assert isinstance(result, Unavailable)
            assert "it refuses our login" in result.reason
        assert len(provider.asked) == 2
        provider.token = mail.TOKEN
        assert isinstance((await sent(case))[0], Delivered)


async def test_a_refusal_of_the_endpoint_holds_all_mails_up(tmp_path: Path) -> None:
    async with (
        Provider(status=401, answer={"error": "invalid_client"}).running() as provider,
        a_mail_server(tmp_path, "starttls", more(provider)) as case,
    ):
        (result,) = await sent(case)
        assert isinstance(result, Unavailable)
        assert "refuses us (401 invalid_client)" in result.reason
        assert case.end.received == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (', auth = "xoauth2", token_url = "https://example.com/token"', "token_url needs auth"),
        (', token_url = "https://example.com/token", client_id = "us"', "token_url needs auth"),
        (', auth = "xoauth2", client_id = "us"', "client_id, scope and refresh_token are for a token_url"),
        (', auth = "xoauth2", client_id = "us", token_url = "http://example.com/token"', "token_url is not https"),
        (
            ', auth = "xoauth2", client_id = "us", token_url = "https://example.com", refresh_token = "/no/such"',
            "options.refresh_token cannot be read: no such file or directory",
        ),
    ],
)
async def test_settings_that_cannot_work(tmp_path: Path, options: str, why: str) -> None:
    async with a_mail_server(tmp_path, "starttls", options) as case:
        with pytest.raises(SettingsError, match=why):
            await sent(case)
