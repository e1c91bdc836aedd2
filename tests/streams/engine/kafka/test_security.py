"""How Kafka is reached follows from what is given; half of it is an error that names the other half, and no secret."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from npsflow.agents.runtime.event_loop import Loop
from npsflow.schemas.errors import SettingsError
from npsflow.streams.engine.installation import read_installation
from npsflow.streams.engine.kafka.clients import client_options
from npsflow.streams.engine.kafka.security import VARIABLES, Secret, Security
from tests.support.waiting import SECONDS

LOGIN = {"NPSFLOW_SASL_USERNAME": "ann", "NPSFLOW_SASL_PASSWORD": "hush"}
TOKENS = {"NPSFLOW_SASL_TOKEN_URL": "https://id.example.com/token"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a certificate of it, the key of that, plain and encrypted, and the key of another one."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued = authority.issue_cert("client.example.org")
    issued.cert_chain_pems[0].write_to_path(folder / "client.pem")
    issued.private_key_pem.write_to_path(folder / "client.key")
    authority.issue_cert("other.example.org").private_key_pem.write_to_path(folder / "other.key")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush"))
    (folder / "encrypted.key").write_bytes(encrypted)
    return folder


def tls(files: Path, key: str = "client.key", **others: str) -> dict[str, str]:
    certificate = {"NPSFLOW_TLS_CERTIFICATE": str(files / "client.pem"), "NPSFLOW_TLS_KEY": str(files / key)}
    return {"NPSFLOW_TLS_CA": str(files / "ca.pem")} | certificate | others


def test_nothing_given_is_plain() -> None:
    assert read_installation({}).security == read_installation(dict.fromkeys(VARIABLES, "")).security == Security()
    settings = client_options(read_installation({}))
    assert (settings["security_protocol"], settings["ssl_context"]) == ("PLAINTEXT", None)


def test_a_login_means_tls_unless_set_otherwise() -> None:
    settings = client_options(read_installation(LOGIN))
    assert (settings["security_protocol"], settings["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (settings["sasl_plain_username"], settings["sasl_plain_password"]) == ("ann", "hush")
    assert settings["ssl_context"].check_hostname
    plain = LOGIN | {"NPSFLOW_SECURITY_PROTOCOL": "sasl_plaintext", "NPSFLOW_SASL_MECHANISM": "plain"}
    assert (read_installation(plain).security.protocol, read_installation(plain).security.mechanism) == (
        "SASL_PLAINTEXT",
        "PLAIN",
    )


def test_a_certificate_means_tls_without_login(files: Path) -> None:
    settings = client_options(read_installation(tls(files)))
    assert settings["security_protocol"] == "SSL"
    assert len(settings["ssl_context"].get_ca_certs()) == 1
    assert "sasl_plain_password" not in settings
    assert read_installation(tls(files, "encrypted.key", NPSFLOW_TLS_KEY_PASSWORD="hush")).security.tls
    assert read_installation({"NPSFLOW_SECURITY_PROTOCOL": "SSL"}).security.context() is not None
    assert read_installation(tls(files) | LOGIN).security.protocol == "SASL_SSL"


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"NPSFLOW_SASL_USERNAME": "ann"}, "NPSFLOW_SASL_USERNAME is set but NPSFLOW_SASL_PASSWORD is not"),
        ({"NPSFLOW_SASL_PASSWORD": "hush"}, "NPSFLOW_SASL_PASSWORD is set but NPSFLOW_SASL_USERNAME is not"),
        (LOGIN | {"NPSFLOW_SASL_PASSWORD": ""}, "NPSFLOW_SASL_USERNAME is set but NPSFLOW_SASL_PASSWORD is not"),
        ({"NPSFLOW_SASL_MECHANISM": "PLAIN"}, "NPSFLOW_SASL_MECHANISM is set but NPSFLOW_SASL_USERNAME is not"),
        (LOGIN | {"NPSFLOW_SASL_MECHANISM": "MD5"}, "NPSFLOW_SASL_MECHANISM is none of SCRAM-SHA-512"),
        (
            LOGIN | {"NPSFLOW_SASL_MECHANISM": "OAUTHBEARER"},
            "which needs either NPSFLOW_SASL_TOKEN_URL or",
        ),
        (LOGIN | {"NPSFLOW_SASL_TOKEN_URL": "http://id.example.com"}, "NPSFLOW_SASL_TOKEN_URL has to begin with https"),
        (
            LOGIN | {"NPSFLOW_SASL_TOKEN_URL": "http://127.0.0.1:1@id.example.com"},
            "NPSFLOW_SASL_TOKEN_URL has to begin",
        ),
        (LOGIN | {"NPSFLOW_SASL_TOKEN_URL": "https://["}, "NPSFLOW_SASL_TOKEN_URL has to begin with https"),
        (LOGIN | TOKENS | {"NPSFLOW_SASL_MECHANISM": "PLAIN"}, "only OAUTHBEARER has tokens"),
        (
            LOGIN | {"NPSFLOW_SASL_TOKEN_SCOPE": "kafka"},
            "SCOPE is set but NPSFLOW_SASL_TOKEN_URL is not",
        ),
        (TOKENS, "NPSFLOW_SASL_TOKEN_URL is set but NPSFLOW_SASL_USERNAME is not"),
        ({"NPSFLOW_SASL_TOKEN_FUNCTION": "nowhere:at_all"}, "nowhere:at_all is not there"),
        ({"NPSFLOW_SASL_TOKEN_FUNCTION": "time"}, "time is not there"),
        ({"NPSFLOW_TLS_CERTIFICATE": "c"}, "NPSFLOW_TLS_CERTIFICATE is set but NPSFLOW_TLS_KEY is not"),
        ({"NPSFLOW_TLS_KEY": "k"}, "NPSFLOW_TLS_KEY is set but NPSFLOW_TLS_CERTIFICATE is not"),
        ({"NPSFLOW_TLS_KEY_PASSWORD": "hush"}, "NPSFLOW_TLS_KEY_PASSWORD is set but NPSFLOW_TLS_KEY is not"),
        ({"NPSFLOW_SECURITY_PROTOCOL": "TLS"}, "NPSFLOW_SECURITY_PROTOCOL is none of PLAINTEXT, SSL"),
        ({"NPSFLOW_SECURITY_PROTOCOL": "SASL_SSL"}, "SASL_SSL, which needs NPSFLOW_SASL_USERNAME"),
        (LOGIN | {"NPSFLOW_SECURITY_PROTOCOL": "SSL"}, "NPSFLOW_SASL_USERNAME is set but .* SSL, which has no login"),
        (
            LOGIN | {"NPSFLOW_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "NPSFLOW_TLS_CA": "ca.pem"},
            "NPSFLOW_TLS_CA is set but .* SASL_PLAINTEXT, which has no TLS",
        ),
        ({"NPSFLOW_TLS_CA": "absent.pem"}, r"NPSFLOW_TLS_CA: absent\.pem cannot be read \(No such file"),
        ({"NPSFLOW_TLS_CERTIFICATE": "c", "NPSFLOW_TLS_KEY": "k"}, r"NPSFLOW_TLS_CERTIFICATE: c cannot be read \("),
    ],
)
def test_half_of_it_names_the_other_half(environment: dict[str, str], text: str) -> None:
    with pytest.raises(SettingsError, match=text) as error:
        read_installation(environment)
    assert "hush" not in str(error.value)


def test_files_that_cannot_be_used_are_named(files: Path) -> None:
    (files / "empty").touch()
    wrong = {
        "NPSFLOW_TLS_CA: .*empty holds no PEM certificate": {"NPSFLOW_TLS_CA": str(files / "empty")},
        "NPSFLOW_TLS_CERTIFICATE: .*client.key holds no PEM certificate": tls(
            files, NPSFLOW_TLS_CERTIFICATE=str(files / "client.key")
        ),
        "NPSFLOW_TLS_KEY: .*client.pem holds no PEM key": tls(files, "client.pem"),
        "NPSFLOW_TLS_KEY: .*other.key is not the key of .*client.pem": tls(files, "other.key"),
        "NPSFLOW_TLS_KEY: .*encrypted.key is encrypted: set NPSFLOW_TLS_KEY_PASSWORD": tls(files, "encrypted.key"),
        "is NPSFLOW_TLS_KEY_PASSWORD its password": tls(files, "encrypted.key", NPSFLOW_TLS_KEY_PASSWORD="not hush"),
    }
    for text, environment in wrong.items():
        with pytest.raises(SettingsError, match=text) as error:
            read_installation(environment)
        assert "hush" not in str(error.value)


def issue(authority: trustme.CA, folder: Path, name: str) -> None:
    issued = authority.issue_cert(name)
    issued.cert_chain_pems[0].write_to_path(folder / "client.pem")
    issued.private_key_pem.write_to_path(folder / "client.key")


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, Loop], ids=["asyncio", "uvloop"])
def test_renewed_certificates_are_shown_at_the_next_connection(tmp_path: Path, loop: Callable[[], Any]) -> None:
    """Those of a client that is there already; half of new ones is left until the other half is there."""
    old, new = trustme.CA(), trustme.CA()
    old.cert_pem.write_to_path(tmp_path / "ca.pem")
    issue(old, tmp_path, "first.example.org")
    context = client_options(read_installation(tls(tmp_path)))["ssl_context"]
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(shown(context, old)) == "first.example.org"
        new.cert_pem.write_to_path(tmp_path / "ca.pem")
        key = (tmp_path / "client.key").read_bytes()
        issue(new, tmp_path, "second.example.org")
        renewed = (tmp_path / "client.key").read_bytes()
        (tmp_path / "client.key").write_bytes(key)
        assert runner.run(shown(context, old)) == "first.example.org"
        (tmp_path / "client.key").write_bytes(renewed)
        assert runner.run(shown(context, new)) == "second.example.org"


async def shown(context: ssl.SSLContext, authority: trustme.CA) -> str:
    """The name in the certificate that a client shows to a server of this authority."""
    names = asyncio.Queue[str]()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(server_context)
    authority.issue_cert("localhost").configure_cert(server_context)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names.put_nowait(writer.get_extra_info("peercert")["subjectAltName"][0][1])
        writer.close()

    server = await asyncio.start_server(connected, "localhost", 0, ssl=server_context)
    async with server, asyncio.timeout(SECONDS):
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("localhost", port, ssl=context)
        name = await names.get()
        writer.transport.abort()
    return name


def test_no_secret_is_shown(files: Path) -> None:
    installation = read_installation(tls(files, "encrypted.key", NPSFLOW_TLS_KEY_PASSWORD="hush") | LOGIN)
    for text in (
        repr(installation),
        str(installation),
        f"{installation.security.password}",
        f"{installation.security.password!r}",
    ):
        assert "hush" not in text
    assert installation.security.password.reveal() == installation.security.key_password.reveal() == "hush"
    assert installation.security.password == Secret("hush") != Secret("other")
