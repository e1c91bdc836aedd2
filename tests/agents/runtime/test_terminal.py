"""What the command line prints: whole and plain in a pipe, within 80 columns on a terminal."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from npsflow.agents.runtime.terminal import (
    minute,
    one_line,
    pad,
    print_table,
    short_span,
    shortened,
    table,
    zoned_minute,
)
from npsflow.schemas.times import DAY, HOUR

from .ptys import COLUMNS, on_terminal, plain, width

PRINT_WINDOWS = """
from npsflow.agents.runtime.terminal import show_table
head = ("metric", "segment", "window", "until", "n", "score", "95% interval", "")
rows = [
    ("csat_overall", f"department=配送サービス速達🚚 {'nord ' * 12}{number} tier=enterprise", window,
     "2026-10-01 12:00", "12345", "-12.5", "-20.0 to 3.1", "too few")
    for number in range(300) for window in ("1h", "24h", "7d", "30d")
]
show_table(head, rows, right=("n", "score", "95% interval"), above=("metric", "segment"))
"""
PRINT_OTHERS = """
from npsflow.agents.runtime.terminal import show, show_entry, show_table
show_entry("warn", "groups: a worker is missing: " + "start it " * 20, "yellow")
show_table(("topic", "kept"), [("production." * 9 + str(number), "90 days") for number in range(3)], right=("kept",))
show_table(("a", "n"), [("short", "1")], right=("n",), indent=4)
show("title", "bold")
"""
PRINT_CUT = """
from npsflow.agents.runtime.terminal import show_table
rows = [("c-123456", "word " * 30), ("c-123457", "short")]
show_table(("case", "comment"), rows, above=("comment",), last=True)
show_table(("until", "n", "score", "p/n/d"), [("N" * 72, "1", "2", "9" * 80)], above=("until",), spare=("p/n/d",))
"""
PRINT_PROGRESS = """
import sys
from npsflow.agents.runtime.terminal import progress, reading, status
with progress("sending", 10) as advance:
    print("line 7: refused", file=sys.stderr)
    advance(10)
with reading("cases") as read:
    read(5, 10)
with status(lambda: "Kafka starts " * 20):
    pass
print("sent")
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\nlines\tand  spaces ", "two lines and spaces"),
        ("red \x1b[31m, right-to-left \u202e", "red [31m, right-to-left"),
        ("é" * 60, "é" * 60),
        ("é" * 61, "é" * 59 + "…"),
        ("配" * 30, "配" * 30),
        ("配" * 31, "配" * 29 + "…"),
        (7, "7"),
    ],
)
def test_foreign_text_on_one_line(text: object, line: str) -> None:
    assert one_line(text) == line


def test_short_names_can_be_told_apart() -> None:
    assert shortened(["Delivery", "Sales"], 14) == {"Delivery": "Delivery", "Sales": "Sales"}
    ends = [f"Klantenservice Regio Noord {number:03}" for number in range(300)]
    short = shortened(ends, 14)
    assert short[ends[17]] == "Klanten…rd 017"
    assert len(set(short.values())) == 300
    assert max(map(width, short.values())) <= 14
    starts = shortened(["first of many words", "second of many words"], 10)
    assert starts["first of many words"] == "first of…"
    middles = ["customer-000-of-the-shop", "customer-111-of-the-shop"]
    assert shortened(middles, 9) == dict(zip(middles, middles, strict=True))  # nothing that fits tells them apart
    assert all(width(text) <= 11 for text in shortened(["配送サービス速達一号", "配送サービス速達二号"], 11).values())


def test_the_last_column_takes_the_room_that_is_left() -> None:
    lines = plain(on_terminal(["-c", PRINT_CUT])).splitlines()
    assert lines[0] == "case      comment"
    assert lines[1:3] == [f"c-123456  {'word ' * 13}word…", "c-123457  short"]
    assert max(map(width, lines)) <= COLUMNS
    assert [line.rstrip() for line in lines[-4:]] == [
        "until",
        "  n  score",
        "N" * 72,
        "  1  2",
    ]  # what is spare left the narrow table


