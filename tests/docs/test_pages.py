"""What the documents tell readers to type, to write and to follow is what npsflow takes."""

import ast
import importlib
import json
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from npsflow.agents.cli import main
from npsflow.schemas.errors import SettingsError
from npsflow.streams.classify.parsing import read
from npsflow.streams.config.settings import Settings, parse
from npsflow.streams.intake import recipes
from tests.agents.platforms.conformance import endpoint, platform
from tests.agents.platforms.signing import SECRET

from . import pages

CALLS = [(name, call) for name in pages.NAMES for call in sorted(pages.commands(name, "npsflow"))]
MAKE = [(name, call) for name in pages.NAMES for call in sorted(pages.commands(name, "make"))]
SETTINGS = [(name, text) for name in pages.NAMES if (text := "\n".join(pages.blocks(name, "toml")))]
MOST_BYTES = 9000
RECIPES = {f"docs/platforms/{name}.md" for name in recipes.names()}


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_commands_and_options_are_there(name: str, call: str) -> None:
    if "COMMAND" not in call:
        _parse(main, shlex.split(call)[1:])


def _parse(command: click.Command, args: list[str]) -> None:
    """Raises click.UsageError for a command, an option or a choice that is not there."""
    context = click.Context(command)
    given, rest, _ = command.make_parser(context).parse_args(list(args))
    for parameter in command.params:
        value = given.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)
    if isinstance(command, click.Group) and rest:
        below = command.get_command(context, rest[0])
        assert below is not None, f"{rest[0]} is not a command"
        _parse(below, rest[1:])
    else:
        assert not rest


@pytest.mark.parametrize(
    "call", ["npsflow wind", "npsflow windows --foo", "npsflow dlq list --reason bad", "npsflow cases a b"]
)
def test_a_call_that_does_not_exist_is_found(call: str) -> None:
    with pytest.raises((click.UsageError, AssertionError)):
        _parse(main, shlex.split(call)[1:])


@pytest.mark.parametrize("name", pages.NAMES)
def test_options_that_are_named_alone_are_there(name: str) -> None:
    known = {option for one in pages.all_commands(main).values() for option in _options(one)}

    assert {text.split()[0] for text in pages.inline(name) if text.startswith("--")} <= known


def _options(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize(("name", "call"), MAKE)
def test_targets_of_make_are_there(name: str, call: str) -> None:
    makefile = (pages.ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z./]+):", makefile, re.MULTILINE))

    assert shlex.split(call)[1] in targets


@pytest.mark.parametrize(("name", "text"), SETTINGS)
def test_settings_of_a_page_can_be_used_together(name: str, text: str) -> None:
    try:
        parse(text)
    except SettingsError:
        for block in pages.blocks(name, "toml"):
            parse(block)


def test_responses_are_accepted() -> None:
    sent = [
        command
        for name in pages.NAMES
        for text in pages.blocks(name, "sh")
        for command in re.findall(r"^(echo '\{.*?) \| npsflow produce -$", text, re.MULTILINE | re.DOTALL)
    ]
    assert sent
    for command in sent:
        line = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
        assert line.count(b"\n") == 1
        _, _, warnings = read(line, Settings().all_scales())
        assert not warnings


def test_the_webhook_of_the_readme_becomes_a_response(tmp_path: Path) -> None:
    (settings,) = pages.blocks("README.md", "toml")
    (call,) = re.findall(r"^curl .*?'$", "\n".join(pages.blocks("README.md", "sh")), re.MULTILINE | re.DOTALL)
    printed = subprocess.run(["bash", "-c", call.replace("curl", r"printf '%s\0'", 1)], capture_output=True, check=True)
    _, secret, url, _, body, _ = printed.stdout.split(b"\0")
    config, file = tmp_path / "npsflow.toml", tmp_path / "body.json"
    config.write_text(settings)
    file.write_bytes(body)
    result = CliRunner().invoke(main, ["intake", "try", "shop", str(file)], env={"NPSFLOW_CONFIG": str(config)})

    assert (secret, url) == (b"Authorization: Bearer change-me", b"127.0.0.1:6080/in/shop")
    assert result.exit_code == 0
    assert result.stderr.startswith("generic/r-2: accepted\n")
    assert "found nothing" not in result.stderr
    assert json.loads(result.stdout)["customer"] == {"id": "C-2"}


