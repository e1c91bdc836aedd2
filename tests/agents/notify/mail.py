"""A mail server on loopback, by aiosmtpd: STARTTLS before anything else, then a login."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from .ends import End, Got

USER, PASSWORD = "npsflow", "a-password-of-the-test"


class Mail(End):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        authority = trustme.CA()
        self.ca = folder / "mail-ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._tls)

    def _login(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        fits = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=fits and (not self.behaviour or self.behaviour[0] != "locked"), handled=False)

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, sender: str, options: Any) -> str:
        if not sender.endswith("@example.com"):
            return "553 we do not send for this sender"
        envelope.mail_from = sender
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, to: str, options: Any) -> str:
        if not to.endswith("@example.com"):
            return "550 no such user here"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert session.ssl is not None
        assert session.authenticated
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
    async def running(self) -> AsyncIterator[int]:
        loop = asyncio.get_running_loop()

        def make() -> SMTP:
            return SMTP(
                self, tls_context=self._tls, require_starttls=True, auth_required=True, authenticator=self._login,
                hostname="localhost", loop=loop,
            )  # fmt: skip

        server = await loop.create_server(make, "127.0.0.1", 0)
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
