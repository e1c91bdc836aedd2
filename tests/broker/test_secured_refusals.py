"""What is wrong between us and a secured broker is named, by `check` and by a worker that is started, in one line."""

import socket
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from npsflow.agents.broker.embedded import HOST, free_port
from npsflow.agents.cli import main

from .secured import Acl, Secured, output_of_check, output_of_worker

PREFIX = "refused."
EVERYTHING = [Acl(resource, "PREFIXED", PREFIX, "ALL") for resource in ("TOPIC", "GROUP", "TRANSACTIONAL_ID")]


@pytest.fixture(scope="module")
def door(secured: Secured) -> dict[str, str]:
    """By which a worker gets in and may do everything below the prefix; its topics are there."""
    secured.add_user("refused")
    secured.allow("refused", EVERYTHING)
    opened = secured.with_login("refused") | {"NPSFLOW_PREFIX": PREFIX}
    made = CliRunner().invoke(main, ["topics", "create"], env=opened)
    assert made.exit_code == 0, made.output
    return opened


def test_nothing_is_wrong(door: dict[str, str]) -> None:
    assert output_of_check(door) == []


def test_a_broker_that_is_not_there(door: dict[str, str]) -> None:
    gone = door | {"NPSFLOW_BROKERS": f"{HOST}:{free_port()}"}
    """A worker waits for it, see tests/faults/test_broker_away.py."""
    assert output_of_check(gone)[0].startswith(f"reach: no Kafka broker answers at {gone['NPSFLOW_BROKERS']} (")


def test_a_host_that_is_not_there(door: dict[str, str]) -> None:
    gone = door | {"NPSFLOW_BROKERS": "kafka.invalid:9092"}
    assert "there is no host 'kafka.invalid'" in output_of_check(gone)[0]


def test_a_port_where_nobody_speaks(door: dict[str, str]) -> None:
    with socket.create_server((HOST, 0)) as silent:
        mute = {**door, "NPSFLOW_BROKERS": f"{HOST}:{silent.getsockname()[1]}"}
        assert output_of_check(mute)[0].startswith(
            f"TLS: {mute['NPSFLOW_BROKERS']} does not speak TLS (no answer in time)"
        )
        for name in [name for name in door if "SASL" in name or "TLS" in name]:
            del mute[name]
        assert "(it accepts, but says nothing)" in output_of_check(mute)[0]


def wrongs(secured: Secured) -> Iterator[tuple[str, dict[str, str], str]]:
    """What is wrong, the surroundings in which it is, and how what is said of it begins."""
    login, strange = secured.with_login("refused"), secured.with_certificate("strange")
    refused = f"login: {secured.sasl} refuses user"
    yield "password", {**login, "NPSFLOW_SASL_PASSWORD": "wrong password"}, f"{refused} 'refused' with this password"
    yield "user", {**login, "NPSFLOW_SASL_USERNAME": "nobody"}, f"{refused} 'nobody'"
    yield "mechanism", {**login, "NPSFLOW_SASL_MECHANISM": "PLAIN"}, f"{refused} 'refused' with this password by PLAIN"
    open_door = {"NPSFLOW_BROKERS": secured.open, "NPSFLOW_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "NPSFLOW_TLS_CA": ""}
    unknown = {**login, **open_door, "NPSFLOW_SASL_MECHANISM": "SCRAM-SHA-256"}
    yield "unknown mechanism", unknown, f"login: {secured.open} does not know SCRAM-SHA-256"
    unknown = {"NPSFLOW_BROKERS": secured.sasl, "NPSFLOW_TLS_CA": str(secured.ca)}
    yield "no login", unknown, f"login: {secured.sasl} hangs up when it is asked something: if it asks for a login"
    needless = {**login, **open_door, "NPSFLOW_BROKERS": secured.broker.bootstrap}
    yield "needless login", needless, f"login: {secured.broker.bootstrap} does not ask for a login"
    unknown = {**login, "NPSFLOW_TLS_CA": str(secured.strange_ca)}
    yield "CA", unknown, f"TLS: the certificate of {secured.sasl} is not signed by {secured.strange_ca}"
    usual = f"TLS: the certificate of {secured.sasl} is not signed by an authority that this system knows"
    yield "system's CA", {**login, "NPSFLOW_TLS_CA": ""}, usual
    local = secured.sasl.replace(HOST, "localhost")
    yield "host name", {**login, "NPSFLOW_BROKERS": local}, f"TLS: the certificate of {local} is not for localhost"
    shown = strange["NPSFLOW_TLS_CERTIFICATE"]
    yield "strange certificate", strange, f"TLS: {secured.mutual} refuses the certificate {shown} ("
    uncertified = {"NPSFLOW_BROKERS": secured.mutual, "NPSFLOW_TLS_CA": str(secured.ca)}
    yield "no certificate", uncertified, f"TLS: {secured.mutual} refuses a client without certificate"
    yield "no TLS", {"NPSFLOW_BROKERS": secured.sasl}, f"TLS: {secured.sasl} does not speak without TLS"
    plain = {**login, "NPSFLOW_BROKERS": secured.broker.bootstrap}
    yield "needless TLS", plain, f"TLS: {secured.broker.bootstrap} does not speak TLS"


def test_who_does_not_get_in_hears_why(secured: Secured, door: dict[str, str]) -> None:
    for what, installation, expected in wrongs(secured):
        printed = output_of_check(installation | {"NPSFLOW_PREFIX": PREFIX})
        assert len(printed) == 1, what
        assert printed[0].startswith(expected), what


@pytest.mark.parametrize("wrong", ["password", "CA", "strange certificate"])
def test_a_worker_that_does_not_get_in_ends(secured: Secured, door: dict[str, str], wrong: str) -> None:
    ((installation, expected),) = [(given, printed) for what, given, printed in wrongs(secured) if what == wrong]
    printed = output_of_worker(installation | {"NPSFLOW_PREFIX": PREFIX})
    assert len(printed) == 1
    assert printed[0].startswith(expected)


@pytest.mark.parametrize("command", ["alerts", "windows", "dlq list", "topics list", "topics create", "rebuild --yes"])
def test_every_command_says_why_it_does_not_get_in(door: dict[str, str], command: str) -> None:
    result = CliRunner().invoke(main, command.split(), env=door | {"NPSFLOW_SASL_PASSWORD": "wrong password"})
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: login: ")
    assert "wrong password" not in result.output


def test_one_of_two_brokers_is_enough_and_the_other_is_named(door: dict[str, str]) -> None:
    gone = f"{HOST}:{free_port()}"
    installation = door | {"NPSFLOW_BROKERS": f"{gone},{door['NPSFLOW_BROKERS']}"}
    result = CliRunner().invoke(main, ["check"], env=installation)
    assert result.exit_code == 0, result.output
    assert f"warn  reach: no Kafka broker answers at {gone} (" in result.stdout


def test_a_topic_that_is_missing(door: dict[str, str], secured: Secured) -> None:
    elsewhere = door | {"NPSFLOW_PREFIX": f"{PREFIX}no."}
    for printed in (output_of_check(elsewhere), output_of_worker(elsewhere)):
        assert len(printed) == 1
        assert printed[0].startswith(f"topic: there is no {PREFIX}no.customer-follow-up, ")
        assert printed[0].endswith(": run `npsflow topics create`, or check NPSFLOW_PREFIX")
