"""TLS and login at Kafka, from `NPSFLOW_*`. A secret is never shown, whatever prints it."""

import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from msgspec import Struct

from npsflow.schemas.errors import SettingsError
from npsflow.streams.engine.kafka.tokens import Grant, Tokens, of_function, of_provider

log = logging.getLogger(__name__)

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER"]

PROTOCOL = "NPSFLOW_SECURITY_PROTOCOL"
MECHANISM = "NPSFLOW_SASL_MECHANISM"
USERNAME = "NPSFLOW_SASL_USERNAME"
PASSWORD = "NPSFLOW_SASL_PASSWORD"  # noqa: S105, the name of a variable
TOKEN_URL = "NPSFLOW_SASL_TOKEN_URL"  # noqa: S105, the name of a variable
TOKEN_SCOPE = "NPSFLOW_SASL_TOKEN_SCOPE"  # noqa: S105, the name of a variable
TOKEN_FUNCTION = "NPSFLOW_SASL_TOKEN_FUNCTION"  # noqa: S105, the name of a variable
CA = "NPSFLOW_TLS_CA"
CERTIFICATE = "NPSFLOW_TLS_CERTIFICATE"
KEY = "NPSFLOW_TLS_KEY"
KEY_PASSWORD = "NPSFLOW_TLS_KEY_PASSWORD"  # noqa: S105, the name of a variable

_SASL = (USERNAME, PASSWORD, MECHANISM, TOKEN_URL, TOKEN_SCOPE, TOKEN_FUNCTION)
_TLS = (CA, CERTIFICATE, KEY, KEY_PASSWORD)
VARIABLES = (PROTOCOL, *_SASL, *_TLS)


class Secret:
    """A text that only `reveal` gives away: it is not in a repr, a log, an error or a traceback."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(…)" if self._text else "Secret()"


class _RenewedContext(ssl.SSLContext):
    """Takes in, before each connection, files that have changed: certificates live shorter than processes do."""

    def renew_from(self, files: Sequence[str], load: Callable[[ssl.SSLContext], None]) -> None:
        """Load them, and again whenever one of the files has changed. Raises SettingsError, now and never later."""
        self._files, self._load, self._seen = files, load, _stamps(files)
        load(self)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """What event loops begin a connection with."""
        if (stamps := _stamps(self._files)) != self._seen:
            try:
                self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))  # a key that does not fit would undo what is there
                self._load(self)
                self._seen = stamps
            except SettingsError as error:  # half written, perhaps: the next connection looks again
                log.warning("renewed files of TLS cannot be used yet: %s", error)
        return super().wrap_bio(*args, **kwargs)


def _stamps(files: Sequence[str]) -> list[tuple[int, int, int] | None]:
    """By what a file that was written anew differs; None for one that is not there."""
    stamps: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            found = Path(file).stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
    return stamps


class Security(Struct, frozen=True):
    """TLS where the protocol ends in SSL, a login where it begins with SASL. Files are PEM; no `ca`: the system's."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str = ""
    password: Secret = Secret()
    token_url: str = ""
    token_scope: str = ""
    token_function: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    key_password: Secret = Secret()

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def login(self) -> bool:
        """Whether clients log in, with a user and a password or a token."""
        return self.protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    @property
    def user(self) -> str:
        """Whom messages name, where there is a login: a user, a client id, or where tokens come from."""
        return self.username or self.token_function

    @property
    def options(self) -> dict[str, Any]:
        """How a client of aiokafka logs in, the password among it; nothing where it does not."""
        if not self.login:
            return {}
        options: dict[str, Any] = {"sasl_mechanism": self.mechanism}
        if self.mechanism != "OAUTHBEARER":
            return options | {"sasl_plain_username": self.username, "sasl_plain_password": self.password.reveal()}
        return options | {"sasl_oauth_token_provider": Tokens(self._grant())}

    def _grant(self) -> Grant:
        if self.token_function:
            return of_function(self.token_function)
        return of_provider(self.token_url, self.username, self.password.reveal(), self.token_scope)

    def context(self) -> ssl.SSLContext | None:
        """Make what clients check the broker's certificate and host name by; None without TLS.

        Whoever keeps it takes in renewed files by themselves. Raises SettingsError when a file cannot be used.
        """
        if not self.tls:
            return None
        context = _RenewedContext(ssl.PROTOCOL_TLS_CLIENT)
        if not self.ca:
            context.load_default_certs()
        context.renew_from([file for file in (self.ca, self.certificate, self.key) if file], self._load)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        if self.ca:
            try:
                context.load_verify_locations(self.ca)
            except OSError as error:
                raise SettingsError(f"{CA}: {self.ca} {_why(error, 'holds no PEM certificate')}") from None
        if self.certificate:
            self._add_certificate(context)

    def _add_certificate(self, context: ssl.SSLContext) -> None:
        for name, path, needed in ((CERTIFICATE, self.certificate, "CERTIFICATE-----"), (KEY, self.key, "KEY-----")):
            try:
                text = Path(path).read_text("ascii", "replace")
            except OSError as error:
                raise SettingsError(f"{name}: {path} {_why(error, '')}") from None
            if needed not in text:
                raise SettingsError(f"{name}: {path} holds no PEM {'certificate' if name == CERTIFICATE else 'key'}")
        if "ENCRYPTED" in text and not self.key_password:
            raise SettingsError(f"{KEY}: {self.key} is encrypted: set {KEY_PASSWORD}")
        try:
            # Without a password to give, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self.certificate, self.key, self.key_password.reveal)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise SettingsError(f"{KEY}: {self.key} is not the key of {self.certificate}") from None
            if self.key_password:
                raise SettingsError(f"{KEY}: {self.key} cannot be read: is {KEY_PASSWORD} its password?") from None
            raise SettingsError(f"{KEY}: {self.key} or {self.certificate} cannot be read: are they PEM?") from None


