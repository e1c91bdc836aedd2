"""Every process says that it is not ready while Kafka stands still, and is ready again behind that."""

import json
import os
import signal
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from npsflow.agents.broker.embedded import Broker, free_port
from tests.conftest import SHORT_SESSIONS
from tests.support.waiting import wait_until

from .command_harness import SECONDS, CommandHarness

SETTINGS = """
[intake.shop]
platform = "surveymonkey"
survey_id = "s"
scores = [{ question = "1", metric = "nps" }]
"""
PROCESSES = {
    "worker": ("worker", "--web-port"),
    "notify": ("notify", "console", "--port"),
    "fetch": ("fetch", "--port"),
    "board": ("board", "--port"),
    "intake": ("intake", "--port"),
}
SECRET = "a-secret-of-some-length-that-nobody-guesses"


def page(port: int, path: str, token: str = "") -> tuple[int, dict[str, object], str | None]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            return answer.status, json.load(answer), answer.headers["Npsflow-Stale-Since"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), None
    except urllib.error.URLError:
        return 0, {}, None


def lag_is_shown(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SECONDS) as answer:
        return "npsflow_lag_records{" in answer.read().decode()


def test_no_process_is_ready_while_kafka_stands_still(tmp_path: Path) -> None:
    kafka = Broker(tmp_path / "kafka", free_port(), SHORT_SESSIONS, brief=True)
    kafka.start()
    harness = CommandHarness(kafka, "still.", tmp_path)
    harness.config.write_text(SETTINGS)
    harness.environment |= {
        "NPSFLOW_SECRET_BOARD": SECRET, "NPSFLOW_SECRET_SHOP": SECRET, "NPSFLOW_TOKEN_SHOP": SECRET,
    }  # fmt: skip
    ports = {name: free_port() for name in PROCESSES}

    def statuses(path: str = "/health/ready") -> dict[str, int]:
        return {name: page(port, path)[0] for name, port in ports.items()}

    with ExitStack() as stack:
        stack.callback(kafka.kill)
        assert harness.run("topics", "create").exit_code == 0
        for name, words in PROCESSES.items():
            stack.enter_context(harness.started(*words, str(ports[name])))
        wait_until(lambda: set(statuses().values()) == {200}, 6 * SECONDS)
        assert page(ports["board"], "/cases", SECRET) == (200, {"cases": [], "total": 0}, None)
        wait_until(lambda: lag_is_shown(ports["worker"]))

        os.kill(kafka.pid, signal.SIGSTOP)
        wait_until(lambda: set(statuses().values()) == {503}, 2 * SECONDS)
        assert set(statuses("/health/live").values()) == {200}
        for name in ("worker", "notify", "fetch", "board"):
            _, said, _ = page(ports[name], "/health/ready")
            assert (said["status"], said["limit_seconds"], said["setting"]) == (
                "Kafka is away",
                2,
                "NPSFLOW_SESSION_MS",
            )
        status, cases, stale = page(ports["board"], "/cases", SECRET)
        assert (status, cases["cases"]) == (200, [])
        assert str(cases["stale_since"]).startswith("20")
        assert stale is not None

        wait_until(lambda: not lag_is_shown(ports["worker"]))  # it would be the one from before

        os.kill(kafka.pid, signal.SIGCONT)
        wait_until(lambda: set(statuses().values()) == {200}, 6 * SECONDS)
        wait_until(lambda: lag_is_shown(ports["worker"]))
