"""A login by tokens: of an identity provider, or of a function; a refusal of either is one sentence without secrets."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth, web
from click.testing import CliRunner, Result

from npsflow.agents.broker.embedded import HOST, free_port
from npsflow.agents.cli import main

from .secured import PASSWORD, Acl, Secured

PREFIX, USER = "tokens.", "tokened"
EVERYTHING = [Acl(resource, "PREFIXED", PREFIX, "ALL") for resource in ("TOPIC", "GROUP", "TRANSACTIONAL_ID")]


def token(user: str = USER, lasts: float = 600) -> str:
    """One that nobody has signed, as RFC 7519 section 6 has it: this broker believes it."""
    parts = {"alg": "none"}, {"sub": user, "iat": time.time(), "exp": time.time() + lasts}
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, ""])


class Provider:
    """An identity provider, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.url = f"http://{HOST}:{(port := free_port())}/token"
        self._port = port

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/token", self._grant)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, HOST, self._port).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _grant(self, request: web.Request) -> web.Response:
        self.asked += 1
        form = await request.post()
        known = request.headers["Authorization"] == encode_basic_auth("survey", PASSWORD)
        if not known or form != {"grant_type": "client_credentials", "scope": "kafka"}:
            return web.json_response({"error": "invalid_client", "error_description": PASSWORD}, status=401)
        return web.json_response({"access_token": token(), "token_type": "Bearer", "expires_in": 600})


@pytest.fixture(scope="module")
def door(secured: Secured) -> dict[str, str]:
    secured.allow(USER, EVERYTHING)
    return {"NPSFLOW_BROKERS": secured.sasl, "NPSFLOW_TLS_CA": str(secured.ca), "NPSFLOW_PREFIX": PREFIX}


async def run(environment: Mapping[str, str], *words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, words, env=dict(environment))


async def test_tokens_of_an_identity_provider(door: dict[str, str]) -> None:
    provider = Provider()
    door = door | {
        "NPSFLOW_SASL_TOKEN_URL": provider.url, "NPSFLOW_SASL_TOKEN_SCOPE": "kafka",
        "NPSFLOW_SASL_USERNAME": "survey", "NPSFLOW_SASL_PASSWORD": PASSWORD,
    }  # fmt: skip
    async with provider.open():
        made = await run(door, "topics", "create")
        assert made.exit_code == 0, made.output
        assert provider.asked == 1  # for all connections of a client
        checked = await run(door, "check")
        assert "answers to user 'survey' by SASL_SSL" in checked.stdout
        assert "permission: all that a worker needs is allowed" in checked.stdout
        wrong = await run(door | {"NPSFLOW_SASL_PASSWORD": "wrong password"}, "topics", "list")
    gone = await run(door, "topics", "list")
    for refused, why, status in ((wrong, "127.0.0.1 answers 401", 2), (gone, "127.0.0.1 does not answer", 1)):
        assert refused.exit_code == status
        assert f"login: no token: {why}" in refused.output
        assert "NPSFLOW_SASL_TOKEN_URL" in refused.output
        assert PASSWORD not in refused.output


async def test_tokens_of_a_function(
    door: dict[str, str], secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that the broker does not believe, and a function that fails."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "our_tokens.py").write_text(
        "from tests.broker.test_secured_tokens import token\n"
        "def good(): return token(), 0\n"
        "def strange(): return 'secret of nobody'\n"
        "def failing(): raise RuntimeError('secret of nobody')\n"
    )

    async def listed(function: str) -> Result:
        return await run(door | {"NPSFLOW_SASL_TOKEN_FUNCTION": f"our_tokens:{function}"}, "topics", "list")

    assert (await listed("good")).exit_code == 0
    strange, failing, absent = [await listed(name) for name in ("strange", "failing", "absent")]
    assert f"login: {secured.sasl} refuses our token" in strange.output
    assert "login: no token: our_tokens:failing raised RuntimeError" in failing.output
    assert absent.exit_code == 2
    assert "NPSFLOW_SASL_TOKEN_FUNCTION: our_tokens:absent is not there" in absent.output
    assert "secret of nobody" not in strange.output + failing.output
