"""The documents as data: pages, their code blocks, tables, headings and links."""

import re
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
TOP = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "deploy/acls.md")
NAMES = (*TOP, *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")))
TEXTS = {name: (ROOT / name).read_text("utf-8") for name in NAMES}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def blocks(name: str, language: str) -> list[str]:
    """The contents of fenced blocks in this language, in their order."""
    return [text for found, text in _FENCE.findall(TEXTS[name]) if found == language]


def _prose(name: str) -> str:
    return _FENCE.sub("", TEXTS[name])


def links(name: str) -> list[str]:
    """Targets of links within the repository, with their anchors."""
    return [target for target in _LINK.findall(_prose(name)) if not re.match(r"[a-z]+:", target)]


def anchors(name: str) -> set[str]:
    """Headings, as the repository's host makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", _prose(name), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def inline(name: str) -> list[str]:
    """What stands in single backticks, line breaks as spaces."""
    return [text.replace("\n", " ") for text in _INLINE.findall(_prose(name))]


def commands(name: str, program: str) -> set[str]:
    """Calls of a program: a line of a shell block or of a session, the end of a pipe, or inline code."""
    found = [text for text in inline(name) if text.split()[:1] == [program]]
    lines = [line for language in ("sh", "") for text in blocks(name, language) for line in text.splitlines()]
    lines += re.findall(r"^    (?=\w)(.+)$", _prose(name), re.MULTILINE)
    for line in lines:
        if match := re.match(rf"(?:.* \| |\$ |(?:[A-Z_]+=\S+ )+)?({program} .*)", line):
            found.append(match[1].partition(" #")[0].strip())
    return set(found)


def tables(name: str) -> list[list[list[str]]]:
    """Each table as rows of cells, the head first, the line below it left out."""
    found: list[list[list[str]]] = []
    inside = False
    for line in TEXTS[name].splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not inside:
            found.append([])
        if not all(re.fullmatch("-+", cell) for cell in cells):
            found[-1].append(cells)
        inside = True
    return found


def rows(name: str, head: list[str]) -> list[list[str]]:
    """The rows of all tables with this head."""
    found = [row for table in tables(name) if table[0] == head for row in table[1:]]
    assert found, f"{name} has no table of {head}"
    return found


def code(cell: str) -> str:
    """What stands in the backticks that fill a cell."""
    match = re.fullmatch("`([^`]+)`", cell)
    assert match, f"{cell!r} is not in backticks"
    return match[1]


def all_commands(command: click.Command, path: str = "") -> dict[str, click.Command]:
    """Every command that does something, by its whole name."""
    found = {path: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        below = {name: command.get_command(context, name) for name in command.list_commands(context)}
        if not (command.invoke_without_command or "NAME" in command.subcommand_metavar):
            found = {}  # a group that only holds commands
        for name, one in below.items():
            assert one is not None
            found |= all_commands(one, f"{path} {name}".strip())
    return found
