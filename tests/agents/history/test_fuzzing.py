"""Files near valid exports: each is read or refused as a whole, and no entry of one that is read gets lost."""

import csv
import io
import json
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.agents.history.entries import UnreadableFile
from npsflow.agents.history.planning import Plan
from npsflow.schemas.topics import MAX_INPUT, RESPONSES
from npsflow.streams.classify.parsing import read
from npsflow.streams.scoring.scores import Scales
from tests.agents.platforms.conformance import FIXTURES
from tests.agents.platforms.exports import export
from tests.support.fuzzing import ODD_VALUES, anything, fuzzed, put, spoilt, with_each_replaced

EXAMPLES = 600
MARK = "qzqz"
"""In what is put into files: no error text repeats it."""

EXPORTS = {path.parent.name: export(path.parent.name) for path in sorted(FIXTURES.glob("*/export"))}
_CELLS = ("", " ", "0", "11", "-1", "9.5", "1e999", "NaN", "=1+1", "'=1", "\ufeff", "\x00", "\u202e", "\ud83d\ude00",
    "2026-02-30 10:00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:59", "31/12/2026", "99999999999999999999",
    '{"a": 1}', "[]", "null", "true", "a,b;c\td|e", 'two "marks"', "two\nlines", "sep=;", "x" * 300, "/" * 5,
    "9" * 5_000, f"{MARK}@example.com", f"{MARK} " * 6_000)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    f"{MARK}@example.com",
    [MARK],
    {MARK: MARK},
    [[MARK]],
    5,
    1e300,
    True,
    None,
    "9" * 5_000,
    float("nan"),
)
_ENCODINGS = ("utf-8",) * 6 + ("utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32")
_OPTIONS = ("utf-8",) * 8 + ("utf-16", "cp1252", "latin-1", "utf-7", "no-encoding", "idna", "rot13")


def table(random: Random, text: str) -> str:
    """A table with other cells, columns, rows, delimiters or quotation marks."""
    rows = list(csv.reader(io.StringIO(text), delimiter=";" if ";" in text.split("\n")[0] else ","))
    for _ in range(random.choice((0, 1, 1, 2, 5))):
        row = random.choice(rows)
        match random.randrange(7):
            case 0 if row:
                del row[random.randrange(len(row))]
            case 1:
                row.insert(random.randrange(len(row) + 1), random.choice(_CELLS))
            case 2:
                rows.insert(random.randrange(len(rows) + 1), list(row))
            case 3 if len(rows) > 1:
                rows.remove(row)
            case 4:
                at = random.randrange(20)
                for one in rows:
                    one[at : at + 1] = one[at : at + 1] * random.choice((0, 2))
            case _ if row:
                row[random.randrange(len(row))] = random.choice(_CELLS)
    made = io.StringIO()
    quoting: Literal[0, 1] = random.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    ends = random.choice(("\n", "\r\n", "\r"))
    csv.writer(
        made, delimiter=random.choice((",", ",", ";", "\t", "|", ":")), lineterminator=ends, quoting=quoting
    ).writerows(rows)
    return random.choice(("", "", "", "\n", "sep=,\n", "above\n")) + made.getvalue()


def document(random: Random, text: str, some: Any) -> str:
    """A document, or lines, with something else in them."""
    value = json.loads(text) if "\n{" not in text else [*map(json.loads, filter(None, text.splitlines()))]
    for _ in range(random.choice((0, 1, 1, 3))):
        put(value, random.random, random.choice((some, *_VALUES)))
    if isinstance(value, list) and random.random() < 0.5:
        return "\n".join(json.dumps(item) for item in value)
    return json.dumps(value, indent=random.choice((None, 2)), ensure_ascii=random.random() < 0.5)


def file(random: Random, name: str, some: Any) -> bytes:
    """The bytes of a file."""
    kind = random.choice(EXPORTS[name].kinds())
    text = (EXPORTS[name].folder / f"export.{kind}").read_text()
    made = table(random, text) if kind == "csv" else document(random, text, some)
    data = made.encode(random.choice(_ENCODINGS), errors="replace")
    return spoilt(random, data) if random.random() < 0.2 else data


@fuzzed(EXAMPLES)
@given(random=st.randoms(), name=st.sampled_from(sorted(EXPORTS)), some=anything)
def test_a_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, random: Random, name: str, some: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(file(random, name, some))
    why = ""
    try:
        _expect_accounted(EXPORTS[name].plan(path, random.choice(_OPTIONS)))
    except UnreadableFile as error:
        why = str(error)
    assert MARK not in why
    assert "\n" not in why


def items(name: str) -> list[Any]:
    """The items of a JSON export, out of whatever holds them."""
    text = (EXPORTS[name].folder / "export.json").read_text()
    if "\n{" in text and text[0] == "{" and "\n}" not in text:
        return [*map(json.loads, filter(None, text.splitlines()))]
    value = json.loads(text)
    (found,) = [value] if isinstance(value, list) else [inner for inner in value.values() if isinstance(inner, list)]
    return list(found)


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", [name for name in EXPORTS if "json" in EXPORTS[name].kinds()])
def test_any_field_of_an_item_may_be_anything(name: str, value: Any, tmp_path: Path) -> None:
    odd = [made for item in items(name) for made in with_each_replaced(item, value)]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(odd))
    plan = EXPORTS[name].plan(path)
    assert plan.entries == len(odd)
    _expect_accounted(plan)


def _expect_accounted(plan: Plan) -> None:
    """Of every entry there is a record, a refusal, or it holds no score; a worker takes every record."""
    assert plan.entries <= len(plan.records) + len(plan.refused) + plan.empty
    for entry in plan.refused:
        assert entry.number >= 1
        assert MARK not in f"{entry.reason}{entry.message}"
    for record in plan.records:
        assert len(record.value) <= MAX_INPUT
        if record.kind.topic == RESPONSES:
            response, _, _ = read(record.value, Scales())
            assert record.key == f"{response.source}/{response.response_id}".encode()
