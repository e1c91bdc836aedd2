"""Every kind conforms; adding one is a file."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from npsflow.agents.notify import kinds
from npsflow.agents.notify.kind import Delivered, Rejected
from npsflow.schemas.errors import SettingsError

from . import mail, slack, zendesk
from .conformance import Case, Conformance, events
from .ends import End, Endpoint, Got


@asynccontextmanager
async def a_webhook(folder: Path) -> AsyncIterator[Case]:
    end = Endpoint()
    async with end.running() as url:
        yield Case(
            "webhook",
            f'to = {{ "*" = "{url}" }}\noptions = {{ internal = true }}',
            end.SECRET,
            end,
            threads=False,
            for_people=False,
        )


@asynccontextmanager
async def a_slack(folder: Path) -> AsyncIterator[Case]:
    end = slack.SlackApi()
    async with end.running() as url:
        yield Case("slack", f'to = {{ "*" = "C0ALL" }}\noptions = {{ api = "{url}" }}', slack.TOKEN, end)


@asynccontextmanager
async def a_slack_webhook(folder: Path) -> AsyncIterator[Case]:
    end = slack.SlackApi()
    async with end.running() as url:
        base = url.removesuffix("/api/")
        yield Case(
            "slack_webhook", "", base + slack.INCOMING, end, threads=False, other_secret=f"{base}/services/T0/B0/other"
        )


@asynccontextmanager
async def a_zendesk(folder: Path) -> AsyncIterator[Case]:
    end = zendesk.ZendeskApi()
    async with end.running() as url:
        yield Case("zendesk", f'options = {{ url = "{url}", user = "{zendesk.USER}" }}', zendesk.TOKEN, end)


@asynccontextmanager
async def an_email(folder: Path) -> AsyncIterator[Case]:
    end = mail.Mail(folder)
    async with end.running() as port:
        options = (
            f'host = "localhost", port = {port}, sender = "npsflow@example.com", user = "{mail.USER}", ca = "{end.ca}"'
        )
        yield Case("email", f'to = {{ "*" = "team@example.com" }}\noptions = {{ {options} }}', mail.PASSWORD, end)


class Screen(End):
    """What stands on it."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__()
        self._capsys, self._output = capsys, ""

    def __getattribute__(self, name: str) -> object:
        if name == "received":
            self._output += self._capsys.readouterr().out
            return [Got("", self._output)]
        return super().__getattribute__(name)


ENDS: dict[str, Callable[[Path], AbstractAsyncContextManager[Case]]] = {
    "email": an_email, "slack": a_slack, "slack_webhook": a_slack_webhook, "webhook": a_webhook, "zendesk": a_zendesk,
}  # fmt: skip

CHECKS = (
    Conformance.delivers,
    Conformance.lets_through_only_what_it_may,
    Conformance.names_who_else_is_informed,
    Conformance.shows_words_as_they_are,
    Conformance.takes_huge_events,
    Conformance.takes_a_digest,
    Conformance.reports_the_result,
    Conformance.is_refused_with_another_secret,
)


def test_every_kind_has_an_end() -> None:
    assert kinds.names() == sorted([*ENDS, "console"])


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(ENDS))
async def test_kind_conforms(name: str, check: Callable[[Conformance], object], tmp_path: Path) -> None:
    async with ENDS[name](tmp_path) as case:
        await check(Conformance(case))  # type: ignore[misc]


@pytest.mark.parametrize("name", sorted(ENDS))
async def test_nobody_is_there(name: str, tmp_path: Path) -> None:
    async with ENDS[name](tmp_path) as case:
        pass
    await Conformance(case).nobody_is_there()


@pytest.mark.parametrize("check", CHECKS[1:6], ids=lambda check: check.__name__)
async def test_the_console_conforms(check: Callable[[Conformance], object], capsys: pytest.CaptureFixture[str]) -> None:
    """As far as it can: it has no ids, and always takes what it gets."""
    await check(Conformance(Case("console", "", "no secret", Screen(capsys), threads=False)))  # type: ignore[misc]


NEWCOMER = '''"""Appends titles to the file of a team."""

from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from npsflow.agents.notify.kind import Delivered, Kind, Rejected


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    folder: str


class Files:
    def __init__(self, folder, secret):
        self.folder, self.secret = Path(folder), secret

    async def send(self, message):
        file = self.folder / message.to
        if not file.exists():
            return Rejected("there is no such file")
        with file.open("a") as out:
            out.write(f"{self.secret}: {message.title}\\n")
        return Delivered(message.id)


@asynccontextmanager
async def _open(options, secrets):
    yield Files(options.folder, secrets[0])


KIND = Kind(Options, _open, secret="a password", address="the name of a file")
'''


async def test_a_kind_is_added_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With options, a secret and addresses of its own, and nothing said of it anywhere else."""
    (tmp_path / "newcomer.py").write_text(NEWCOMER)
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    assert "newcomer" in kinds.names()
    (tmp_path / "team").touch()
    settings = f'to = {{ "*" = "team", anna = "anna" }}\noptions = {{ folder = "{tmp_path}" }}'
    case = Case("newcomer", settings, "xyz", End())
    message = Conformance(case).message(events()[0])
    async with case.sending() as sender:
        assert await sender.send(message) == Delivered(message.id)
        assert await sender.send(replace(message, to="anna")) == Rejected("there is no such file")
    assert (tmp_path / "team").read_text() == f"xyz: {message.title}\n"
    _, options = settings.splitlines()
    for broken, secret, problem in (
        (settings.replace("folder", "foldr"), "xyz", "did you mean 'folder'"),
        (options, "xyz", "= the name of a file"),
        (settings, "", "to a password"),
    ):
        case.settings = broken
        with pytest.raises(SettingsError, match=problem):
            async with case.sending(secret):
                pass
