"""Why Kafka cannot be used: its errors as one sentence each, and the step at which a connection fails.

Kafka's clients report no more than that there is no connection. So each step (reach, TLS, login) is tried by itself.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Literal, NamedTuple

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from npsflow.schemas.errors import NpsflowError, SettingsError
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.kafka import security as names
from npsflow.streams.engine.kafka.security import Security
from npsflow.streams.engine.kafka.tokens import TokenRefused

STEP = 3.0
"""Seconds for each step."""

_PORT = 9092
_CLOSE = 1.0
_HANGS_UP, _NO_ANSWER = "it hangs up", "no answer in time"
_SILENT = (_HANGS_UP, _NO_ANSWER)
_ALERT = b"\x15\x03"  # how TLS answers to what is not TLS
_MISNAMED = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_OUTDATED = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
# Which versions of its requests do you know? A broker answers that to everybody, before any login.
_HELLO = bytes.fromhex("0000000a 0012 0000 00000001 ffff")

_FORBIDDEN = {
    TopicAuthorizationFailedError: "a topic",
    GroupAuthorizationFailedError: "a consumer group",
    TransactionalIdAuthorizationFailed: "a transactional id",
    ClusterAuthorizationFailedError: "the cluster",
}
FORBIDDEN = tuple(_FORBIDDEN)
"""Errors that `forbidden` explains."""
ALLOW = "allow it with kafka-acls; deploy/acls.md has all that is needed"

Step = Literal["reach", "TLS", "login", "permission", "topic"]


class KafkaFailed(NpsflowError, ConnectionError):
    """Kafka does not answer, refuses, or lacks a topic."""


class NotSetUp(KafkaFailed):
    """What is on Kafka is not as it has to be: a topic is missing, a client may not use it, a version does not fit."""

    lasting = True


class Refused(KafkaFailed):
    """It ends at this step; the text says why and what to do, and holds no secret.

    Who cannot be reached may be there soon, and who hangs up may be starting; `lasting` says so where that is not it.
    """

    def __init__(self, step: Step, text: str, todo: str, *, lasting: bool | None = None) -> None:
        super().__init__(f"{step}: {text}: {todo}")
        self.step, self.lasting = step, step != "reach" if lasting is None else lasting


def absent(topic: str) -> KafkaFailed:
    """The error for a topic, given with prefix, that does not exist."""
    return NotSetUp(f"topic {topic} does not exist: run `npsflow topics create`, or check NPSFLOW_PREFIX")


def forbidden(error: KafkaError) -> Refused:
    """The error for one of `FORBIDDEN`; it names the resource where Kafka's client names it."""
    about = error.args[0] if error.args else "it does not say which"
    named = ", ".join(sorted(about)) if isinstance(about, set | frozenset) else str(about)
    return Refused("permission", f"this client may not use {_FORBIDDEN[type(error)]} ({named})", ALLOW)


def session_refused() -> SettingsError:
    """The error for a session that the brokers do not allow."""
    return SettingsError(
        "NPSFLOW_SESSION_MS is not what the brokers allow: set it between their group.min.session.timeout.ms and "
        "group.max.session.timeout.ms (6000 and 1800000 by default)"
    )


class Attempt(NamedTuple):
    """One address, and why it cannot be used, None if it can."""

    address: str
    refused: Refused | None
    configured: bool = True
    """Whether NPSFLOW_BROKERS names it; else a broker advertises it."""


async def try_all(installation: Installation) -> list[Attempt]:
    """Try every address of NPSFLOW_BROKERS; if one can be used, also those that the brokers advertise."""
    context = installation.security.context()
    configured = [address.strip() for address in installation.brokers.split(",")]
    results = await asyncio.gather(*(_try(address, installation.security, context) for address in configured))
    advertised = sorted({address for _, others in results for address in others} - set(configured))
    refusals = await asyncio.gather(*(_knock(address, installation.security, context) for address in advertised))
    others = [
        Attempt(address, refused, configured=False) for address, refused in zip(advertised, refusals, strict=True)
    ]
    return [attempt for attempt, _ in results] + others


