"""A program on a terminal of its own, and how wide a text is there."""

import os
import pty
import re
import subprocess
import sys
import termios
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress

COLUMNS = 80
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """What `python ARGUMENTS` writes to a terminal of 80 columns, codes included; both of its outputs are there."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, COLUMNS))
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    with subprocess.Popen(
        [sys.executable, *arguments],
        env=inherited | {"TERM": "xterm-256color"} | dict(environment or {}),
        stdin=its,
        stdout=its,
        stderr=its,
    ) as process:
        os.close(its)
        written = b""
        with suppress(OSError):  # Linux's answer when the program has ended
            while chunk := os.read(ours, 1 << 16):
                written += chunk
        os.close(ours)
    assert process.returncode == 0, written.decode()
    return written.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    """Without codes."""
    return _CODES.sub("", text)


def width(text: str) -> int:
    """How many cells it takes."""
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )
