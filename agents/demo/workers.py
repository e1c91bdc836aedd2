"""Processes of the demo: real ones of `npsflow worker` and `npsflow intake`, which never outlive the demo."""

import secrets
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from npsflow.agents.broker.embedded import HOST, WITH_PARENT, free_port
from npsflow.agents.intake.endpoint import secret_name
from npsflow.schemas.errors import NpsflowError

_COMMAND = (sys.executable, "-m", "npsflow.agents.entry")
_RATE = 100_000  # requests a second: here is one sender
_LINES = 5


class DemoFailed(NpsflowError, RuntimeError):
    """The demo does not show what it should; the text says what is wrong."""


class Process:
    """One process, known as `called`; its log is a file in `folder`. `port` is where it serves HTTP."""

    def __init__(
        self, called: str, port: int, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.called, self.port = called, port
        self._command = [*_COMMAND, *arguments]
        self._environment, self._log = environment, folder / f"{called.replace(' ', '-')}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it serves HTTP."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start it; that it is ready, `ready` tells."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", WITH_PARENT, "npsflow-demo", *self._command],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in a terminal is for the demo, which decides what stops when
            )

    def ready(self) -> bool:
        """Whether it does what it is for: of a worker, all its partitions are restored."""
        with closing(HTTPConnection(HOST, self.port, timeout=1)) as connection, suppress(OSError, HTTPException):
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        return False

    def check(self) -> None:
        """Raises DemoFailed when it has ended by itself."""
        if self._process is not None and (status := self._process.poll()) is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-_LINES:])
            raise DemoFailed(f"{self.called} ended by itself, exit status {status}. The end of its log:\n{tail}")

    def kill(self) -> None:
        """SIGKILL, whether it runs or not."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.kill()
            process.wait()
            with suppress(BrokenPipeError), process.stdin as watching:
                watching.write(b"it has ended\n")  # else its watcher would kill the same process id when we end

    def terminate(self) -> None:
        """SIGTERM: it commits what it has and ends."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Return when it has ended; after so many seconds it is killed."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self.kill()


class Worker(Process):
    """The `name` lasts: killed and started again it is the same member."""

    def __init__(self, name: str, stages: str, environment: Mapping[str, str], folder: Path) -> None:
        self.name, self.stages, port = name, stages, free_port()
        arguments = ["worker", f"--name={name}", f"--stages={stages}", f"--web-port={port}"]
        super().__init__(f"worker {name}", port, arguments, environment, folder)


class Intake(Process):
    """`secret` is that of all its entrances."""

    def __init__(self, entrances: Iterable[str], environment: Mapping[str, str], folder: Path) -> None:
        port, self.secret = free_port(), "whsec_" + b64encode(secrets.token_bytes(24)).decode()
        names = {secret_name(name): self.secret for name in entrances}
        super().__init__(
            "intake", port, ["intake", f"--port={port}", f"--rate={_RATE}"], {**environment, **names}, folder
        )