def furthest(attempts: list[Attempt]) -> Refused | None:
    """The reason why no client can connect, of the attempt that got furthest; None if a client can."""
    usable = any(a.configured and a.refused is None for a in attempts)
    refused = [a.refused for a in attempts if a.refused is not None and a.configured != usable]
    if usable and any(not a.configured and a.refused is None for a in attempts):
        return None
    steps: tuple[Step, ...] = ("reach", "TLS", "login")
    return max(refused, key=lambda r: steps.index(r.step), default=None)


async def why_not(installation: Installation) -> Refused | None:
    """Try all addresses now; the reason why no client can connect, None if a client can."""
    return furthest(await try_all(installation))


async def _try(address: str, security: Security, context: ssl.SSLContext | None) -> tuple[Attempt, list[str]]:
    """Try one configured address; gives also the addresses that the brokers advertise."""
    try:
        if (refused := await _knock(address, security, context)) is not None:
            raise refused
        return Attempt(address, None), await _log_in(address, security, context)
    except Refused as refused:
        return Attempt(address, refused), []


async def _knock(address: str, security: Security, context: ssl.SSLContext | None) -> Refused | None:
    """Resolve the name, connect, do the TLS handshake and get an answer from Kafka."""
    try:
        host, port = _parts(address)
        try:
            async with asyncio.timeout(STEP):
                await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            raise _unreached(address, f"there is no host {host!r}") from None
        except TimeoutError:
            raise _unreached(address, "its name is not resolved in time") from None
        await asyncio.to_thread(_speak, host, port, security, context)
    except Refused as refused:
        return refused
    return None


def _parts(address: str) -> tuple[str, int]:
    """Host and port. Raises Refused."""
    host, _, port = address.rpartition(":") if ":" in address else (address, "", str(_PORT))
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        text = f"NPSFLOW_BROKERS names {address!r}"
        raise Refused("reach", text, "write host:port, several with commas", lasting=True)
    return host.strip("[]"), int(port)


def _unreached(address: str, why: str) -> Refused:
    return Refused(
        "reach", f"no Kafka broker answers at {address} ({why})", "start one (`npsflow broker`), or set NPSFLOW_BROKERS"
    )


