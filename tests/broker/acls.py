"""What deploy/acls.md says: the permissions of each process by its table, and by its commands."""

import re
import shlex
from collections import defaultdict
from pathlib import Path

from .secured import Acl

PAGE = Path(__file__).parents[2] / "deploy" / "acls.md"
PROCESSES = (
    "worker", "intake", "fetch", "produce", "import", "alerts", "cases", "act", "board", "forget", "notify", "windows",
    "history",
    "dlq list", "dlq replay", "dlq accept",
    "topics create", "topics list", "check", "rebuild",
)  # fmt: skip
_ALSO = {"check": "worker", "rebuild": "worker"}
_OPERATIONS = {"DescribeConfigs": "DESCRIBE_CONFIGS"}


def table(prefix: str) -> dict[str, set[Acl]]:
    """By process, with what it needs besides its own lines."""
    found: dict[str, set[Acl]] = defaultdict(set)
    for row in re.findall(r"^\| (.+) \|$", PAGE.read_text(), re.MULTILINE):
        process, resource, pattern, names, operations, _ = (cell.strip() for cell in row.split("|"))
        if resource.isupper():
            of = [(name.strip("`"), operation) for name in names.split() for operation in operations.split()]
            found[process] |= {Acl(resource, pattern, prefix + name, operation) for name, operation in of}
    return {process: own | found[_ALSO.get(process, process)] for process, own in found.items()}


def commands() -> dict[str, list[list[str]]]:
    """The words behind `kafka-acls --add` of each command, by user."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    for line in PAGE.read_text().replace("\\\n", " ").splitlines():
        if line.startswith("$acls "):
            words = shlex.split(line)[1:]
            found[words[words.index("--allow-principal") + 1].removeprefix("User:")].append(words)
    return found


def by_commands() -> dict[str, set[Acl]]:
    """What the commands allow, by user."""
    found: dict[str, set[Acl]] = defaultdict(set)
    for user, calls in commands().items():
        for words in calls:
            options: dict[str, list[str]] = defaultdict(list)
            for option, value in zip(words[::2], words[1::2], strict=True):
                options[option].append(value)
            pattern = options.pop("--resource-pattern-type", ["literal"])[0].upper()
            operations = [_OPERATIONS.get(word, word.upper()) for word in options.pop("--operation")]
            del options["--allow-principal"]
            for option, names in options.items():
                resource = option.strip("-").replace("-", "_").upper()
                found[user] |= {Acl(resource, pattern, name, operation) for name in names for operation in operations}
    return found


def user(process: str) -> str:
    """As the page names it."""
    return f"npsflow-{process.replace(' ', '-')}"
