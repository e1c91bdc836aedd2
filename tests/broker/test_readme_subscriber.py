"""The subscriber of the README, on a real Kafka: killed and started again, it has each alert on its list once."""

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

ALERTS = 300
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

    def listed(self) -> list[tuple[str, str]]:
        """Severity and customer of all calls on its list."""
        with closing(sqlite3.connect(self._folder / "calls.db")) as database:
            tables = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'calls'").fetchone()[0]
            return database.execute("SELECT severity, customer_id FROM calls").fetchall() if tables else []

    def printed(self) -> list[tuple[str, str]]:
        """The same of the lines that it printed whole."""
        lines = self._output.read_text().splitlines(keepends=True)
        return [(words[0], words[1]) for line in lines if line.endswith("\n") and (words := line.split())]


def test_each_alert_is_on_the_list_once_whenever_it_is_killed(harness: CommandHarness, tmp_path: Path) -> None:
    """It is killed in the middle of a stream, before anything is committed: all comes again."""
    folder = tmp_path / "subscriber"
    folder.mkdir()
    subscriber = Subscriber(harness, folder)
    lines = [response_json(n, score=2 if n % 2 else 4, customer={"id": f"C-{n}"}) for n in range(ALERTS)]
    with working(harness):
        with subscriber.running():
            assert harness.run("produce", harness.file(*lines)).exit_code == 0
            wait_until(lambda: len(subscriber.listed()) >= ALERTS // 3)
        for least in (ALERTS // 2, ALERTS):
            with subscriber.running():
                wait_until(lambda least=least: len(subscriber.listed()) >= least)  # type: ignore[misc]

    calls = [("critical" if n % 2 else "high", f"C-{n}") for n in range(ALERTS)]
    assert sorted(subscriber.listed()) == sorted(calls)
    assert len(subscriber.printed()) == len(set(subscriber.printed()))
    assert set(subscriber.printed()) <= set(calls)
