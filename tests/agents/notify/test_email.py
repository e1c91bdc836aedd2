"""Mail: how it reaches a server, and what the replies of servers mean."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.headerregistry import BaseHeader
from pathlib import Path

import pytest

from npsflow.agents.notify.kind import Concern, Delivered, Rejected, Result, RetryLater, Unavailable
from npsflow.agents.notify.kinds.email import Options, _mailboxes
from npsflow.agents.notify.smtp_replies import Stage, result_of

from . import mail
from .conformance import Case, Conformance, events

_HELLO = "<3f2a9c1b7d40>: Helo command rejected: need fully-qualified hostname"
_BLOCKED = "Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org"


@pytest.mark.parametrize(
    ("stage", "code", "words", "cure"),
    [
        ("recipient", 504, f"5.5.2 {_HELLO}", "options.hello"),
        ("recipient", 501, "HELO requires a valid host name", "options.hello"),
        ("recipient", 450, "4.7.1 Client host rejected: cannot find your hostname", "options.hello"),
        ("hello", 550, "access denied", "options.hello"),
        ("hello", 421, "4.7.0 Try again later, closing connection. (EHLO)", "options.hello"),
        ("recipient", 554, "5.7.1 <team@example.com>: Relay access denied", "options.user"),
        ("recipient", 550, "relay not permitted", "options.user"),
        ("recipient", 553, "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", "options.user"),
        ("recipient", 550, "5.7.1 " + _BLOCKED, "ask its operator"),
        ("recipient", 554, _BLOCKED, "ask its operator"),
        ("recipient", 550, "5.7.606 Access denied, banned sending IP [192.0.2.7]", "ask its operator"),
        ("connect", 554, _BLOCKED, "ask its operator"),
        ("login", 535, "5.7.8 Username and Password not accepted", "options.user and the password"),
        ("login", 550, "5.7.30 Basic authentication is not supported", "options.user and the password"),
        ("login", 535, "5.7.139 SmtpClientAuthentication is disabled for the Tenant", "options.user"),
        ("recipient", 530, "5.7.57 Client was not authenticated to send mail", "options.user and the password"),
        ("sender", 530, "5.7.0 Authentication Required", "options.user and the password"),
        ("recipient", 550, "Authentication required", "options.user and the password"),
        ("sender", 553, "5.7.1 <a@example.net>: Sender address rejected: not owned by user", "options.sender"),
        ("recipient", 550, "5.7.60 Client does not have permissions to send as this sender", "options.sender"),
        ("data", 554, "5.2.252 SendAsDenied; a@example.com not allowed to send as b@example.com", "options.sender"),
        ("data", 550, "5.7.60 Client does not have permissions to send as this sender", "options.sender"),
        ("data", 550, "5.7.26 Unauthenticated email is not accepted due to domain's DMARC policy", "options.sender"),
        ("recipient", 550, "5.1.8 Access denied, bad outbound sender", "options.sender"),
        ("recipient", 550, "5.4.5 Daily user sending limit exceeded", "too much"),
        ("recipient", 452, "4.5.3 Too many recipients", "too much"),
        ("data", 421, "4.7.0 Our system has detected an unusual rate of mail", "too much"),
        ("tls", 454, "4.7.0 TLS not available", ""),
        ("recipient", 451, "4.3.0 Temporary system problem", ""),
    ],
)  # fmt: skip
def test_what_is_about_us_holds_all_up_and_names_the_cure(stage: Stage, code: int, words: str, cure: str) -> None:
    """No message is blamed for it, so none is given up."""
    result = result_of(stage, code, words)
    assert isinstance(result, Unavailable), result
    assert result.concerns == "receiver"
    assert cure in result.reason
    assert str(code) in result.reason
    assert "team@example.com" not in result.reason
    assert "192.0.2.7" not in result.reason
    assert result.words == f"{code} {words}"


@pytest.mark.parametrize(
    ("stage", "code", "words", "concerns"),
    [
        ("recipient", 452, "4.2.2 The email account that you tried to reach is over quota", "address"),
        ("recipient", 550, "5.2.2 mailbox full", "address"),
        ("recipient", 450, "4.2.0 <a@example.com>: Recipient address rejected: Greylisted", "address"),
        ("recipient", 550, "5.4.1 Recipient address rejected: Access denied", "address"),
        ("recipient", 550, "5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required", "address"),
        ("data", 452, "4.3.1 no room just now", "receiver"),
        ("data", 554, "5.7.1 it looks like spam", "receiver"),
    ],
)  # fmt: skip
def test_what_may_pass_is_a_try_and_holds_up_only_whom_it_concerns(
    stage: Stage, code: int, words: str, concerns: Concern
) -> None:
    result = result_of(stage, code, words)
    counted = isinstance(result, RetryLater)
    assert isinstance(result, RetryLater | Unavailable)
    assert result.concerns == concerns
    assert counted


@pytest.mark.parametrize(
    ("stage", "code", "words"),
    [
        ("recipient", 550, "no such user here"), ("recipient", 550, "5.1.1 User unknown"),
        ("recipient", 551, "User not local"), ("data", 552, "5.3.4 Message too big"),
        ("data", 550, "5.6.0 bad content"),
        ("sender", 552, "5.3.4 Message size exceeds fixed limit"),
    ],
)  # fmt: skip
def test_what_no_other_try_would_help_is_given_up(stage: Stage, code: int, words: str) -> None:
    assert isinstance(result_of(stage, code, words), Rejected)


@asynccontextmanager
async def a_mail_server(folder: Path, tls: mail.Tls = "none", more: str = "", **how: bool) -> AsyncIterator[Case]:
    end = mail.Mail(folder)
    async with end.running(tls, **how) as port:
        user = "" if tls == "none" else f', user = "{mail.USER}", ca = "{end.ca}"'
        sender = "" if "sender" in more else ', sender = "Team NPS <npsflow@example.com>"'
        options = f'host = "localhost", port = {port}{sender}{user}{more}'
        yield Case("email", f'to = {{ "*" = "team@example.com" }}\noptions = {{ {options} }}', mail.PASSWORD, end)


async def _sent(case: Case, secret: str | None = None, to: str = "team@example.com") -> Result:
    async with case.sending(secret) as sender:
        return await sender.send(replace(Conformance(case).message(events()[0]), to=to))


@pytest.mark.parametrize(("more", "name"), [("", "example.com"), (', hello = "mail.example.org"', "mail.example.org")])
async def test_our_name_in_ehlo(tmp_path: Path, more: str, name: str) -> None:
    async with a_mail_server(tmp_path, more=", starttls = false" + more) as case:
        assert isinstance(await _sent(case), Delivered)
        assert isinstance(case.end, mail.Mail)
        assert set(case.end.hellos) == {name}
        (got,) = case.end.received
        assert str(got.data["From"]) == "Team NPS <npsflow@example.com>"
        assert case.end.senders == ["npsflow@example.com"]


async def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    async with a_mail_server(tmp_path, "always", ", tls = true") as case:
        assert isinstance(await _sent(case), Delivered)


def test_the_port_tells_which_tls() -> None:
    sender = "a@example.com"
    assert (Options("h", sender).port_used, Options("h", sender).implicit_tls) == (587, False)
    assert Options("h", sender, port=465).implicit_tls
    assert Options("h", sender, tls=True).port_used == 465
    assert not Options("h", sender, port=465, tls=False).implicit_tls


@pytest.mark.parametrize("from_file", [False, True])
async def test_xoauth2(tmp_path: Path, from_file: bool) -> None:
    (tmp_path / "token").write_text(mail.TOKEN + "\n")
    secret = f"@{tmp_path / 'token'}" if from_file else mail.TOKEN
    async with a_mail_server(tmp_path, "starttls", ', auth = "xoauth2"') as case:
        assert isinstance(await _sent(case, secret), Delivered)
        refused = await _sent(case, "another")
        assert isinstance(refused, Unavailable)
        assert "it refuses our login" in refused.reason


@pytest.mark.parametrize(
    ("tls", "more", "why"),
    [
        ("none", "", "it offers no STARTTLS: set `starttls = false`"),
        ("none", ", tls = true", "it speaks no TLS there"),
        ("none", ', starttls = false, user = "npsflow"', "it offers no login"),
        ("starttls", ', ca = ""', "its certificate is not trusted"),
        ("always", ', ca = "", tls = true', "its certificate is not trusted"),
    ],
)
async def test_it_says_why_it_cannot_work(tmp_path: Path, tls: mail.Tls, more: str, why: str) -> None:
    """Whatever it is, no message is to blame."""
    async with a_mail_server(tmp_path, tls, more) as case:
        if "ca =" in more:
            case.settings = case.settings.replace(f', ca = "{case.end.ca}"', "", 1)  # type: ignore[attr-defined]
        result = await _sent(case)
        assert isinstance(result, Unavailable), result
        assert why in result.reason
        assert case.end.received == []


@pytest.mark.parametrize("command", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_server_that_blocks_us_is_about_us_wherever_it_says_so(tmp_path: Path, command: str) -> None:
    async with a_mail_server(tmp_path, more=", starttls = false") as case:
        assert isinstance(case.end, mail.Mail)
        case.end.replies[command] = f"550 5.7.606 {_BLOCKED}"
        result = await _sent(case)
        assert isinstance(result, Unavailable), result
        assert result.concerns == "receiver"
        case.end.replies.clear()
        assert isinstance(await _sent(case), Delivered)


async def test_internationalised_domains_and_local_parts(tmp_path: Path) -> None:
    more = ', starttls = false, sender = "Büro <nps@bücher.example>"'
    async with a_mail_server(tmp_path, more=more) as case:
        assert isinstance(case.end, mail.Mail)
        assert isinstance(await _sent(case, to="Zoë & co <team@bücher.example>"), Delivered)
        assert isinstance(await _sent(case, to="jörg@bücher.example"), Delivered)
        first, second = case.end.received
        assert first.data["X-RcptTo"] == "team@xn--bcher-kva.example"
        assert second.data["X-RcptTo"] == "jörg@xn--bcher-kva.example"
        assert str(first.data["From"]) == "Büro <nps@xn--bcher-kva.example>"
        assert set(case.end.hellos) == {"xn--bcher-kva.example"}
    async with a_mail_server(tmp_path, more=more, smtputf8=False) as case:
        assert isinstance(await _sent(case, to="team@bücher.example"), Delivered)
        result = await _sent(case, to="jörg@bücher.example")
        assert isinstance(result, Unavailable)
        assert (result.concerns, "SMTPUTF8" in result.reason) == ("address", True)


@pytest.mark.parametrize("text", ["", "team", "a@b@c", "a@example.com, nobody", "a@example.com\r\nBcc: b@example.com"])
def test_texts_that_hold_no_mailbox(text: str) -> None:
    assert _mailboxes(text) == []


async def test_mails_leave_nothing_behind(tmp_path: Path) -> None:
    """What only a full collection of garbage finds waits for it a long time: 75 kB for each mail."""
    async with a_mail_server(tmp_path, more=", starttls = false") as case, case.sending() as sender:
        assert isinstance(case.end, mail.Mail)
        case.end.replies["DATA"] = "250 OK"  # unread: the library would make classes for the server
        message = Conformance(case).message(events()[0])
        assert isinstance(await sender.send(message), Delivered)  # some things are made once
        before = _header_classes()
        gc.disable()
        try:
            for number in range(5):
                assert isinstance(await sender.send(replace(message, id=f"c-{number}.1")), Delivered)
            assert _header_classes() == before
        finally:
            gc.enable()


def _header_classes() -> int:
    return sum(isinstance(one, type) and issubclass(one, BaseHeader) for one in gc.get_objects())