def _speak(host: str, port: int, security: Security, context: ssl.SSLContext | None) -> None:
    """Connect and ask for an answer; blocking, so that an error comes as OpenSSL raised it. Raises Refused."""
    address = f"{host}:{port}"
    try:
        connection = socket.create_connection((host, port), STEP)
    except TimeoutError:
        raise _unreached(address, f"no answer within {STEP:g} s") from None
    except OSError as error:
        raise _unreached(address, error.strerror or "no connection") from None
    with connection:
        if context is None:
            _speak_plaintext(connection, address)
            return
        try:
            wrapped = context.wrap_socket(connection, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            raise _distrusted(address, security, error) from None
        except OSError as error:
            raise _no_handshake(address, security, error) from None
        with wrapped:  # with TLS 1.3 the broker refuses our certificate only now
            try:
                answer = _hello(wrapped)
            except OSError as error:
                raise _uncertified(address, security, _reason(error)) from None
        if not answer:
            raise _uncertified(address, security, _HANGS_UP)


def _hello(connection: socket.socket) -> bytes:
    connection.sendall(_HELLO)
    return connection.recv(4)


def _speak_plaintext(connection: socket.socket, address: str) -> None:
    try:
        answer = _hello(connection)
    except TimeoutError:
        raise _unreached(address, "it accepts, but says nothing") from None
    except OSError:
        answer = b""
    if not answer or answer.startswith(_ALERT):
        text = f"{address} does not speak without TLS" if answer else f"{address} hangs up"
        todo = f"if it asks for TLS, set {names.PROTOCOL} to SSL or SASL_SSL"
        raise Refused("TLS", text, todo, lasting=bool(answer))


def _distrusted(address: str, security: Security, error: ssl.SSLCertVerificationError) -> Refused:
    """The error when we refuse the broker's certificate."""
    if error.verify_code in _MISNAMED:
        host = address.rpartition(":")[0]
        todo = "reach it by a name in its certificate, or have it certified for this one"
        return Refused("TLS", f"the certificate of {address} is not for {host}", todo)
    if error.verify_code in _OUTDATED:
        text = f"the certificate of {address} is not valid today ({error.verify_message})"
        return Refused("TLS", text, "have it renewed, or set the clock")
    by = security.ca or "an authority that this system knows"
    text = f"the certificate of {address} is not signed by {by} ({error.verify_message})"
    return Refused("TLS", text, f"set {names.CA} to the certificate of the authority that signed it")


def _no_handshake(address: str, security: Security, error: OSError) -> Refused:
    if "ALERT" in (reason := _reason(error)):  # it speaks TLS
        return _uncertified(address, security, reason)
    todo = f"use the port where it does, or set {names.PROTOCOL} to PLAINTEXT or SASL_PLAINTEXT"
    return Refused("TLS", f"{address} does not speak TLS ({reason})", todo, lasting=reason not in _SILENT)


def _uncertified(address: str, security: Security, reason: str) -> Refused:
    """The error when the broker refuses our certificate, or that we have none."""
    if security.certificate:
        text = f"{address} refuses the certificate {security.certificate} ({reason})"
        todo = f"set {names.CERTIFICATE} to one signed by an authority that the broker knows"
    else:
        text = f"{address} refuses a client without certificate ({reason})"
        todo = f"if it asks for a client certificate, set {names.CERTIFICATE} and {names.KEY}"
    return Refused("TLS", text, todo, lasting=reason not in _SILENT)


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return _NO_ANSWER
    return getattr(error, "reason", None) or error.strerror or _HANGS_UP


async def _log_in(address: str, security: Security, context: ssl.SSLContext | None) -> list[str]:
    """Log in, where the settings have a login; gives the addresses of all brokers. Raises Refused."""
    host, port = _parts(address)
    connection = AIOKafkaConnection(
        host, port, ssl_context=context, security_protocol=security.protocol, request_timeout_ms=int(STEP * 1000),
        **security.options,
    )  # fmt: skip
    try:
        async with asyncio.timeout(STEP):
            await connection.connect()
            metadata = await connection.send(MetadataRequest([]))
    except TokenRefused as error:
        todo = f"look at {names.TOKEN_URL} or {names.TOKEN_FUNCTION}"
        raise Refused("login", str(error), todo, lasting=error.lasting) from None
    except SaslAuthenticationFailed:
        if security.mechanism == "OAUTHBEARER":
            todo = "compare what it holds with what the broker expects (issuer, audience, name)"
            raise Refused("login", f"{address} refuses our token", todo) from None
        text = f"{address} refuses user {security.username!r} with this password by {security.mechanism}"
        raise Refused("login", text, f"set {names.USERNAME}, {names.PASSWORD} and {names.MECHANISM}") from None
    except UnsupportedSaslMechanismError:
        text = f"{address} does not know {security.mechanism}"
        raise Refused("login", text, f"set {names.MECHANISM} to what it knows") from None
    except IllegalSaslStateError:
        todo = f"unset {names.USERNAME} and {names.PASSWORD}, or use the port where it does"
        raise Refused("login", f"{address} does not ask for a login", todo) from None
    except (KafkaError, OSError, TimeoutError) as error:
        if security.login:
            text = f"{address} hangs up ({type(error).__name__})"
            raise Refused("login", text, "look into its log", lasting=False) from None
        todo = f"if it asks for a login, set {names.USERNAME} and {names.PASSWORD}"
        raise Refused("login", f"{address} hangs up when it is asked something", todo, lasting=False) from None
    finally:
        with suppress(TimeoutError):  # of a broker that does not hang up in its turn
            await asyncio.wait_for(connection.close(), _CLOSE)
    return [f"{host}:{port}" for _, host, port, *_ in metadata.brokers]
