"""`npsflow notify try`: a test message arrives, or the receiver says why not; there is no Kafka."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from npsflow.agents.cli import main

from . import mail
from .conformance import Case
from .ends import Endpoint
from .test_email import a_mail_server
from .test_kinds import a_slack, a_webhook


async def _try(case: Case, folder: Path, *more: str, secret: str | None = None) -> Result:
    config = folder / "npsflow.toml"
    config.write_text(f"[notify.desk]\nkind = '{case.kind}'\nper_second = 1000\n{case.settings}")
    environment = {
        "NPSFLOW_CONFIG": str(config),
        "NPSFLOW_BROKERS": "127.0.0.1:1",
        "NPSFLOW_SECRET_NOTIFY_DESK": case.secret if secret is None else secret,
    }
    return await asyncio.to_thread(CliRunner().invoke, main, ["notify", "try", "desk", *more], env=environment)


async def test_a_message_that_arrives(tmp_path: Path) -> None:
    async with a_webhook(tmp_path) as case:
        result = await _try(case, tmp_path)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith("ok    to.* at 127.0.0.1:")
        (got,) = case.end.received
        assert (got.data["type"], got.data["data"]["test"]) == ("npsflow.test.v1", True)


async def test_each_address_is_tried_once_or_the_one_that_is_named(tmp_path: Path) -> None:
    async with a_slack(tmp_path) as case:
        case.settings = case.settings.replace('"C0ALL"', '"C0ALL", anna = "C0GONE", bob = "C0ALL"')
        result = await _try(case, tmp_path)
        assert result.exit_code == 1
        ok, fail, words = result.stdout.splitlines()
        assert ok.startswith("ok    to.* at 127.0.0.1")
        assert fail.startswith("fail  to.anna at 127.0.0.1")
        assert "it cannot write there: channel_not_found: name a channel that is there" in fail
        assert words == "      it answers: channel_not_found"
        assert len(case.end.received) == 1
        assert (await _try(case, tmp_path, "--to", "bob")).exit_code == 0
        unknown = await _try(case, tmp_path, "--to", "carl")
        assert (unknown.exit_code, "notify.desk.to: there is no 'carl'" in unknown.stderr) == (2, True)


@pytest.mark.parametrize(
    ("tls", "more", "secret", "lines"),
    [
        ("none", "", "", ["it offers no STARTTLS: set `starttls = false`"]),
        ("starttls", "", "wrong", ["it refuses our login (535 5.7.8)", "it answers: 535 5.7.8 Authentication"]),
        ("none", ', starttls = false, sender = "npsflow@example.net"', "", ["refuses our sender", "553 we do"]),
        ("starttls", ', ca = ""', mail.PASSWORD, ["certificate is not trusted: unable to get local issuer"]),
    ],
)  # fmt: skip
async def test_mail_servers_say_what_is_wrong(
    tmp_path: Path, tls: mail.Tls, more: str, secret: str, lines: list[str]
) -> None:
    async with a_mail_server(tmp_path, tls, more) as case:
        if "ca =" in more:
            case.settings = case.settings.replace(f', ca = "{case.end.ca}"', "", 1)  # type: ignore[attr-defined]
        result = await _try(case, tmp_path, secret=secret)
        assert result.exit_code == 1
        assert "fail  to.* at localhost:" in result.stdout
        for line in lines:
            assert line in result.stdout
        assert mail.PASSWORD not in result.output


@pytest.mark.parametrize("code", ["channel_is_archived", "invalid_token", "no_service", "action_prohibited"])
@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_slack_compatible_end_says_what_is_wrong(tmp_path: Path, status: int, code: str) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status, text=code)

    app = web.Application()
    app.router.add_post("/hooks/{name}", refuse)
    async with TestServer(app) as server:
        secret = str(server.make_url("/hooks/abcdef"))
        result = await _try(Case("slack_webhook", "", secret, Endpoint()), tmp_path)
    assert result.exit_code == 1
    assert f"it refuses us ({status} {code}): " in result.stdout
    assert "abcdef" not in result.output


async def test_nobody_answers(tmp_path: Path) -> None:
    async with a_webhook(tmp_path) as case:
        pass
    result = await _try(case, tmp_path)
    assert result.exit_code == 1
    assert "it cannot be reached: connection refused" in result.stdout


def test_the_console_needs_no_settings() -> None:
    result = CliRunner().invoke(main, ["notify", "try", "console"], env={"NPSFLOW_BROKERS": "127.0.0.1:1"})
    assert result.exit_code == 0
    assert "A test message of npsflow, notifier console" in result.stdout
    assert result.stdout.endswith("ok    console: it has the test message\n")


def test_a_notifier_that_is_not_there() -> None:
    result = CliRunner().invoke(main, ["notify", "try", "dsek"])
    assert (result.exit_code, "there is no [notify.dsek]" in result.stderr) == (2, True)
