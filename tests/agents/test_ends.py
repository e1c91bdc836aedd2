"""However a command is called wrongly, it ends with one sentence and status 2. A new command is among those tried."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from npsflow.agents.broker.embedded import free_port
from npsflow.agents.cli import main

Words = tuple[str, ...]

WITHOUT_SETTINGS = {
    "act", "alerts", "board", "broker", "cases", "cases show", "completion", "demo", "dlq accept", "dlq list",
    "dlq show", "notify log", "produce", "schemas export", "windows",
}  # fmt: skip
"""Commands that read no npsflow.toml, or only once something asks for it."""

WITHOUT_INSTALLATION = {"broker", "completion", "intake try", "schemas export"}
"""Commands that look at no variable of where Kafka is."""

DYNAMIC = {"notify": ("notify", "console")}
"""A group that makes its commands of the settings, and one that it makes."""


def leaves(command: click.Command, words: Words = ()) -> Iterator[tuple[Words, click.Command]]:
    """Every command that can be called, and the words that call it."""
    context = click.Context(command)
    if not isinstance(command, click.Group):
        yield words, command
        return
    if command.invoke_without_command:
        yield words, command
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, (*words, name))
    for name in set(words[:1]) & DYNAMIC.keys():
        inner = command.get_command(context, DYNAMIC[name][1])
        assert inner is not None
        yield DYNAMIC[name], inner


COMMANDS = dict(leaves(main))
NAMES = [pytest.param(words, id=" ".join(words)) for words in COMMANDS]


def is_path(parameter: click.Parameter) -> bool:
    return isinstance(parameter.type, click.Path | click.File)


def is_port(parameter: click.Parameter) -> bool:
    return parameter.name is not None and parameter.name.endswith("port")


PATHS = [pytest.param(w, p, id=f"{' '.join(w)} {p.name}") for w, c in COMMANDS.items() for p in c.params if is_path(p)]
PORTS = [pytest.param(w, p, id=f"{' '.join(w)} {p.name}") for w, c in COMMANDS.items() for p in c.params if is_port(p)]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of its own, no broker, and a cache that cannot be used: what needs one or the other ends soon."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_text('{"key": "value"}\n')
    monkeypatch.setenv("NPSFLOW_BROKERS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("NPSFLOW_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("NPSFLOW_SECRET_BOARD", "a-token-that-is-long-enough-for-all-who-count-its-letters")
    return tmp_path


def sample(parameter: click.Parameter) -> str:
    """Something that a parameter takes."""
    if isinstance(parameter.type, click.Choice):
        return str(parameter.type.choices[0])
    if isinstance(parameter.type, click.Path) and parameter.type.dir_okay and not parameter.type.file_okay:
        return "folder"
    if is_path(parameter):
        return "file"
    return {"platform": "generic", "name": "desk"}.get(str(parameter.name), "0-1")


def call(words: Words, given: dict[str, str] | None = None, *more: str) -> Result:
    """Call it with all that it needs, and what is `given` by the names of parameters."""
    options, arguments = list[str](), list[str]()
    for parameter in COMMANDS[words].params:
        name = str(parameter.name)
        if name in ("yes", "rewrap"):
            options.append(parameter.opts[0])
        if parameter.required or name in (given or {}):
            value = (given or {}).get(name, sample(parameter))
            if isinstance(parameter, click.Option):
                options += [parameter.opts[0], value]
            else:
                arguments.append(value)
    return CliRunner().invoke(main, [*words, *options, *more, *arguments], input="")


def assert_one_sentence(result: Result, status: int = 2) -> None:
    """Of a usage error the last line is the sentence: click says above it how the command is called."""
    assert isinstance(result.exception, SystemExit), result.output
    assert result.exit_code == status, result.output
    lines = result.stderr.splitlines()
    assert lines[-1].startswith("Error: "), lines
    assert len(lines) == 1 or lines[0].startswith("Usage: "), lines
    assert not {"Errno", "Traceback"} & set(result.output.split())


@pytest.mark.parametrize("words", NAMES)
def test_an_unknown_setting_of_the_environment(words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPSFLOW_BROKRS", "x")
    result = call(words)
    if " ".join(words) in WITHOUT_INSTALLATION:
        assert isinstance(result.exception, SystemExit | None)
    elif words == ("check",):
        assert result.exit_code == 1
        assert "NPSFLOW_BROKRS is not a setting" in result.stdout
    else:
        assert_one_sentence(result)


def config(kind: str, folder: Path) -> str:
    if kind in ("typo", "bytes"):
        (folder / kind).write_bytes({"typo": b"horizon_day = 3\n", "bytes": b"\xff"}[kind])
    return str({"folder": folder, "absent": folder / "absent", "below": folder / "file" / "x"}.get(kind, folder / kind))


@pytest.mark.parametrize("kind", ["typo", "bytes", "folder", "absent", "below"])
@pytest.mark.parametrize("words", NAMES)
def test_a_settings_file_that_cannot_be_used(
    words: Words, kind: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPSFLOW_CONFIG", path := config(kind, here))
    if " ".join(words) in WITHOUT_SETTINGS:
        return
    result = call(words)
    if words == ("check",):
        assert result.exit_code == 1
        assert result.stdout.startswith("fail  settings: ")
        assert path in result.stdout
    else:
        assert_one_sentence(result)
        assert path in result.stderr


BAD_PATHS = {"below a file": "file/in", "a folder": "here", "too long": "x" * 300, "absent": "absent/in"}


@pytest.mark.parametrize("bad", BAD_PATHS)
@pytest.mark.parametrize(("words", "parameter"), PATHS)
def test_a_path_that_cannot_be_used(words: Words, parameter: click.Parameter, bad: str, here: Path) -> None:
    Path("here").mkdir()
    takes_folder = isinstance(parameter.type, click.Path) and not parameter.type.file_okay
    path = "file" if takes_folder and bad == "a folder" else BAD_PATHS[bad]
    result = call(words, {str(parameter.name): path})
    if not (takes_folder and bad == "absent"):  # that is made
        assert_one_sentence(result)


@pytest.mark.parametrize("port", ["0", "65536", "-1", "web", "", "80.5"])
@pytest.mark.parametrize(("words", "parameter"), PORTS)
def test_a_port_that_is_none(words: Words, parameter: click.Parameter, port: str) -> None:
    assert_one_sentence(call(words, {str(parameter.name): port}))


@pytest.mark.parametrize("name", ["broker", "demo"])
def test_a_cache_that_cannot_be_used(name: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NPSFLOW_BROKERS")
    result = CliRunner().invoke(main, [name])

    assert_one_sentence(result)
    assert result.stderr == f"Error: {here}/file/cache cannot be used: Not a directory\n"


def entry(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    """The command as a process of its own."""
    command = [sys.executable, "-m", "npsflow.agents.entry", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize("words", [("--help",), ("schemas", "export", "folder")])
def test_a_disk_that_is_full_is_one_line(words: Words) -> None:
    """/dev/full is a file of the system to which nobody can write."""
    with open("/dev/full", "w") as full, entry(*words, stdout=full) as process:
        _, errors = process.communicate()

    assert (process.returncode, errors) == (2, b"Error: No space left on device\n")


@pytest.mark.parametrize("words", [("--help",), ("schemas", "export", "folder")])
def test_a_reader_that_has_enough_ends_a_command_silently(words: Words) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with entry(*words, stdout=writing) as process:
        os.close(writing)
        _, errors = process.communicate()

    assert (process.returncode, errors) == (1, b"")


BLOCKING = """
import sys
print("here", flush=True)
for _ in sys.stdin: pass
"""


@pytest.mark.parametrize("module", ["click", "msgspec", "aiokafka"])
def test_ctrl_c_while_modules_are_imported(module: str, here: Path) -> None:
    """A module of this name waits while it is imported."""
    (here / f"{module}.py").write_text(BLOCKING)
    path = os.environ | {"PYTHONPATH": str(here)}
    with entry("alerts", env=path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()

    assert (process.returncode, output, errors) == (130, b"", b"")


@pytest.mark.parametrize("words", [("alerts",), ("worker",)])
def test_ctrl_c_while_a_broker_is_waited_for(words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("NPSFLOW_BROKERS", f"127.0.0.1:{silent.getsockname()[1]}")
        with entry(*words, stdout=subprocess.PIPE) as process, silent.accept()[0] as connection:
            connection.recv(1)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate()

    assert process.returncode == (0 if words == ("alerts",) else 130)
    assert len((output + errors).splitlines()) <= 1, errors


def test_ctrl_c_at_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        """As click's own."""
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise click.Abort from None

    monkeypatch.setattr(click, "confirm", interrupted)
    result = CliRunner().invoke(main, ["rebuild"])
    assert (result.exit_code, result.stderr) == (130, "")


def test_what_was_started_to_ignore_ctrl_c_goes_on_ignoring_it(here: Path) -> None:
    """As a shell starts what it runs in the background."""
    (here / "aiokafka.py").write_text(BLOCKING)
    path = os.environ | {"PYTHONPATH": str(here)}
    ignoring = f"trap '' INT; exec {sys.executable} -m npsflow.agents.entry alerts"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(["/bin/sh", "-c", ignoring], env=path, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"here\n"
        process.send_signal(signal.SIGINT)
        process.communicate()

    assert process.returncode == 1  # by what the module lacks, not by the signal
