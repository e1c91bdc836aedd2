"""Two workers of one name: one of them ends and says why, the other works on."""

import urllib.request
from contextlib import ExitStack

from npsflow.agents.broker.embedded import free_port
from tests.support.waiting import wait_until

from .command_harness import SECONDS, CommandHarness


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=SECONDS) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_one_of_two_workers_of_a_name_ends_and_says_so(harness: CommandHarness) -> None:
    ports, logs = (free_port(), free_port()), [harness.folder / "first.log", harness.folder / "second.log"]
    with ExitStack() as stack:
        processes = []
        for port, log in zip(ports, logs, strict=True):
            to = stack.enter_context(log.open("w"))
            words = ("worker", "--name", "alpha", "--web-port", str(port))
            processes.append(stack.enter_context(harness.started(*words, stderr=to.fileno())))
            wait_until(lambda port=port, process=processes[-1]: is_ready(port) or process.poll() is not None)  # type: ignore[misc]
        wait_until(lambda: any(process.poll() is not None for process in processes))
        ended = next(number for number, process in enumerate(processes) if process.poll() is not None)
        assert processes[ended].wait(SECONDS) == 2
        last = logs[ended].read_text().splitlines()[-1]
        group = harness.installation.group("")
        assert last.startswith(f"Error: another worker runs under the name 'alpha' in group {group}")
        assert last.endswith("give each worker a --name of its own, or none")
        assert logs[ended].read_text().count("another worker runs") == 1

        wait_until(lambda: is_ready(ports[1 - ended]))
        assert processes[1 - ended].poll() is None
