"""A Kafka with doors of SASL_SSL, SASL_PLAINTEXT and mutual TLS, and a plain one for the tests themselves.

Who comes in by the plain door is a super user; everybody else may do what `allow` says.
"""

import os
import subprocess
import sys
from collections.abc import Collection
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from click.testing import CliRunner
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from npsflow.agents.broker.embedded import HOST, Broker, free_port
from npsflow.agents.cli import main
from tests.support.waiting import wait_until

SECONDS = 60
PASSWORD = "correct horse battery staple"
PLAIN_PASSWORD = "never in the clear"
KEY_PASSWORD = "sesame, open"
SECRETS = (PASSWORD, PLAIN_PASSWORD, KEY_PASSWORD, "wrong password")
"""What nobody may ever see."""

CERTIFIED = "certified"
"""Who the client certificate names."""

_JAAS = "org.apache.kafka.common.security"


class Acl(NamedTuple):
    """One permission, in the words of `kafka-acls`: TOPIC LITERAL orders READ."""

    resource: str
    pattern: str
    name: str
    operation: str


class Secured:
    """The broker, its certificates and its users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = set[int]()
        while len(ports) < 5:  # two by chance the same, and Kafka does not start
            ports.add(free_port())
        self._port, *others = ports
        self.sasl, self.mutual, self.open, self._controller = (f"{HOST}:{port}" for port in others)
        authority, stranger = trustme.CA(), trustme.CA()
        self.ca, self.strange_ca = folder / "ca.pem", folder / "strange-ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        stranger.cert_pem.write_to_path(self.strange_ca)
        # Only the address: whoever says `localhost` asks for a host that the certificate does not name.
        issued = authority.issue_cert(HOST, common_name="broker")
        (folder / "broker.pem").write_bytes(_key(issued, NoEncryption()) + _chain(issued))
        for name, issuer in (("client", authority), ("strange", stranger)):
            issued = issuer.issue_cert("client.example.org", common_name=CERTIFIED)
            (folder / f"{name}.pem").write_bytes(_chain(issued))
            (folder / f"{name}.key").write_bytes(_key(issued, BestAvailableEncryption(KEY_PASSWORD.encode())))
        self.broker = Broker(folder / "kafka", self._port, self._properties(), brief=True)

    def _properties(self) -> dict[str, str]:
        doors = f"PLAINTEXT://{HOST}:{self._port},SASL_SSL://{self.sasl},MUTUAL://{self.mutual},SASL_PLAINTEXT://{self.open}"
        plain = f'{_JAAS}.plain.PlainLoginModule required user_simple="{PLAIN_PASSWORD}";'
        protocols = ("PLAINTEXT", "SASL_SSL", "SASL_PLAINTEXT")
        bearer = f"{_JAAS}.oauthbearer.OAuthBearerLoginModule required;"
        scram = f"{_JAAS}.scram.ScramLoginModule required;"
        return {
            "listeners": f"{doors},CONTROLLER://{self._controller}",
            "advertised.listeners": doors,
            "controller.quorum.bootstrap.servers": self._controller,
            "group.min.session.timeout.ms": "1000",
            "listener.security.protocol.map": ",".join(
                ["CONTROLLER:PLAINTEXT,MUTUAL:SSL", *(f"{p}:{p}" for p in protocols)]
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.folder / "broker.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca),
            "listener.name.mutual.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
            "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN,OAUTHBEARER",
            # Without a validator of its own Kafka believes tokens that nobody has signed.
            "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config": bearer,
            "listener.name.sasl_ssl.plain.sasl.jaas.config": plain,
            "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": scram,
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": scram,
            "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": scram,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }

    # Surroundings of a process.

    def with_login(self, user: str, password: str = PASSWORD, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """By the door that asks for a login."""
        return {
            "NPSFLOW_BROKERS": self.sasl,
            "NPSFLOW_SASL_MECHANISM": mechanism,
            "NPSFLOW_SASL_USERNAME": user,
            "NPSFLOW_SASL_PASSWORD": password,
            "NPSFLOW_TLS_CA": str(self.ca),
        }

    def with_certificate(self, name: str = "client") -> dict[str, str]:
        """By the door that asks for a certificate; `strange` is one that nobody here has signed."""
        return {
            "NPSFLOW_BROKERS": self.mutual,
            "NPSFLOW_TLS_CA": str(self.ca),
            "NPSFLOW_TLS_CERTIFICATE": str(self.folder / f"{name}.pem"),
            "NPSFLOW_TLS_KEY": str(self.folder / f"{name}.key"),
            "NPSFLOW_TLS_KEY_PASSWORD": KEY_PASSWORD,
        }

    # Users and what they may do.

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})

    def add_user(self, name: str) -> None:
        """Somebody who logs in with PASSWORD, by either kind of SCRAM."""
        for kind in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            wanted = UserScramCredentialUpsertion(name, ScramCredentialInfo(kind, 4096), PASSWORD.encode())
            self._admin.alter_user_scram_credentials([wanted])[name].result(SECONDS)
            client: dict[str, Any] = {"bootstrap.servers": self.sasl, "ssl.ca.location": str(self.ca), "log_level": 0}
            client |= {"security.protocol": "SASL_SSL", "sasl.username": name, "sasl.password": PASSWORD}
            wait_until(partial(_answers, client | {"sasl.mechanism": kind.name.replace("_", "-")}))

    def allow(self, user: str, acls: Collection[Acl]) -> None:
        """Return when the broker acts on it."""
        if acls:
            for done in self._admin.create_acls([AclBinding(*_words(user, acl)) for acl in acls]).values():
                done.result(SECONDS)
            wait_until(lambda: set(acls) <= self.allowed(user))

    def forbid(self, user: str, acls: Collection[Acl]) -> None:
        """Take back what was allowed; return when the broker acts on it."""
        if acls:
            for done in self._admin.delete_acls([AclBindingFilter(*_words(user, acl)) for acl in acls]).values():
                assert done.result(SECONDS), "there was such a permission"
            wait_until(lambda: not set(acls) & self.allowed(user))

    def allowed(self, user: str) -> set[Acl]:
        """What the broker believes."""
        everything: Any = (ResourceType.ANY, None, ResourcePatternType.ANY, f"User:{user}", None)
        everything += (AclOperation.ANY, AclPermissionType.ANY)
        found: list[Any] = self._admin.describe_acls(AclBindingFilter(*everything)).result(SECONDS)
        kinds = {"BROKER": "CLUSTER"}
        return {
            Acl(kinds.get(b.restype.name, b.restype.name), b.resource_pattern_type.name, b.name, b.operation.name)
            for b in found
        }


def _words(user: str, acl: Acl) -> Any:
    resource = "BROKER" if acl.resource == "CLUSTER" else acl.resource  # librdkafka's name for it
    return (
        ResourceType[resource], acl.name, ResourcePatternType[acl.pattern], f"User:{user}", "*",
        AclOperation[acl.operation], AclPermissionType.ALLOW,
    )  # fmt: skip


def _answers(client: dict[str, Any]) -> bool:
    try:
        AdminClient(client).list_topics(timeout=1)
    except KafkaException:
        return False
    return True


def _chain(issued: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in issued.cert_chain_pems)


def _key(issued: trustme.LeafCert, encryption: KeySerializationEncryption) -> bytes:
    """In PKCS 8, the one form that Java reads."""
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def output_of_check(installation: dict[str, str]) -> list[str]:
    """The lines that say what fails."""
    result = CliRunner().invoke(main, ["check"], env=installation)
    lines = result.stdout.splitlines()
    assert not [secret for secret in SECRETS if secret in result.output]
    assert result.exit_code == any(line.startswith("fail") for line in lines)
    return [line.removeprefix("fail").strip() for line in lines if line.startswith("fail")]


def output_of_worker(installation: dict[str, str]) -> list[str]:
    """What a worker says that does not start."""
    command = [sys.executable, "-m", "npsflow.agents.entry", "worker", f"--web-port={free_port()}"]
    environment = os.environ | installation | {"NPSFLOW_LOG_LEVEL": "DEBUG"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 2
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
    return done.stderr.removeprefix("Error: ").splitlines()
