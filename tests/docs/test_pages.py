"""What the README tells readers to type and to write is what npsflow takes."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from npsflow.agents.cli import main
from npsflow.streams.classify.parsing import read
from npsflow.streams.config.settings import Settings, parse

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
FOUND = re.findall(r"(?:^    |^\$ |`)(npsflow [^#|`\n]+)", README, re.MULTILINE)
TYPED = sorted({line.strip() for line in FOUND} - {"npsflow COMMAND --help"})


def test_its_settings_can_be_used_together() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    settings = parse("\n".join(sorted(blocks, key=lambda block: block.startswith("["))))  # plain keys come first

    assert settings.recovery.owners
    assert settings.intake["after-delivery"].columns
    assert settings.notify["desk"].kind == "slack"


@pytest.mark.parametrize("line", TYPED)
def test_its_commands_and_options_are_there(line: str) -> None:
    words, known = shlex.split(line)[1:], set[str]()
    command: click.Command = main
    for word in words:
        if isinstance(command, click.Group) and (below := command.get_command(click.Context(command), word)):
            command = below
        known |= {option for parameter in command.params for option in parameter.opts}

    assert command is not main
    assert {word for word in words if word.startswith("--")} <= known


def test_its_response_is_accepted() -> None:
    (line,) = re.findall(r"^    (echo '\{.*?) \| npsflow produce -$", README, re.MULTILINE | re.DOTALL)
    said = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout

    assert said.count(b"\n") == 1
    _, _, warnings = read(said, Settings().all_scales())
    assert not warnings