def security(environment: Mapping[str, str]) -> Security:
    """Read VARIABLES; a name without a value counts as not set.

    Without NPSFLOW_SECURITY_PROTOCOL the protocol follows from the rest; a login without a word on TLS means TLS.
    Raises SettingsError when they contradict each other, or a file cannot be used.
    """
    chosen = {name: environment[name] for name in VARIABLES if environment.get(name)}
    own_tokens = TOKEN_FUNCTION in chosen
    for name, needed in (
        (PASSWORD, USERNAME), (USERNAME, PASSWORD), (MECHANISM, TOKEN_FUNCTION if own_tokens else USERNAME),
        (TOKEN_URL, USERNAME), (TOKEN_SCOPE, TOKEN_URL), (CERTIFICATE, KEY), (KEY, CERTIFICATE), (KEY_PASSWORD, KEY),
    ):  # fmt: skip
        if name in chosen and needed not in chosen:
            raise SettingsError(f"{name} is set but {needed} is not: set both, or neither")
    login, tls = USERNAME in chosen or own_tokens, any(name in chosen for name in _TLS)
    made = Security(
        protocol=_protocol(chosen.get(PROTOCOL) or ("SASL_SSL" if login else "SSL" if tls else "PLAINTEXT")),
        mechanism=_mechanism(chosen),
        username=chosen.get(USERNAME, ""),
        password=Secret(chosen.get(PASSWORD, "")),
        token_url=chosen.get(TOKEN_URL, ""),
        token_scope=chosen.get(TOKEN_SCOPE, ""),
        token_function=chosen.get(TOKEN_FUNCTION, ""),
        ca=chosen.get(CA, ""),
        certificate=chosen.get(CERTIFICATE, ""),
        key=chosen.get(KEY, ""),
        key_password=Secret(chosen.get(KEY_PASSWORD, "")),
    )
    if made.login and not login:
        raise SettingsError(f"{PROTOCOL} is {made.protocol}, which needs {USERNAME} and {PASSWORD}")
    if own_tokens:
        of_function(made.token_function)  # one that is not there is an error now
    for names, used, feature in ((_SASL, made.login, "login"), (_TLS, made.tls, "TLS")):
        if not used and (idle := [name for name in names if name in chosen]):
            raise SettingsError(f"{idle[0]} is set but {PROTOCOL} is {made.protocol}, which has no {feature}")
    made.context()  # a file that cannot be used is an error now, not at the first connection
    return made


def _protocol(text: str) -> Protocol:
    for known in get_args(Protocol):
        if known == text.upper():
            return known  # type: ignore[no-any-return]
    raise SettingsError(f"{PROTOCOL} is none of {', '.join(get_args(Protocol))}")


def _mechanism(chosen: Mapping[str, str]) -> Mechanism:
    """What is chosen; OAUTHBEARER where tokens are. Raises SettingsError where the two contradict each other."""
    tokens = [name for name in (TOKEN_URL, TOKEN_FUNCTION) if name in chosen]
    text = chosen.get(MECHANISM) or ("OAUTHBEARER" if tokens else "SCRAM-SHA-512")
    if text.upper() not in get_args(Mechanism):
        raise SettingsError(f"{MECHANISM} is none of {', '.join(get_args(Mechanism))}")
    if text.upper() != "OAUTHBEARER" and tokens:
        raise SettingsError(f"{tokens[0]} is set but {MECHANISM} is {text.upper()}: only OAUTHBEARER has tokens")
    if text.upper() == "OAUTHBEARER" and len(tokens) != 1:
        raise SettingsError(f"{MECHANISM} is OAUTHBEARER, which needs either {TOKEN_URL} or {TOKEN_FUNCTION}")
    if (url := chosen.get(TOKEN_URL)) and not _is_safe(url):
        raise SettingsError(f"{TOKEN_URL} has to begin with https://: a secret is sent there")
    return text.upper()  # type: ignore[return-value]


def _is_safe(url: str) -> bool:
    """Whether what is sent there is encrypted, or stays on this machine: what stands before an @ is no host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost"))


def _why(error: OSError, otherwise: str) -> str:
    """What is wrong with a file, to stand behind its name."""
    if isinstance(error, ssl.SSLError):
        return otherwise
    return f"cannot be read ({error.strerror})"
