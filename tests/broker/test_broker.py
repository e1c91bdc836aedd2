"""The embedded broker: it serves, keeps its data, ends with its parent, and says what is wrong."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from npsflow.agents.broker.download import BrokerError, fetch_kafka
from npsflow.agents.broker.embedded import HOST, Broker, free_port
from tests.support.waiting import wait_until

SECONDS = 30


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker for one test, which starts it and may do harm to it."""
    broker = Broker(tmp_path / "data", free_port(), brief=True)
    yield broker
    broker.stop()


def test_serves_clients_and_tools(broker: Broker) -> None:
    create_topic(broker, "serves")
    produce(broker, "serves", [b"one", b"two"])

    assert consume(broker, "serves", 2) == [b"one", b"two"]
    arguments = f"--bootstrap-server {broker.bootstrap} --topic serves --from-beginning --max-messages 2".split()
    assert broker.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", *arguments) == b"one\ntwo\n"


def test_failing_tool_is_an_error_with_its_words(broker: Broker) -> None:
    arguments = f"--bootstrap-server {broker.bootstrap} --describe --topic absent".split()
    with pytest.raises(BrokerError, match=r"TopicCommand failed with exit status 1:\n.*absent"):
        broker.tool("org.apache.kafka.tools.TopicCommand", *arguments)


def test_properties_reach_the_broker(broker: Broker) -> None:
    arguments = f"--bootstrap-server {broker.bootstrap} --describe --all --entity-type brokers --entity-name 1".split()
    described = broker.tool("kafka.admin.ConfigCommand", *arguments).decode()

    assert "group.min.session.timeout.ms=1000 " in described
    assert "log.message.timestamp.type=LogAppendTime " in described


def test_data_survives_stop_and_kill(own_broker: Broker) -> None:
    own_broker.start()
    create_topic(own_broker, "kept")
    produce(own_broker, "kept", [b"before the kill"])
    first = own_broker.pid

    own_broker.kill()
    assert not own_broker.running
    own_broker.start()
    assert own_broker.pid != first
    produce(own_broker, "kept", [b"before the stop"])
    own_broker.stop()
    own_broker.start()

    assert consume(own_broker, "kept", 2) == [b"before the kill", b"before the stop"]


def test_start_after_it_ended_by_itself(own_broker: Broker) -> None:
    own_broker.start()
    os.kill(own_broker.pid, signal.SIGKILL)
    own_broker.wait()
    with pytest.raises(BrokerError, match="not running"):
        _ = own_broker.pid

    own_broker.start()
    assert own_broker.running
    with pytest.raises(BrokerError, match="already running"):
        own_broker.start()


def test_stop_does_not_wait_for_a_frozen_broker(own_broker: Broker) -> None:
    own_broker.start()
    os.kill(own_broker.pid, signal.SIGSTOP)
    own_broker.stop(seconds=0.1)
    assert not own_broker.running


def test_failed_start_shows_the_log_and_can_be_repeated(tmp_path: Path) -> None:
    refused = Broker(tmp_path, free_port(), {"metric.reporters": "absent.Reporter"}, brief=True)
    for _ in range(2):
        with pytest.raises(BrokerError, match=r"ended while it started. The end of (.|\n)*absent\.Reporter"):
            refused.start()


def test_data_of_a_running_broker_is_left_alone(own_broker: Broker) -> None:
    own_broker.start()
    before = (own_broker.data / "server.properties").read_bytes()
    with pytest.raises(BrokerError, match=f"{own_broker.data} is in use by another Kafka"):
        Broker(own_broker.data, free_port()).start()
    assert (own_broker.data / "server.properties").read_bytes() == before
    assert own_broker.running


def test_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port} on {HOST} is taken"):
            Broker(tmp_path, port).start()


