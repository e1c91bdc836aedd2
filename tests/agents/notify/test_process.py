"""`npsflow notify` as a process of its own, killed where it hurts."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from npsflow.agents.broker.embedded import Broker, free_port
from npsflow.agents.cli import main
from npsflow.schemas import topics
from tests.broker.harness import SECONDS
from tests.streams.recovery.recovering import World
from tests.support.waiting import eventually

from .desk import NAME, Desk, ids, reached
from .ends import Endpoint

SECRETS = {"NPSFLOW_SECRET_NOTIFY_ZENDESK": "a-token", "NPSFLOW_BROKERS": "127.0.0.1:1"}


@contextmanager
def process(desk: Desk, name: str = NAME, secret: str = Endpoint.SECRET) -> Iterator[Any]:
    """Killed in the end, if it still runs."""
    port = free_port()
    environment = os.environ | desk.commands.environment | {"NPSFLOW_SECRET_NOTIFY_DESK": secret}
    environment["NPSFLOW_SESSION_MS"] = "1000"
    command = [sys.executable, "-m", "npsflow.agents.entry", "notify", name, "--port", str(port), "--send-backlog"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        running.port = port  # type: ignore[attr-defined]
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("when", ["sent", "answered"])
async def test_killed_between_sending_and_recording(desk: Desk, endpoint: Endpoint, when: str) -> None:
    """kill -9 as the message arrives, before the answer, and as soon as that is on its way."""
    world = World()
    world.respond(2)
    world.respond(2, name="r1", comment="Nobody called")
    await desk.publish(world.events)
    first, second = ids(world.events)
    with process(desk) as running:

        def kill(name: str) -> None:
            if when == "sent":
                running.kill()
            else:
                asyncio.get_running_loop().call_soon(running.kill)

        endpoint.on_take = kill
        await eventually(partial(_ended, running))
    assert endpoint.ids() == [first]
    latest = await desk.latest()
    assert latest[first].state == "waiting"
    endpoint.on_take = lambda _: None
    with process(desk):
        await eventually(partial(reached, desk, delivered=2))
    assert endpoint.ids() == [first, first, second]


async def test_killed_again_and_again_nothing_is_lost(desk: Desk, endpoint: Endpoint) -> None:
    """What is repeated is what was under way, under the same id; all else is told once."""
    world = World()
    for number in range(300):
        world.respond(number % 7, customer=f"C-{number}")
    names, kills = ids(world.events), 0
    await desk.publish(world.events[:100])
    for after in (20, 90, 150, 220):
        with process(desk) as running:

            def kill(_: str, running: Any = running, after: int = after) -> None:
                if len(endpoint.asked) >= after:
                    running.kill()

            endpoint.on_take = kill
            if kills:
                await desk.publish(world.events[50 + 50 * kills : 100 + 50 * kills])
            await eventually(partial(_ended, running))
            kills += 1
    endpoint.on_take = lambda _: None
    await desk.publish(world.events[250:])
    with process(desk):
        await eventually(partial(reached, desk, delivered=300))
    assert set(endpoint.ids()) == set(names)
    assert len(endpoint.ids()) <= 300 + kills * 16


async def test_frozen_beyond_its_session(desk: Desk, endpoint: Endpoint) -> None:
    """Another takes over. When it wakes up it sends nothing more, and what it says of messages counts no more."""
    endpoint.seconds = 0.02
    world = World()
    for number in range(400):
        world.respond(2, customer=f"C-{number}")
    for partition in range(4):
        await desk.publish(world.events[partition:200:4], partition)
    with process(desk) as running:

        def freeze(_: str) -> None:
            if len(endpoint.asked) == 100:
                running.send_signal(signal.SIGSTOP)

        endpoint.on_take = freeze
        await eventually(partial(_asked, endpoint, 100))
        async with desk.notifying(secret=endpoint.SECRET) as second:
            for partition in range(4):
                await desk.publish(world.events[200 + partition :: 4], partition)
            await eventually(partial(reached, desk, delivered=400))
            running.send_signal(signal.SIGCONT)
            await eventually(partial(_shares, second))
            await eventually(partial(reached, desk, delivered=400))
    repeated = [name for name, times in Counter(endpoint.asked).items() if times > 1]
    assert set(endpoint.ids()) == set(ids(world.events))
    assert len(repeated) <= 16, "more than can have been under way"


async def _asked(endpoint: Endpoint, count: int) -> bool:
    return len(endpoint.asked) >= count


async def _shares(running: Any) -> bool:
    """With another process, both topics."""
    return len(running.assignment()) == 4


async def _ended(running: subprocess.Popen[bytes]) -> bool:
    return running.poll() is not None


async def test_the_process(desk: Desk, endpoint: Endpoint) -> None:
    world = World()
    world.respond(2)
    await desk.publish(world.events)
    with process(desk) as running:
        await eventually(partial(reached, desk, delivered=1))
        async with aiohttp.ClientSession(f"http://127.0.0.1:{running.port}") as session:
            async with session.get("/health/live") as answer:
                assert await answer.json() == {"status": "live"}
            async with session.get("/health/ready") as answer:
                assert (answer.status, await answer.json()) == (200, {"status": "ready"})
            async with session.get("/metrics") as answer:
                text = await answer.text()
        running.send_signal(signal.SIGTERM)
        printed, _ = await asyncio.to_thread(running.communicate, timeout=SECONDS)
    assert running.returncode == 0, printed
    assert 'npsflow_notify_deliveries_total{notifier="desk",outcome="delivered"} 1.0' in text
    assert 'npsflow_notify_waiting{notifier="desk"} 0.0' in text
    assert endpoint.SECRET not in printed.decode()


async def test_the_console_needs_no_settings(broker: Broker, tmp_path: Path) -> None:
    async with Desk(broker, "notify-console.", tmp_path, 'kind = "console"') as desk:
        desk.commands.config.write_text("")
        world = World()
        world.respond(1, department="Support\x1b[31m", channel="phone")
        await desk.publish(world.events)
        with process(desk, "console") as running:
            await eventually(partial(reached, desk, delivered=1))
            running.send_signal(signal.SIGTERM)
            printed, _ = await asyncio.to_thread(running.communicate, timeout=SECONDS)
        text = printed.decode()
        assert "New case, critical: NPS 1, Support" in text
        assert "    Customer: C-1" in text
        assert "\x1b" not in text
        assert await desk.records(topics.DEAD_LETTERS) == []


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("desk", "", "there is no [notify.desk] in npsflow.toml; known: console"),
        ("desk", "[notify.desk]", "notify.desk: 'desk' is no kind; there are console, email, slack, slack_webhook, "),
        (
            "zendesk",
            '[notify.zendesk]\nkind = "slack_webhook"',
            "the secret of an incoming webhook of Slack is its URL",
        ),
        ("webhook", '[notify.webhook]\nto = { "*" = "https://example.com" }', "set NPSFLOW_SECRET_NOTIFY_WEBHOOK"),
        ("x", "[notify.x]\nsettle_seconds = 121", "notify.x.settle_seconds = 121 is not between 0 and 120"),
        ("x", "[notify.x]\nzone = 'Mars'", "notify.x: zone: 'Mars' is not a time zone"),
        ("x", "[notify.x]\ndigest = '25:00'", "notify.x: digest: '25:00' is no time of day"),
        ("x", "[notify.x]\nlanguage = 'tlh'", "notify.x: language: there are en, nl"),
        ("x", "[notify.x]\ntexts = { opend = '' }", "notify.x: texts: 'opend' is no event"),
        ("x", "[notify.x]\ntexts = { opened = '{who}' }", "notify.x: texts.opened: in braces may stand case, metric"),
        ("x", "[notify.x]\nper_second = 1001", "notify.x.per_second = 1001 is not between"),
        ("x", "[notify.replay]", "notify.replay: a name is made of a-z, 0-9 and -, and log, replay, try are taken"),
        ("x", "[notify.x]\nevents = ['opend']", "Invalid enum value 'opend'"),
        ("x", "[notify.x]\nkid = 'slack'", "notify.x: there is no key 'kid'; did you mean 'kind'?"),
    ],
)
def test_wrong_settings_are_explained(tmp_path: Path, name: str, settings: str, text: str) -> None:
    config = tmp_path / "npsflow.toml"
    config.write_text(settings)
    result = CliRunner().invoke(main, ["notify", name], env={"NPSFLOW_CONFIG": str(config)} | SECRETS)
    assert result.exit_code == 2, result.output
    assert text in result.stderr


MAIL = '[notify.email]\nto = { "*" = "%s" }\noptions = { host = "mail.example.com", sender = "%s"%s }'


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("webhook", "[notify.webhook]", 'notify.webhook: set to = { "*" = its URL }'),
        (
            "webhook",
            "[notify.webhook]\noptions = { intern = true }",
            "notify.webhook.options: there is no key 'intern'; did you mean 'internal'?",
        ),
        (
            "webhook",
            "[notify.webhook]\noptions = { internal = 'yes' }",
            "notify.webhook.options: internal: Expected `bool`, got `str`",
        ),
        ("console", "[notify.console]\noptions = { x = 1 }", "console.options: there is no key 'x'; it has none"),
        ("webhook", '[notify.webhook]\nto = { "*" = "http://example.com" }', "to: '*' is not allowed: only https "),
        ("webhook", '[notify.webhook]\nto = { "*" = "https://10.1.2.3/hook" }', "to: '*' is not allowed: the addre"),
        ("webhook", '[notify.webhook]\nto = { "*" = "C0SUPPORT" }', "notify.webhook.to: '*' is no URL"),
        ("webhook", '[notify.webhook]\nto = { "*" = "https://a.example:port/" }', "notify.webhook.to: '*' is no URL"),
        ("webhook", '[notify.webhook]\nto = { "*" = "https://" }', "notify.webhook.to: '*' is no URL"),
        (
            "webhook",
            '[notify.webhook]\nto = { "*" = "https://a.example", anna = "anna" }\noptions = { internal = true }',
            "notify.webhook.to: 'anna' is no URL",
        ),
        (
            "webhook",
            '[notify.webhook]\nto = { "*" = "ftp://a.example" }\noptions = { internal = true }',
            "notify.webhook.to: '*' is no URL",
        ),
        ("zendesk", "[notify.zendesk]", "notify.zendesk.options: the key 'url' is missing"),
        (
            "zendesk",
            '[notify.zendesk]\noptions = { url = "http://a.example.com", user = "u" }',
            "notify.zendesk.options: url is not https: the secret would go in the clear",
        ),
        (
            "slack",
            '[notify.slack]\nto = { "*" = "C1" }\noptions = { api = "slack.com" }',
            "notify.slack.options: api is not https: the secret would go in the clear",
        ),
        ("email", MAIL % ("team@example.com", "npsflow", ""), "notify.email.options: sender is no e-mail address"),
        ("email", MAIL % ("two words", "a@example.com", ""), "notify.email.to: '*' is no e-mail address"),
        ("email", MAIL % ("team", "a@example.com", ""), "notify.email.to: '*' is no e-mail address"),
    ],
)
def test_options_and_addresses_are_checked(tmp_path: Path, name: str, settings: str, text: str) -> None:
    """Before anything is sent, and by `check` without the secret."""
    config = tmp_path / "npsflow.toml"
    config.write_text(settings)
    environment = {"NPSFLOW_CONFIG": str(config), "NPSFLOW_BROKERS": "127.0.0.1:1"}
    started = CliRunner().invoke(main, ["notify", name], env=environment)
    assert (started.exit_code, text in started.stderr) == (2, True), started.output
    checked = CliRunner().invoke(main, ["check"], env=environment)
    assert (checked.exit_code, text in checked.output) == (1, True), checked.output
    assert checked.output.startswith("fail  settings: notify.")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    config = tmp_path / "npsflow.toml"
    config.write_text(MAIL % ("team@example.com", "a@example.com", ', ca = "/nowhere.pem"'))
    result = CliRunner().invoke(main, ["notify", "email"], env={"NPSFLOW_CONFIG": str(config)} | SECRETS)
    assert result.exit_code == 2, result.output
    assert "notify.email: options.ca cannot be read: FileNotFoundError" in result.stderr


@pytest.mark.parametrize(
    "secret",
    ["abc", "whsec_", "whsec_abc", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_" + "YWFh" * 22,
     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw abc"],
)  # fmt: skip
def test_a_webhook_has_a_secret_of_the_specification(tmp_path: Path, secret: str) -> None:
    config = tmp_path / "npsflow.toml"
    config.write_text('[notify.webhook]\nto = { "*" = "https://a.example" }')
    environment = {"NPSFLOW_CONFIG": str(config), "NPSFLOW_SECRET_NOTIFY_WEBHOOK": secret} | SECRETS
    result = CliRunner().invoke(main, ["notify", "webhook"], env=environment)
    assert result.exit_code == 2, result.output
    assert "NPSFLOW_SECRET_NOTIFY_WEBHOOK has to be whsec_ and base64 of 24 to 64 bytes" in result.stderr
    assert "openssl rand -base64 32" in result.stderr
    assert all(part not in result.stderr for part in secret.split() if part not in ("whsec_", "abc"))
    assert "abc" not in result.stderr