def test_a_long_table_begins_before_all_of_its_rows_are_made(capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> Iterator[tuple[str, str]]:
        for number in range(1200):
            if number == 600:
                assert capsys.readouterr().out.startswith("name  n\nr0    0\n")
            yield (f"r{number}" if number < 1100 else "a longer name", str(number))

    print_table(("name", "n"), rows())
    assert capsys.readouterr().out.splitlines()[-1] == "a longer name  1199"
    print_table(("name", "n"), [])
    assert capsys.readouterr().out == "name  n\n"


@pytest.mark.parametrize(
    ("ms", "text"),
    [(59_000, "59 s"), (HOUR - 1, "59 min"), (3 * HOUR + 59, "3 h"), (47 * HOUR, "47 h"), (5 * DAY + HOUR, "5 d")],
)
def test_short_spans(ms: int, text: str) -> None:
    assert short_span(ms) == text


def test_times_are_of_a_zone() -> None:
    amsterdam = ZoneInfo("Europe/Amsterdam")
    assert zoned_minute("2026-10-01T23:30:00Z") == "2026-10-01 23:30 UTC"
    assert zoned_minute("2026-10-01T23:30:00Z", amsterdam) == "2026-10-02 01:30 CEST"
    assert minute("2026-12-01T00:30:00+02:00", amsterdam) == "2026-11-30 23:30"


def test_columns_are_aligned_by_cells_of_a_terminal() -> None:
    assert table(("name", "n", ""), [("a", "10", "few"), ("longer", "9", "")], right=("n",)) == (
        "name     n\na       10  few\nlonger   9"
    )
    assert table(("name", "n"), [("配送", "10"), ("b", "9")], right=("n",)) == "name   n\n配送  10\nb      9"
    assert pad("配送", 6) == "配送  "


def test_windows_of_long_names_fit_a_terminal_and_can_be_told_apart() -> None:
    lines = plain(on_terminal(["-c", PRINT_WINDOWS])).splitlines()

    assert max(map(width, lines)) <= COLUMNS
    assert lines[0] == "metric  segment"
    assert lines[1].split() == ["window", "until", "n", "score", "95%", "interval"]
    words = " ".join(" ".join(lines[2:]).split())
    for number in range(300):
        name = f"csat_overall department=配送サービス速達🚚 {'nord ' * 12}{number} tier=enterprise"
        assert f"{name} 1h 2026-10-01 12:00 12345 -12.5 -20.0 to 3.1 too few 24h " in words


def test_entries_and_cells_are_folded_and_whole() -> None:
    printed = on_terminal(["-c", PRINT_OTHERS])
    lines = plain(printed).splitlines()

    assert max(map(width, lines)) <= COLUMNS
    entry = [line for line in lines if line.startswith(("warn  groups", "      start"))]
    assert " ".join(" ".join(entry).split()) == "warn groups: a worker is missing: " + "start it " * 19 + "start it"
    topics = "".join(line.split()[0] for line in lines if "production." in line or "90 days" in line)
    assert all("production." * 9 + str(number) in topics for number in range(3))
    assert lines[-3:] == ["    a      n", "    short  1", "title"]
    assert "\x1b[33mwarn" in printed
    assert "\x1b[1mtitle" in printed


def test_no_color_leaves_no_colour() -> None:
    assert not re.search(r"\x1b\[[0-9;]*3\d", on_terminal(["-c", PRINT_OTHERS], {"NO_COLOR": "1"}))


def test_progress_is_shown_on_a_terminal_and_nothing_printed_meanwhile_is_lost() -> None:
    written = on_terminal(["-c", PRINT_PROGRESS])

    assert "sending" in written
    assert "100%" in written
    assert "line 7: refused" in written
    assert "5/10" in written
    assert "Kafka starts" in written
    assert plain(written).splitlines()[-1].endswith("sent")


@pytest.mark.parametrize("code", [PRINT_WINDOWS, PRINT_OTHERS, PRINT_PROGRESS])
def test_a_pipe_gets_plain_text_of_any_width(code: str) -> None:
    forced = os.environ | {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm-256color"}
    done = subprocess.run([sys.executable, "-c", code], env=forced, capture_output=True, text=True, check=True)

    assert not re.search("[\x1b\r─-╿]", done.stdout + done.stderr)
    if code == PRINT_WINDOWS:
        lines = done.stdout.splitlines()
        assert len(lines) == 1 + 300 * 4
        assert len({line.index("2026") for line in lines[1:11]}) == 1
        assert all("tier=enterprise" in line and line.endswith("too few") for line in lines[1:])
    if code == PRINT_PROGRESS:
        assert (done.stdout, done.stderr) == ("sent\n", "line 7: refused\n")
