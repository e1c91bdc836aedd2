"""E-mail by SMTP: with STARTTLS or TLS, as plain text and HTML, one thread for each case.

Sources: RFC 5321 4.1.1.1 (EHLO), RFC 3207 (STARTTLS), RFC 8314 (TLS), RFC 5322 3.6.4 (Message-ID, References), RFC 6531
(SMTPUTF8); developers.google.com and learn.microsoft.com (XOAUTH2).
"""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from email.errors import NonASCIILocalPartDefect
from email.headerregistry import Address, HeaderRegistry
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

import aiohttp
import aiosmtplib
from msgspec import Struct
from yarl import URL

from npsflow.agents.notify.http import in_words
from npsflow.agents.notify.kind import SEND_SECONDS, Delivered, Kind, Result, Unavailable, Unconfirmed
from npsflow.agents.notify.oauth import AccessTokens, Client
from npsflow.agents.notify.smtp_replies import Stage, result_of
from npsflow.agents.notify.ssrf_guard import expect_tls
from npsflow.schemas.errors import SettingsError
from npsflow.streams.notify.message import Message

log = logging.getLogger(__name__)

_STAGES: tuple[tuple[type[aiosmtplib.SMTPException], Stage], ...] = (
    (aiosmtplib.SMTPConnectResponseError, "connect"),
    (aiosmtplib.SMTPHeloError, "hello"),
    (aiosmtplib.SMTPAuthenticationError, "login"),
    (aiosmtplib.SMTPSenderRefused, "sender"),
    (aiosmtplib.SMTPRecipientRefused, "recipient"),
    (aiosmtplib.SMTPDataError, "data"),
    (aiosmtplib.SMTPResponseException, "tls"),
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_CLOSED = 60.0  # seconds to wait at least where only somebody's work helps
_NOT_KNOWN = (500, 502)  # a command
_QUIT_SECONDS = 2.0
_MAX_SUBJECT = 150
_IMPLICIT_TLS = 465  # RFC 8314


class _Headers(HeaderRegistry):
    """Makes the class of a header once. The library makes one for every header of every mail: hundreds of megabytes in
    cycles, which wait for a full collection of garbage."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[str, type] = {}

    def __getitem__(self, name: str) -> type:
        """The class of a header, whatever the case of its name."""
        key = name.lower()
        if key not in self._made:
            self._made[key] = super().__getitem__(name)
        return self._made[key]


_POLICY = SMTP.clone(header_factory=_Headers())
_ANY_LETTERS = _POLICY.clone(utf8=True)


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """The mail server. `starttls` false sends everything, the login too, in the clear.

    `sender`: the From address, with or without a name. `port`: 587, and 465 with `tls`. `tls`: TLS from the first byte;
    without it the port decides. `user`: who logs in; the secret is the password, or with `auth` xoauth2 an access token
    or `@FILE`, which is read before each login. With `token_url` it is the secret of `client_id`, which gets tokens for
    `scope` there: for itself, or by what the file `refresh_token` holds. `hello`: our name in EHLO, the domain of
    `sender` if empty. `ca`: PEM file of the authority that signed the server's certificate, if the system does not know
    it.
    """

    host: str
    sender: str
    port: int | None = None
    starttls: bool = True
    tls: bool | None = None
    user: str = ""
    auth: Literal["password", "xoauth2"] = "password"
    token_url: str = ""
    client_id: str = ""
    scope: str = ""
    refresh_token: str = ""
    hello: str = ""
    ca: str = ""

    def __post_init__(self) -> None:
        if len(_mailboxes(self.sender)) != 1:
            raise ValueError("sender is no e-mail address")
        if self.hello and not re.fullmatch(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f.:IPv]+\]", self.hello):
            raise ValueError("hello is no name of a host")
        if self.auth == "xoauth2" and not self.user:
            raise ValueError("auth: xoauth2 needs a user")
        if self.token_url and not (self.auth == "xoauth2" and self.client_id):
            raise ValueError('token_url needs auth = "xoauth2" and a client_id')
        if (self.client_id or self.scope or self.refresh_token) and not self.token_url:
            raise ValueError("client_id, scope and refresh_token are for a token_url")

    @property
    def implicit_tls(self) -> bool:
        """Whether TLS begins with the first byte."""
        return self.port == _IMPLICIT_TLS if self.tls is None else self.tls

    @property
    def port_used(self) -> int:
        """The port, also where none is set."""
        return self.port or (_IMPLICIT_TLS if self.implicit_tls else 587)


class _Client(aiosmtplib.SMTP):
    """Sends nothing if the server refuses the recipient; goes on if it refuses a copy."""

    copies: tuple[str, ...] = ()

    async def rcpt(self, recipient: str, *args: Any, **kwargs: Any) -> aiosmtplib.SMTPResponse:
        """Raises _Refused for the recipient, SMTPRecipientRefused for a copy."""
        try:
            return await super().rcpt(recipient, *args, **kwargs)
        except aiosmtplib.SMTPRecipientRefused as error:
            if recipient not in self.copies:
                raise _Refused(result_of("recipient", error.code, error.message)) from None
            log.warning("a copy is refused", extra={"code": error.code})
            raise


class _Refused(Exception):
    """The server does not do what we need."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


class Email:
    """A connection for each message: they are few, and servers close idle ones."""

    def __init__(self, options: Options, secret: str, tokens: AccessTokens | None = None) -> None:
        self._options, self._secret, self._tokens = options, secret, tokens
        self._tls = ssl.create_default_context(cafile=options.ca or None)
        (self._sender,) = _mailboxes(options.sender)
        self._host = _ascii(options.host)

    def receiver(self, _: str) -> str:
        """The server."""
        return f"{self._options.host}:{self._options.port_used}"

    async def send(self, message: Message) -> Result:
        """Hand it over to the server."""
        try:
            mail = self._mail(message)
        except (ValueError, IndexError):  # what libraries raise of addresses that are none
            return Unavailable("its address is none: mend it in `to`", concerns="address")
        options = self._options
        client = _Client(
            hostname=self._host, port=options.port_used, use_tls=options.implicit_tls, start_tls=False,
            tls_context=self._tls, local_hostname=options.hello or self._sender.domain, timeout=SEND_SECONDS / 2,
        )  # fmt: skip
        client.copies = tuple(copy.addr_spec for copy in mail["Cc"].addresses) if mail["Cc"] else ()
        try:
            return await self._hand_over(client, mail)
        finally:
            await _close(client)

    async def _hand_over(self, client: _Client, mail: EmailMessage) -> Result:
        handed_over = False
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await client.connect()
                await self._greet(client)
                if self._options.user:
                    await self._login(client)
                handed_over = True
                await client.send_message(mail)
        except _Refused as refused:
            return refused.result
        except aiosmtplib.SMTPResponseException as error:
            stage = next(stage for kind, stage in _STAGES if isinstance(error, kind))
            return result_of(stage, error.code, error.message)
        except aiosmtplib.SMTPNotSupported:
            return Unavailable("it takes no address with such letters (SMTPUTF8): name another", concerns="address")
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return Unconfirmed(f"it gives no answer: {type(error).__name__}") if handed_over else _unreachable(error)
        return Delivered(str(mail["Message-ID"]))

    async def _greet(self, client: _Client) -> None:
        """Say who we are, and begin TLS. Raises _Refused, SMTPException."""
        starttls = self._options.starttls and not self._options.implicit_tls
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError as error:
            if starttls or self._options.user or error.code not in _NOT_KNOWN:
                raise
            await client.helo()
        if starttls and not client.supports_extension("starttls"):
            raise _Refused(
                Unavailable(
                    "it offers no STARTTLS: set `starttls = false` if the way there is safe, or `port = 465`", _CLOSED
                )
            )
        if starttls:
            await client.starttls()
            await client.ehlo()

    async def _login(self, client: _Client) -> None:
        """Raises _Refused, SMTPException."""
        if not client.supports_extension("auth"):
            raise _Refused(Unavailable("it offers no login: leave `user` out, or use TLS", _CLOSED))
        if self._options.auth == "xoauth2":
            await self._login_by_token(client)
        elif not set(client.supported_auth_methods) - {"xoauth2"}:
            offered = "only xoauth2" if client.supported_auth_methods else "no way that we know"
            raise _Refused(Unavailable(f"it takes no password: it offers {offered}; see options.auth", _CLOSED))
        else:
            await client.login(self._options.user, self._secret)

    async def _login_by_token(self, client: _Client) -> None:
        """One that is refused before it expires was revoked: the next login gets another. Raises as `_login`."""
        token = await self._token()
        try:
            await client.auth_xoauth2(self._options.user, token)
        except aiosmtplib.SMTPAuthenticationError:
            if self._tokens is not None:
                self._tokens.drop()
            raise

    async def _token(self) -> str:
        """The access token, from where it is to come. Raises _Refused."""
        if self._tokens is not None:
            token = await self._tokens.get()
            if isinstance(token, Unavailable):
                raise _Refused(token)
            return token
        if not self._secret.startswith("@"):
            return self._secret
        try:
            return (await asyncio.to_thread(Path(self._secret[1:]).read_text)).strip()
        except OSError as error:
            raise _Refused(Unavailable(f"the file of the token: {in_words(error)}", _CLOSED)) from None

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage(policy=_POLICY)
        mail["From"] = self._sender
        mail["To"] = _mailboxes(message.to, expected=True)
        if message.cc:
            mail["Cc"] = [copy for address in message.cc for copy in _mailboxes(address, expected=True)]
        mail["Subject"] = message.title[:_MAX_SUBJECT]
        mail["Date"] = format_datetime(datetime.now(UTC))
        mail["Message-ID"] = f"<{_UNSAFE.sub('-', message.id)}@{self._sender.domain}>"
        if message.thread:
            mail["In-Reply-To"] = message.thread
            mail["References"] = message.thread
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer by a machine
        if message.severity == "critical":
            mail["Importance"] = "high"
        mail.set_content(message.text())
        mail.add_alternative(_html(message), subtype="html")
        mail.set_boundary(f"=_{token_hex(16)}")  # else the generator sets it, by a class that is made for that
        return mail


async def _close(client: _Client) -> None:
    """Take leave, so that nothing of the connection stays in memory until TLS gives up on its end."""
    if client.is_connected:
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await client.quit(timeout=_QUIT_SECONDS)
    client.close()


def _unreachable(error: BaseException) -> Result:
    """There was no answer before anything of the message was told."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = cause.verify_message or "it does not fit"
            return Unavailable(f"its certificate is not trusted: {why}; see options.ca and options.host", _CLOSED)
        if isinstance(cause, ssl.SSLError):
            return Unavailable("it speaks no TLS there: port 465 takes `tls = true`, others `tls = false`", _CLOSED)
        if isinstance(cause, socket.gaierror):
            return Unavailable("it cannot be reached: its name is not known")
        if type(cause) in (ConnectionRefusedError, ConnectionResetError) or isinstance(cause, TimeoutError):
            return Unavailable(f"it cannot be reached: {in_words(cause)}")
        cause = cause.__cause__ or cause.__context__
    return Unavailable("it cannot be reached, or ends the connection at once")


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
    if options.user and not secrets and not options.refresh_token:
        raise SettingsError("options.user has no password in NPSFLOW_SECRET_NOTIFY_*")
    secret = secrets[0] if secrets else ""
    async with AsyncExitStack() as until_closed:
        tokens = await until_closed.enter_async_context(_tokens(options, secret)) if options.token_url else None
        try:
            email = Email(options, secret, tokens)
        except OSError as error:  # ssl.SSLError is one, too
            raise SettingsError(f"options.ca cannot be read: {type(error).__name__}") from None
        yield email


@asynccontextmanager
async def _tokens(options: Options, secret: str) -> AsyncIterator[AccessTokens]:
    """Raises SettingsError for an endpoint that a secret cannot be sent to, and a file that cannot be read."""
    expect_tls("options.token_url", options.token_url)
    try:
        if options.refresh_token:
            await asyncio.to_thread(Path(options.refresh_token).read_text)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"options.refresh_token cannot be read: {in_words(error)}") from None
    client = Client(options.token_url, options.client_id, secret, options.scope, options.refresh_token)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield AccessTokens(session, client)


def _mailboxes(text: str, *, expected: bool = False) -> list[Address]:
    """The addresses of a text, each with or without a name before it, their domains in ASCII; [] if one is none.

    Raises ValueError for none if some are `expected`.
    """
    try:
        mail = EmailMessage(policy=_ANY_LETTERS)
        mail["To"] = text
        found = [Address(one.display_name, one.username, _ascii(one.domain)) for one in mail["To"].addresses]
        defects = [one for one in mail["To"].defects if not isinstance(one, NonASCIILocalPartDefect)]  # SMTPUTF8 has it
        good = not defects and all(one.username and one.domain for one in found)
    except (ValueError, IndexError):  # what the library raises of addresses that are none
        found, good = [], False
    if expected and not (found and good):
        raise ValueError("no e-mail address")
    return found if good else []


def _ascii(domain: str) -> str:
    """An internationalised domain as DNS and mail servers know it (IDNA). Raises ValueError if it is none."""
    return domain if domain.isascii() else URL.build(scheme="smtp", host=domain).raw_host or ""


def _address_problem(_: Options, address: str) -> str:
    """One address or several, each with or without a name before it."""
    return "" if _mailboxes(address) else "is no e-mail address"


KIND = Kind(
    Options,
    _open,
    "the password or token of `options.user`, or the secret of `options.client_id`",
    secret_optional=True,
    address="an e-mail address",
    address_problem=_address_problem,
)
