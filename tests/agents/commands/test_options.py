"""What people may write for times, zones, words and who they are; and what Tab completes, without a broker."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from npsflow.agents.broker.embedded import free_port
from npsflow.agents.cli import COMMANDS, main
from npsflow.agents.commands import options
from npsflow.schemas.times import DAY, HOUR, to_ms

SETTINGS = """
[notify.desk]
kind = "console"
[notify.escalations]
kind = "console"
[intake.shop]
platform = "typeform"
survey_id = "s"
scores = [{ question = "q", metric = "nps" }]
"""


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Some settings, and a broker's address where nothing listens."""
    (tmp_path / "npsflow.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NPSFLOW_BROKERS", f"127.0.0.1:{free_port()}")


def run(*args: str, **environment: str) -> Result:
    return CliRunner().invoke(main, args, env=environment)


@click.command()
@options.since("Since then")
@options.zone
@options.severity
def given(since: int | None, zone: Any, severities: tuple[str, ...]) -> None:
    click.echo(f"{since} {zone} {' '.join(severities)}".strip())


def read(*args: str, **environment: str) -> str:
    result = CliRunner().invoke(given, args, env=environment)
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize(("age", "ms"), [("90m", 90 * 60_000), ("2h", 2 * HOUR), ("1 d", DAY), ("2w", 14 * DAY)])
def test_since_takes_an_age(age: str, ms: int) -> None:
    before = int(time.time() * 1000)
    since = int(read("--since", age).split()[0])
    assert before - ms <= since <= int(time.time() * 1000) - ms


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-11-20", None, datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20", "Europe/Amsterdam", datetime(2026, 11, 20, tzinfo=ZoneInfo("Europe/Amsterdam"))),
        ("2026-11-20 09:30", None, datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
        ("2026-11-20T09:30:00+02:00", "Asia/Tokyo", datetime(2026, 11, 20, 7, 30, tzinfo=UTC)),
    ],
)
def test_since_takes_a_day_or_a_time_of_the_zone(text: str, zone: str | None, expected: datetime) -> None:
    args = ("--since", text, *(("--zone", zone) if zone else ()))
    assert read(*args).split()[0] == str(to_ms(expected))


def test_the_zone_is_that_of_the_environment_unless_it_is_given() -> None:
    assert read(NPSFLOW_ZONE="Europe/Amsterdam") == "None Europe/Amsterdam"
    assert read("--zone", "Asia/Tokyo", NPSFLOW_ZONE="Europe/Amsterdam") == "None Asia/Tokyo"
    assert read(NPSFLOW_ZONE="") == read() == "None UTC"


def test_words_are_taken_however_they_are_written() -> None:
    assert read("--severity", "CRITICAL", "--severity", "High") == "None UTC critical high"
    word = options.Words(["close_loop", "note"])
    assert {word.convert(text, None, None) for text in ("close-loop", "close_loop", "Close_Loop", "CLOSE-LOOP")} == {
        "close_loop"
    }


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("cases", "--since", "yesterday"), "it is an age (90m, 24h, 7d), a day (2026-10-01) or a time"),
        (("cases", "--zone", "Europe/Amsterdm"), "'Europe/Amsterdm' is not a time zone, as Europe/Amsterdam is"),
        (("alerts", "--severity", "urgent"), "'urgent' is not one of 'critical', 'high', 'medium'"),
        (("act", "resolve", "c-12345678"), "resolve needs --root-cause and --comment"),
        (("act", "Resolve", "c-12345678", "--comment", "x"), "resolve needs --root-cause\n"),
        (("act", "resolve", "c-12345678", "--root-cause", "late"), "resolve needs --comment\n"),
        (("act", "note", "c-12345678"), "note needs --comment\n"),
        (("act", "assign", "c-12345678", "c-87654321"), "assign needs --assignee\n"),
        (("act", "wontfix", "c-12345678"), "'wontfix' is not one of 'acknowledge', 'contact'"),
        (("act", "note", "--comment", "x"), "Missing argument 'CASE...'"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_read(args: tuple[str, ...], expected: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert expected in result.stderr


def test_no_complaint_needs_no_comment_however_it_is_written() -> None:
    for cause in ("no_complaint", "No complaint", "no-complaint"):
        result = run("act", "resolve", "c-12345678", "--root-cause", cause)
        assert (result.exit_code, "no Kafka broker answers" in result.stderr) == (1, True)


def test_root_is_nobody_and_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "root")
    monkeypatch.delenv("SUDO_USER", raising=False)
    options.warn_of_root(options.login())
    assert "say who you are with --by or NPSFLOW_BY" in capsys.readouterr().err
    monkeypatch.setenv("SUDO_USER", "anna")
    assert options.login() == "anna"
    monkeypatch.setenv("LOGNAME", "ben")
    assert options.login() == "ben"
    options.warn_of_root("ben")
    assert capsys.readouterr().err == ""


# Tab


def completed(*words: str) -> list[str]:
    """What Tab makes of the last word."""
    shell = ShellComplete(main, {}, "npsflow", "_NPSFLOW_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


def test_tab_completes_commands_options_and_words() -> None:
    assert completed("") == list(COMMANDS)
    assert completed("ca") == ["cases"]
    assert completed("--ver") == ["--version"]
    assert completed("cases", "sh") == ["show"]
    assert "--severity" in completed("cases", "--se")
    assert completed("cases", "--severity", "") == ["critical", "high", "medium"]
    assert completed("cases", "--severity", "CR") == ["critical"]
    assert completed("act", "clo") == ["close-loop"]
    assert completed("windows", "--zone", "Europe/Amst") == ["Europe/Amsterdam"]


def test_tab_completes_names_of_the_settings() -> None:
    assert completed("notify", "de") == ["desk"]
    assert set(completed("notify", "")) >= {"desk", "escalations", "log", "replay"}
    assert completed("notify", "log", "e") == completed("notify", "replay", "e") == ["escalations"]
    assert completed("intake", "try", "") == completed("import", "x.csv", "--intake", "s") == ["shop"]
    assert completed("dlq", "list", "--source", "") == ["typeform"]


def test_tab_is_silent_about_settings_that_cannot_be_read() -> None:
    Path("npsflow.toml").write_text("horizon_day = 7\n")
    assert completed("notify", "log", "") == []


def test_tab_on_commands_imports_none_of_them() -> None:
    words = {"COMP_WORDS": "npsflow c", "COMP_CWORD": "1", "_NPSFLOW_COMPLETE": "bash_complete"}
    code = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        "from npsflow.agents.cli import main; main(prog_name='npsflow')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | words, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["plain,cases", "plain,check", "plain,completion"]
    assert not {"aiokafka", "msgspec", "orjson"} & set(done.stderr.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_each_shell(shell: str) -> None:
    script = run("completion", shell)
    assert script.exit_code == 0
    assert f"_NPSFLOW_COMPLETE={shell}_complete" in script.stdout
