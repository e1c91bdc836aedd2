"""E-mail by SMTP: STARTTLS, plain text and HTML, one thread for each case.

Sources: RFC 5321 (replies), RFC 3207 (STARTTLS), RFC 5322 3.6.4 (Message-ID, References).
"""

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from typing import Any

import aiosmtplib
from msgspec import Struct

from npsflow.agents.notify.kind import SEND_SECONDS, Delivered, Kind, Rejected, Result, RetryLater, Unconfirmed
from npsflow.schemas.errors import SettingsError
from npsflow.streams.notify.message import Message

log = logging.getLogger(__name__)

_REFUSES_US = (aiosmtplib.SMTPConnectResponseError, aiosmtplib.SMTPHeloError, aiosmtplib.SMTPSenderRefused)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LOGIN_REFUSED = (454, 530, 534, 535, 538)
_CLOSED = 60.0  # seconds to wait after it refused us
_MAX_SUBJECT = 150


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """The mail server. `starttls` false sends everything, the login too, in the clear.

    `sender`: the From address. `user`: who logs in; the password is the secret. `ca`: PEM file of the authority that
    signed the server's certificate, if the system does not know it.
    """

    host: str
    sender: str
    port: int = 587
    starttls: bool = True
    user: str = ""
    ca: str = ""

    def __post_init__(self) -> None:
        if _domain(self.sender) is None:
            raise ValueError("sender is no e-mail address")


class _Client(aiosmtplib.SMTP):
    """Sends nothing if the server refuses the recipient; goes on if it refuses a copy."""

    copies: tuple[str, ...] = ()

    async def rcpt(self, recipient: str, *args: Any, **kwargs: Any) -> aiosmtplib.SMTPResponse:
        """Raises SMTPResponseException for the recipient, SMTPRecipientRefused for a copy."""
        try:
            return await super().rcpt(recipient, *args, **kwargs)
        except aiosmtplib.SMTPRecipientRefused as error:
            if recipient not in self.copies:
                raise aiosmtplib.SMTPResponseException(error.code, "") from None
            log.warning("a copy is refused", extra={"code": error.code})
            raise


class Email:
    """A connection for each message: they are few, and servers close idle ones."""

    def __init__(self, options: Options, password: str) -> None:
        self._options, self._password = options, password
        self._tls = ssl.create_default_context(cafile=options.ca or None)
        self._domain = _domain(options.sender)

    async def send(self, message: Message) -> Result:
        """Hand it over to the server."""
        try:
            return await self._hand_over(self._mail(message))
        except (ValueError, IndexError):  # what libraries raise of addresses that are none
            return RetryLater("its address is none")

    async def _hand_over(self, mail: EmailMessage) -> Result:
        options = self._options
        client = _Client(
            hostname=options.host, port=options.port, start_tls=options.starttls, tls_context=self._tls,
            timeout=SEND_SECONDS / 2,
        )  # fmt: skip
        client.copies = tuple(copy.addr_spec for copy in mail["Cc"].addresses) if mail["Cc"] else ()
        handed_over = False
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await client.connect()
                if options.user:
                    await client.login(options.user, self._password)
                handed_over = True
                await client.send_message(mail)
        except _REFUSES_US as error:
            return RetryLater(f"it refuses us or our sender ({error.code})", _CLOSED, pause_all=True)
        except aiosmtplib.SMTPResponseException as error:
            return _refused(error.code)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            why = type(error).__name__
            if handed_over:
                return Unconfirmed(f"it gives no answer: {why}")
            return RetryLater(f"it cannot be reached: {why}")
        finally:
            client.close()
        return Delivered(str(mail["Message-ID"]))

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        mail["From"] = self._options.sender
        mail["To"] = message.to
        if message.cc:
            mail["Cc"] = ", ".join(message.cc)
        mail["Subject"] = message.title[:_MAX_SUBJECT]
        mail["Date"] = format_datetime(datetime.now(UTC))
        mail["Message-ID"] = f"<{_UNSAFE.sub('-', message.id)}@{self._domain}>"
        if message.thread:
            mail["In-Reply-To"] = message.thread
            mail["References"] = message.thread
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer by a machine
        if message.severity == "critical":
            mail["Importance"] = "high"
        mail.set_content(message.text())
        mail.add_alternative(_html(message), subtype="html")
        return mail


def _refused(code: int) -> Result:
    """The result of a reply: 4xx is transient, 5xx is not, and a refused login pauses all."""
    if code in _LOGIN_REFUSED:
        return RetryLater(f"it refuses our login ({code})", _CLOSED, pause_all=True)
    if code == 421:
        return RetryLater("it is not available (421)", _CLOSED, pause_all=True)
    return Rejected(f"it answers {code}") if code >= 500 else RetryLater(f"it answers {code}")


def _html(message: Message) -> str:
    rows = "".join(
        f"<tr><th align='left' valign='top'>{escape(label)}</th><td>{escape(value)}</td></tr>"
        for label, value in message.facts
    )
    parts = [f"<p><strong>{escape(message.title)}</strong></p>"]
    if rows:
        parts.append(f"<table cellpadding='3'>{rows}</table>")
    if message.quote:
        parts.append(f"<blockquote>{'<br>'.join(map(escape, message.quote.splitlines()))}</blockquote>")
    for section in message.sections:
        lines = "".join(f"<li>{escape(line)}</li>" for line in section.lines)
        parts.append(f"<h3>{escape(section.heading)}</h3><ul>{lines}</ul>")
    return f"<!doctype html><html><body>{''.join(parts)}</body></html>"


@asynccontextmanager
async def _open(options: Options, secrets: Sequence[str]) -> AsyncIterator[Email]:
    if options.user and not secrets:
        raise SettingsError("options.user has no password in NPSFLOW_SECRET_NOTIFY_*")
    try:
        email = Email(options, secrets[0] if secrets else "")
    except OSError as error:  # ssl.SSLError is one, too
        raise SettingsError(f"options.ca cannot be read: {type(error).__name__}") from None
    yield email


def _domain(address: str) -> str | None:
    """The domain of an e-mail address without a name; None if it is no address."""
    try:
        return Address(addr_spec=address).domain or None
    except (ValueError, IndexError):  # what the library raises of addresses that are none
        return None


def _address_problem(_: Options, address: str) -> str:
    """One address or several, each with or without a name before it."""
    try:
        mail = EmailMessage(policy=SMTP)
        mail["To"] = address
        found, defects = mail["To"].addresses, mail["To"].defects
    except (ValueError, IndexError):
        return "is no e-mail address"
    return "" if found and not defects and all(item.domain for item in found) else "is no e-mail address"


KIND = Kind(
    Options,
    _open,
    "the password of `options.user`",
    secret_optional=True,
    address="an e-mail address",
    address_problem=_address_problem,
)
