"""The command line without a broker: quick help, one line for each error, text that cannot harm a terminal."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from aiokafka.structs import OffsetAndMetadata
from click.testing import CliRunner, Result

from npsflow.agents.broker.embedded import free_port
from npsflow.agents.cli import COMMANDS, main
from npsflow.agents.kafka import clients
from npsflow.agents.operations.dead_letters import Letter, Replayed
from npsflow.agents.runtime.terminal import one_line, table
from npsflow.streams.stage import Record

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
    ("table", "said"),
    [
        ('[intake.shop]\nplatform = "typefrm"', "intake.shop: 'typefrm' is not a platform"),
        ('[notify.desk]\nkind = "slak"', "notify.desk: 'slak' is no kind; there are console,"),
        ("[notify.desk]\n", "notify.desk: 'desk' is no kind; there are console,"),
    ],
)
def test_check_reports_platforms_and_kinds_that_do_not_exist(table: str, said: str) -> None:
    Path("npsflow.toml").write_text(table)
    result = run("check")

    assert result.exit_code == 1
    assert result.stdout.startswith(f"fail  settings: {said}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\nlines\tand  spaces ", "two lines and spaces"),
        ("red \x1b[31m, right-to-left \u202e", "red [31m, right-to-left"),
        ("é" * 60, "é" * 60),
        ("é" * 61, "é" * 59 + "…"),
        (7, "7"),
    ],
)
def test_foreign_text_on_one_line(text: object, line: str) -> None:
    assert one_line(text) == line


def test_table_aligns_columns() -> None:
    assert table(("name", "n", ""), [("a", "10", "few"), ("longer", "9", "")], right=("n",)) == (
        "name     n\na       10  few\nlonger   9"
    )


def letter(offset: int, reason: str) -> Letter:
    class At:
        topic, partition = "survey-responses-dlq", 0

    record: Record = At()  # type: ignore[assignment]
    record.offset = offset
    return Letter(record, {"reason": reason}, [])


def test_replayed_is_remembered_by_reason_until_all_was_replayed() -> None:
    replayed = Replayed()
    replayed.advance(5, "too_late")
    replayed = Replayed(replayed.committed())
    assert letter(4, "too_late") in replayed
    assert letter(5, "too_late") not in replayed
    assert letter(4, "not_json") not in replayed

    replayed.advance(8, None)
    assert letter(7, "not_json") in replayed
    assert replayed.committed() == OffsetAndMetadata(8, "")
