"""The command line without a broker: quick help, one line for each error."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from npsflow.agents.broker.embedded import free_port
from npsflow.agents.cli import COMMANDS, main
from npsflow.agents.commands.windows import tenths
from npsflow.agents.kafka import clients

HEAVY = {"aiokafka", "faust", "msgspec", "orjson"}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without npsflow.toml, and a broker's address where nothing listens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NPSFLOW_BROKERS", f"127.0.0.1:{free_port()}")


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def test_help_names_every_command_and_imports_none() -> None:
    code = (
        "import sys; from npsflow.agents.cli import main; main(['--help'], standalone_mode=False);"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert not HEAVY & set(done.stderr.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_under_its_name(name: str) -> None:
    command = main.get_command(click.Context(main), name)

    assert command is not None
    assert command.name == name
    assert command.help


def test_unknown_command_is_a_usage_error() -> None:
    result = run("alarms")

    assert result.exit_code == 2
    assert "No such command 'alarms'" in result.stderr


def test_unknown_setting_is_named_with_exit_status_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPSFLOW_TYPO", "1")
    result = run("alerts")

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: NPSFLOW_TYPO is not a setting")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("stages", ["classify,count", "", "classify,"])
def test_unknown_stage_is_a_usage_error(stages: str) -> None:
    result = run("worker", "--stages", stages)

    assert result.exit_code == 2
    assert "is not a stage; there are classify, rollup" in result.stderr


@pytest.mark.parametrize("args", [("alerts",), ("windows",), ("topics", "create"), ("dlq", "replay")])
def test_unreachable_broker_is_one_line(args: tuple[str, ...]) -> None:
    result = run(*args)

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: reach: no Kafka broker answers at 127.0.0.1:")
    assert result.stderr.count("\n") == 1


def test_check_says_that_nothing_answers_and_fails() -> None:
    result = run("check")

    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["ok", "fail"]
    assert "no Kafka broker answers" in result.stdout


def test_broker_that_accepts_but_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("NPSFLOW_BROKERS", f"127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        result = run("check")

    assert result.exit_code == 1
    assert "no Kafka broker answers" in result.stdout
    assert time.monotonic() - began < 5


def test_check_reports_settings_that_cannot_be_used() -> None:
    Path("npsflow.toml").write_text("horizon_days = 7\n")
    result = run("check")

    assert result.exit_code == 1
    assert result.stdout.startswith("fail  settings: npsflow.toml: window 30d is longer than horizon_days = 7")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('[intake.shop]\nplatform = "typefrm"', "intake.shop: 'typefrm' is not a platform"),
        ('[notify.desk]\nkind = "slak"', "notify.desk: 'slak' is no kind; there are console,"),
        ("[notify.desk]\n", "notify.desk: 'desk' is no kind; there are console,"),
    ],
)
def test_check_reports_platforms_and_kinds_that_do_not_exist(table: str, expected: str) -> None:
    Path("npsflow.toml").write_text(table)
    result = run("check")

    assert result.exit_code == 1
    assert result.stdout.startswith(f"fail  settings: {expected}")


@pytest.mark.parametrize(
    ("score", "shown"),
    [
        (12.25, "12.3"),
        (-12.25, "-12.3"),
        (12.35, "12.4"),
        (-0.02, "0.0"),
        (-0.05, "-0.1"),
        (100.0, "100.0"),
        (0.0, "0.0"),
    ],
)
def test_scores_are_shown_as_people_round(score: float, shown: str) -> None:
    assert tenths(score) == shown
