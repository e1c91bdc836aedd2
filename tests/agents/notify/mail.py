"""A mail server on loopback, by aiosmtpd: STARTTLS before anything else, then a login."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from .ends import End, Got

USER, PASSWORD, TOKEN = "npsflow", "a-password-of-the-test", "ya29.a-token-of-the-test"
Tls = Literal["starttls", "always", "none"]


class Mail(End):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        authority = trustme.CA()
        self.ca = folder / "mail-ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._tls)
        self.replies: dict[str, str] = {}
        """What it answers in place of what fits, by the command."""
        self.hellos: list[str] = []
        self.senders: list[str] = []

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, name: str, responses: list[str]
    ) -> list[str]:
        self.hellos.append(name)
        session.host_name = name
        return [self.replies["EHLO"]] if "EHLO" in self.replies else responses

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        given = base64.b64decode(args[1]).decode()
        fits = given == f"user={USER}\1auth=Bearer {TOKEN}\1\1"
        return AuthResult(success=fits, handled=False, auth_data=LoginPassword(b"", b""))

    def _login(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        fits = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=fits and (not self.behaviour or self.behaviour[0] != "locked"), handled=False)

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, sender: str, options: Any) -> str:
        if "MAIL" in self.replies:
            return self.replies["MAIL"]
        self.senders.append(sender)
        if not sender.endswith(("@example.com", "@xn--bcher-kva.example")):
            return "553 we do not send for this sender"
        envelope.mail_from = sender
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, to: str, options: Any) -> str:
        if "RCPT" in self.replies:
            return self.replies["RCPT"]
        if not to.endswith(("@example.com", "@xn--bcher-kva.example")):
            return "550 no such user here"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if "DATA" in self.replies:
            return self.replies["DATA"]
        how = self.how()
        match how:
            case "later":
                return "451 4.7.1 too much, come back later"
            case "busy":
                return "452 4.3.1 no room just now"
            case "broken":
                return "554 5.7.1 it looks like spam"
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=default)
        assert isinstance(mail, EmailMessage)
        if any(len(line) > 998 for line in content.split(b"\r\n")):
            self.complaints.append("a line is too long")
        mail["X-RcptTo"] = ", ".join(map(str, envelope.rcpt_tos))
        text, html = _body(mail, "plain"), _body(mail, "html")
        shown = f"{mail['Subject']}\n{text}\n{_Shown.of(html)}"
        thread, name = str(mail["In-Reply-To"] or ""), str(mail["Message-ID"])
        self.received.append(Got(name, shown, mail, str(mail["To"]), thread, name))
        if how == "silent":
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 OK"

    @asynccontextmanager
    async def running(self, tls: Tls = "starttls", *, smtputf8: bool = True) -> AsyncIterator[int]:
        """It takes mail only after TLS and a login; with `tls` none, without either."""
        loop = asyncio.get_running_loop()

        def make() -> SMTP:
            return SMTP(
                self, tls_context=self._tls if tls == "starttls" else None, require_starttls=tls == "starttls",
                auth_required=tls == "starttls", auth_require_tls=tls != "always", authenticator=self._login,
                hostname="localhost", loop=loop, enable_SMTPUTF8=smtputf8,
            )  # fmt: skip

        server = await loop.create_server(make, "127.0.0.1", 0, ssl=self._tls if tls == "always" else None)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await server.wait_closed()


def _body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    content = part.get_content()
    assert isinstance(content, str)
    return content


class _Shown(HTMLParser):
    """The text of a page, and a complaint about any element that we do not use."""

    _OURS = frozenset(
        ["html", "body", "p", "strong", "table", "tbody", "tr", "th", "td", "blockquote", "br", "h3", "ul", "li"]
    )

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []

    @classmethod
    def of(cls, html: str) -> str:
        parser = cls()
        parser.feed(html)
        return "\n".join(parser.text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag in self._OURS, tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