def test_ends_with_its_parent_even_if_that_is_killed(tmp_path: Path) -> None:
    port = free_port()
    program = f"""
from pathlib import Path
from npsflow.agents.broker.embedded import Broker
broker = Broker(Path({str(tmp_path)!r}), {port}, brief=True)
broker.start()
print("up", flush=True)
broker.wait()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"up\n"
        assert answers(port)
        parent.kill()
    wait_until(lambda: not answers(port))


def test_command_stops_cleanly_and_removes_its_temporary_folder(tmp_path: Path) -> None:
    port = free_port()
    program = "from npsflow.agents.commands.broker import broker; broker()"
    with subprocess.Popen(
        [sys.executable, "-c", program, f"--port={port}"],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        text=True,
    ) as command:
        assert command.stdout
        ready = next(line for line in command.stdout if "ready" in line)
        assert f"NPSFLOW_BROKERS={HOST}:{port} " in ready
        assert list(tmp_path.glob("npsflow-broker-*/server.properties"))
        command.terminate()
        assert command.wait(SECONDS) == 0
    assert not list(tmp_path.iterdir())
    assert not answers(port)


class TestWhatIsMissing:
    """Nothing of this machine is on PATH but what the test puts there."""

    @pytest.fixture
    def programs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.delenv("JAVA_HOME", raising=False)
        return folder

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        return tmp_path / "cache"

    def test_java(self, programs: Path, cache: Path) -> None:
        with pytest.raises(BrokerError) as caught:
            fetch_kafka(cache=cache)
        assert str(caught.value).splitlines() == [
            "Kafka needs Java 17 or newer: there is no java on PATH, and JAVA_HOME is not set. Install it, and Maven:",
            "  Debian, Ubuntu: sudo apt-get install default-jre-headless maven",
            "  Fedora:         sudo dnf install java-latest-openjdk-headless maven",
            "  macOS:          brew install maven && brew install --cask temurin",
        ]

    def test_java_that_is_too_old(self, programs: Path, cache: Path) -> None:
        script(programs / "java", """echo 'openjdk version "1.8.0_402"' >&2""")
        with pytest.raises(BrokerError, match=f"needs Java 17 or newer: {programs}/java is version 8"):
            fetch_kafka(cache=cache)

    def test_java_home_that_leads_nowhere(
        self, programs: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script(programs / "java", """echo 'openjdk version "21.0.1"' >&2""")
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
        with pytest.raises(BrokerError, match="gone/bin/java does not run, and JAVA_HOME points there"):
            fetch_kafka(cache=cache)

    def test_maven(self, programs: Path, cache: Path) -> None:
        script(programs / "java", """echo 'openjdk version "17.0.1"' >&2""")
        with pytest.raises(BrokerError, match=r"needs Maven: there is no mvn on PATH(.|\n)*apt-get install"):
            fetch_kafka(cache=cache)


class TestFetch:
    """With a Maven that makes one jar, once it is allowed to go on."""

    @pytest.fixture
    def go(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        programs = tmp_path / "bin"
        programs.mkdir()
        script(
            programs / "mvn",
            f"""
            echo called >> {tmp_path}/calls
            until [ -e {tmp_path}/go ]; do sleep 0.01; done
            [ "$(cat {tmp_path}/go)" != fail ] || {{ echo no network; exit 1; }}
            for argument; do case $argument in -DoutputDirectory=*) lib=${{argument#*=}};; esac; done
            mkdir $lib && touch $lib/kafka.jar
            echo '[INFO] Downloaded from somewhere: https://example.com/kafka/kafka.jar (1 kB at 1 MB/s)'
            """,
        )
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        return tmp_path / "go"

    def test_failure_leaves_nothing_that_looks_whole(self, go: Path, tmp_path: Path) -> None:
        go.write_text("fail")
        with pytest.raises(BrokerError, match=r"Maven could not fetch Kafka \(exit status 1\):\nno network"):
            fetch_kafka(cache=tmp_path / "cache")
        go.write_text("now")
        kafka = fetch_kafka(cache=tmp_path / "cache")
        assert [jar.name for jar in kafka.glob("lib/*")] == ["kafka.jar"]

    def test_two_at_once_fetch_once(self, go: Path, tmp_path: Path) -> None:
        received: list[str] = []
        both = [threading.Thread(target=fetch_kafka, args=(received.append, tmp_path / "cache")) for _ in range(2)]
        for thread in both:
            thread.start()
        wait_until(lambda: any("waiting" in message for message in received))
        go.touch()
        for thread in both:
            thread.join(SECONDS)
        assert (tmp_path / "calls").read_text() == "called\n"
        assert "fetched 1: kafka.jar" in received

    def test_place_is_in_the_environment(self, go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        go.touch()
        monkeypatch.setenv("NPSFLOW_CACHE", str(tmp_path / "elsewhere"))
        assert fetch_kafka().parent == tmp_path / "elsewhere"


def create_topic(broker: Broker, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(SECONDS)


def produce(broker: Broker, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(SECONDS) == 0


def consume(broker: Broker, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "unused"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        return [message.value() for message in consumer.consume(count, SECONDS)]
    finally:
        consumer.close()


def answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), SECONDS).close()
    except (ConnectionRefusedError, ConnectionResetError):  # it is gone, or was just about to answer
        return False
    return True


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
