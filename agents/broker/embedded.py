"""The embedded broker: a real Apache Kafka, one node in KRaft mode, run as a child process on the loopback address."""

import secrets
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from npsflow.agents.broker.download import BrokerError, BrokerMisplaced, archive, fetch_kafka, java_command, take

HOST = "127.0.0.1"
START_SECONDS = 60
READY = b"Kafka Server started"

# A child of Kafka holds the reading end of our pipe. The pipe closes when this process ends, by `kill -9` too, and then
# the child kills Kafka; a line in the pipe tells it that Kafka has ended already. The kernel's PR_SET_PDEATHSIG would
# be shorter, but it is Linux only, and acts when the thread that started Kafka ends, not when the process does.
WITH_PARENT = 'exec 3<&0 </dev/null; { read -r _ <&3 || kill -KILL $$; } & exec 3<&- "$@"'

# Java compiles once, quickly, and not a second time, better: what runs for minutes only does not earn that back.
# With it start and stop of a Kafka took 4.3 s of CPU, not 7.1, and a whole demo 63, not 79.
BRIEF = "-XX:TieredStopAtLevel=1"

# One small node: nothing is replicated, internal topics have few partitions, groups form at once.
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "log.dirs": "kafka",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker is let in again only when its last session has timed out, after 9 s by default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "auto.create.topics.enable": "false",
    # With create time, retention would delete replayed history at once.
    "log.message.timestamp.type": "LogAppendTime",
    # The default of 128 MB is a quarter of the heap.
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
    "num.network.threads": "2",
    "num.io.threads": "4",
}


class Broker:
    """One Kafka on `port`, with everything it keeps in the folder `data`; it never outlives this process.

    `properties` extend or override `PROPERTIES`. `cache` holds the jars of `version`, see `fetch_kafka`. `brief`: it
    will run for some minutes only; it starts with less work, and does more for each record later.
    """

    def __init__(
        self,
        data: Path,
        port: int,
        properties: Mapping[str, str] | None = None,
        cache: Path | None = None,
        *,
        version: str | None = None,
        brief: bool = False,
    ) -> None:
        self.data = data.resolve()
        self.port = port
        self.log = self.data / "broker.log"
        self._properties = dict(properties or {})
        self._cache, self._version = cache, version
        self._options = (BRIEF,) if brief else ()
        self._process: subprocess.Popen[bytes] | None = None
        self._dumped: Path | None = None
        self._lock: TextIO | None = None

    @property
    def bootstrap(self) -> str:
        """Its address, as NPSFLOW_BROKERS takes it."""
        return f"{HOST}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process runs, ready or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of Kafka itself, for signals. Raises BrokerError unless it runs."""
        if self._process is None or not self.running:
            raise BrokerError("Kafka is not running")
        return self._process.pid

    def start(self) -> None:
        """Return when clients are served. In a folder that was used before, continue with what is there.

        Raises BrokerError when Kafka cannot be fetched, its port or folder is taken, or it does not start in time.
        """
        if self.running:
            raise BrokerError(f"Kafka is already running on {self.bootstrap}")
        self.kill()  # reap what ended by itself
        kafka = fetch_kafka(cache=self._cache, version=self._version)
        if not _is_free(self.port):
            raise BrokerMisplaced(
                f"port {self.port} on {HOST} is taken: stop what listens there, or choose another port"
            )
        self.data.mkdir(parents=True, exist_ok=True)
        self._lock = (self.data / "lock").open("w")
        try:
            if not take(self._lock):  # Kafka finds out for itself, but too late to save its metadata
                raise BrokerMisplaced(f"{self.data} is in use by another Kafka")
            self._write_properties()
            if not (self.data / "kafka" / "meta.properties").exists():
                self._format()
            self._await_ready(self._launch(kafka))
        except BaseException:
            self.kill()
            raise

    def stop(self, seconds: float = 30) -> None:
        """SIGTERM, and SIGKILL if Kafka has not ended within `seconds`. Nothing to stop is no error."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL: nothing is flushed or closed, but what Kafka wrote stands in the page cache."""
        if self._process is not None and self._process.stdin is not None:
            self._process.kill()
            self._process.wait()
            with suppress(BrokenPipeError), self._process.stdin as watching:
                watching.write(b"Kafka has ended\n")
            if self._dumped is not None and self._dumped.exists():
                if self._process.returncode == 128 + signal.SIGTERM:
                    self._dumped.rename(archive(self._dumped.parent))
                else:
                    self._dumped.unlink()
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def wait(self) -> None:
        """Return when Kafka has ended, by whatever cause."""
        if self._process is not None:
            self._process.wait()

    def tail(self, lines: int = 15) -> str:
        """The end of Kafka's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def tool(self, class_name: str, *args: str, stdin: bytes = b"", seconds: float = 60) -> bytes:
        """Run one of Kafka's command line tools to its end, with `stdin`; return its output. Raises BrokerError."""
        kafka = fetch_kafka(cache=self._cache, version=self._version)
        command = [*java_command(kafka, "256m", BRIEF), class_name, *args]
        try:
            done = subprocess.run(
                command, cwd=self.data, input=stdin, capture_output=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise BrokerError(f"{class_name} did not end within {seconds:.0f} s") from error
        if done.returncode:
            output = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise BrokerError(f"{class_name} failed with exit status {done.returncode}:\n{output}")
        return done.stdout

    def _launch(self, kafka: Path) -> int:
        """Start the process; return where in the log it begins to write."""
        classes = archive(kafka)
        command = java_command(kafka, "512m", *self._options)
        if not classes.exists():  # made when this Kafka stops: with it the next ones start in half the time
            self._dumped = classes.with_suffix(f".{secrets.token_hex(4)}")
            command.append(f"-XX:ArchiveClassesAtExit={self._dumped}")
        with self.log.open("ab") as log:
            began = log.tell()
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", WITH_PARENT, "npsflow-broker", *command, "kafka.Kafka", "server.properties"],
                cwd=self.data,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in a terminal is for this process, which decides what stops when
            )
        return began

    def _write_properties(self) -> None:
        controller = f"{HOST}:{free_port()}"
        addresses = {
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.bootstrap.servers": controller,
        }
        properties = PROPERTIES | addresses | self._properties
        text = "".join(f"{name}={value}\n" for name, value in properties.items())
        (self.data / "server.properties").write_text(text)

    def _format(self) -> None:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ["--standalone", f"--cluster-id={cluster}", "--config=server.properties"]
        self.tool("kafka.tools.StorageTool", "format", *arguments)

    def _await_ready(self, began: int) -> None:
        """Wait for the line in Kafka's log: a connection may be answered before Kafka serves, or by another program."""
        deadline = time.monotonic() + START_SECONDS
        with self.log.open("rb") as log:
            log.seek(began)
            output = log.read()
            while READY not in output:
                ended = not self.running
                if ended or time.monotonic() > deadline:
                    failure = "ended while it started" if ended else f"was not up after {START_SECONDS} s"
                    raise BrokerError(f"Kafka {failure}. The end of {self.log}:\n{self.tail()}")
                time.sleep(0.02)
                output += log.read()


def free_port() -> int:
    """A port that nothing listens on, and none that the system gives to an outgoing connection in the meantime."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        if _is_free(port):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka does: what has just closed is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