@pytest.mark.parametrize("name", recipes.names())
def test_the_settings_of_a_recipe_take_what_its_platform_sends(name: str) -> None:
    (settings,) = pages.blocks(f"docs/platforms/{name}.md", "toml")
    under = platform(name)
    form = parse(settings).intake[name]
    made = under.become(under.good, endpoint(form, secrets=[SECRET]))
    assert [response["score"] for response in made] == [response["score"] for response in under.become(under.good)]


@pytest.mark.parametrize("name", pages.NAMES)
def test_links_and_anchors_resolve(name: str) -> None:
    for target in pages.links(name):
        path, _, anchor = target.partition("#")
        file = (pages.ROOT / name).parent / path if path else pages.ROOT / name
        assert file.exists(), target
        if anchor:
            assert anchor in pages.anchors(str(file.resolve().relative_to(pages.ROOT))), target


@pytest.mark.parametrize("name", pages.NAMES)
def test_files_that_are_named_exist(name: str) -> None:
    paths = [
        text for text in pages.inline(name) if re.fullmatch(r"(streams|agents|schemas|tests|deploy)/[\w./-]*", text)
    ]
    for path in paths:
        example = "NAME" in path
        assert example or (pages.ROOT / path).exists(), path


@pytest.mark.parametrize("name", pages.NAMES)
def test_headings_do_not_skip_a_level(name: str) -> None:
    levels = [
        len(marks)
        for marks in re.findall(r"^(#+) ", re.sub(r"```.*?```", "", pages.TEXTS[name], flags=re.DOTALL), re.M)
    ]

    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert levels.count(1) == 1


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md"])
def test_size(name: str) -> None:
    assert (pages.ROOT / name).stat().st_size <= MOST_BYTES


@pytest.mark.parametrize("name", sorted({*pages.NAMES} - {"README.md", "CHANGELOG.md"}))
def test_a_page_says_first_what_it_is_for_and_when_it_is_needed(name: str) -> None:
    first = " ".join(pages.TEXTS[name].split("\n\n")[1].split())

    assert re.match(r"[^.]+(?:\.\w[^.]*)*\. You need (?:it|this page) ", first), first


def test_every_manual_is_linked_from_the_readme() -> None:
    linked = {target.partition("#")[0] for target in pages.links("README.md")}

    assert {name for name in pages.NAMES if name.startswith("docs/")} - RECIPES <= linked


def test_every_recipe_has_a_page_that_the_table_of_platforms_links() -> None:
    assert {f"docs/{target}" for target in pages.links("docs/webhooks.md")} >= RECIPES


def test_every_command_is_in_the_table() -> None:
    listed = [
        pages.code(row[0]).removeprefix("npsflow ")
        for row in pages.rows("docs/operating.md", ["command", "what it does", "page"])
    ]

    assert sorted(listed) == sorted(pages.all_commands(main))


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("README.md", ["process", "how many", "port"]),
        ("docs/operating.md", ["process", "port", "number", "without a broker at its start"]),
    ],
)
def test_ports_are_the_defaults(name: str, head: list[str]) -> None:
    commands = pages.all_commands(main)
    notify = commands["notify"]
    assert isinstance(notify, click.Group)
    for row in pages.rows(name, head):
        process = row[0].split("`")[1].split()[1]
        command = notify.get_command(click.Context(notify), "NAME") if process == "notify" else commands[process]
        assert command is not None
        ports = [p.default for p in command.params if {"--port", "--web-port"} & {*p.opts}]
        assert ports == [int(row[head.index("port")])], process


def test_every_package_is_in_the_code_map() -> None:
    listed = {
        path for row in pages.rows("ARCHITECTURE.md", ["where", "what"]) for path in re.findall(r"`([^`]+/)`", row[0])
    }
    packages = {
        f"{path.parent.relative_to(pages.ROOT)}/"
        for top in ("streams", "agents")
        for path in (pages.ROOT / top).glob("*/__init__.py")
    }

    assert packages <= listed


def test_every_dependency_has_a_reason() -> None:
    text = (pages.ROOT / "pyproject.toml").read_text("utf-8")
    required = set(re.findall(r'^    "([a-z-]+)(?:\[[a-z0-9,]+\])?>=', text, re.MULTILINE))
    named = {name for row in pages.rows("ARCHITECTURE.md", ["package", "reason"]) for name in row[0].split(", ")}

    assert named - {"**tests and gates**"} == required


def test_the_subscriber_compiles_and_its_imports_resolve() -> None:
    (program,) = pages.blocks("README.md", "python")
    compile(program, "subscriber", "exec")
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Import):
            for one in node.names:
                importlib.import_module(one.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, one.name) for one in node.names)
