"""The subscriber of the README, on a real Kafka: killed and started again, it handles each alert once."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.support.waiting import wait_until

from .command_harness import CommandHarness, response_json, working

README = Path(__file__).parents[2] / "README.md"


class Subscriber:
    """The program in a folder of its own, with the broker and the topic of an installation."""

    def __init__(self, harness: CommandHarness, folder: Path) -> None:
        (text,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
        for written, used in (
            ('"127.0.0.1:9092"', repr(harness.installation.brokers)),
            ('"service-recovery"', repr(harness.installation.topic("service-recovery"))),
            ('"call-back-team"', repr(harness.installation.topic("call-back-team"))),
        ):
            assert text.count(written) == 1
            text = text.replace(written, used)
        self._folder, self._program, self._output = folder, folder / "subscriber.py", folder / "output"
        self._program.write_text(text)
        self._output.touch()

    @contextmanager
    def running(self) -> Iterator[None]:
        """While it runs; then it is killed, and commits nothing more."""
        with self._output.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-u", str(self._program)], cwd=self._folder, stdout=output, env=os.environ
            )
            try:
                yield
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()

    def remembered(self) -> int:
        """How many alerts it has handled, by its own notes."""
        if not (self._folder / "handled.db").exists():
            return 0
        with closing(sqlite3.connect(self._folder / "handled.db")) as database:
            tables = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alerts'").fetchone()[0]
            return int(database.execute("SELECT count(*) FROM alerts").fetchone()[0]) if tables else 0

    def handled(self) -> list[str]:
        """The severities of the alerts that it printed a line of."""
        return [line.split()[0] for line in self._output.read_text().splitlines()]


def test_each_alert_is_handled_once(harness: CommandHarness, tmp_path: Path) -> None:
    def raise_alert(number: int, score: int) -> None:  # of one customer: the first is read again before the second
        sent = harness.run("produce", harness.file(response_json(number, score=score, customer={"id": "C-1"})))
        assert sent.exit_code == 0

    folder = tmp_path / "subscriber"
    folder.mkdir()
    subscriber = Subscriber(harness, folder)
    with working(harness):
        raise_alert(1, 2)
        with subscriber.running():
            wait_until(lambda: subscriber.remembered() == 1)
        raise_alert(2, 4)
        with subscriber.running():
            wait_until(lambda: subscriber.remembered() == 2)

    assert subscriber.handled() == ["critical", "high"]
