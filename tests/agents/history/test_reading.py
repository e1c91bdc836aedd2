"""Files as they are: delimiters, encodings, quotation marks, ragged rows. What is bad is named by its line."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.agents.history.entries import RefusedEntry, UnreadableFile
from npsflow.agents.history.planning import Plan
from tests.agents.platforms.conformance import FIXTURES
from tests.agents.platforms.exports import plan, values

HEADER = "Response ID,Survey Type,Score,Comment,Created At,Customer ID"


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "export"
    path.write_bytes(text.encode(encoding))
    return path


def delighted(folder: Path, text: str, encoding: str = "utf-8", option: str = "utf-8") -> Plan:
    return plan("delighted", write(folder, text, encoding), option)


def refused(made: Plan) -> list[tuple[int, str, str]]:
    return [(entry.number, entry.reason, entry.message) for entry in made.refused]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("encoding", "option"), [("utf-8", "utf-8"), ("utf-8-sig", "UTF-8"), ("utf-16", "utf-16"), ("cp1252", "cp1252")]
)
def test_delimiter_ends_and_encoding(tmp_path: Path, delimiter: str, end: str, encoding: str, option: str) -> None:
    rows = [
        HEADER.split(","),
        ["1", "nps", "9", '"één ""mooie"";\ndag, toch"', "2026-03-01 10:00:00", "C-1"],
        [],
        ["", "", "", "", "", ""],
        ["2", "nps", "3", "é", "2026-03-01 09:00:00", "C-2"],
    ]
    made = delighted(tmp_path, end + end.join(delimiter.join(row) for row in rows), encoding, option)
    assert made.refused == []
    assert made.entries == 2
    second, first = values(made)
    assert (first["comment"], first["customer"]) == ('één "mooie";\ndag, toch', {"id": "C-1"})
    assert second["comment"] == "é"


def test_bad_rows_are_named_by_their_line(tmp_path: Path) -> None:
    text = "\n".join(
        [
            HEADER,
            '1,nps,9,"two\nlines",2026-03-01 10:00:00,C-1',
            "2,nps,9,too few",
            "3,nps,9,a,2026-03-01 10:00:00,C-1,one too many",
            '4,nps,9,"a"b,2026-03-01 10:00:00,C-1',
            "5,nps,eleven,secret@example.com,2026-03-01 10:00:00,C-1",
            "6,nps,11,,2026-03-01 10:00:00,C-1",
            "7,nps,9,,,C-1",
            "8,nps,9,,01/02/2026 10:00,C-1",
            ",nps,9,,2026-03-01 10:00:00,C-1",
            "10,ces,3,,2026-03-01 10:00:00,C-1",
            "11,nps,,,2026-03-01 10:00:00,C-1",
            '12,nps,9,"never closed,2026-03-01 10:00:00,C-1',
            "13,nps,9,,2026-03-01 10:00:00,C-1",
        ]
    )
    made = delighted(tmp_path, text)
    assert refused(made) == [
        (4, "ragged", "4 columns where the header has 6"),
        (5, "ragged", "7 columns where the header has 6"),
        (6, "not_csv", "not CSV: ',' expected after '\"'"),
        (7, "invalid_score", "score is a str, not an integer"),
        (8, "score_out_of_range", "score is not within 0-10"),
        (9, "missing_field", "submitted_at is missing"),
        (10, "invalid_time", "submitted_at: day and month could be either way round: say which with --dates"),
        (11, "invalid_identifier", "response_id is not a text of 1 to 256 characters"),
        (12, "unmapped", "of this survey_type metric and scale have to be said: [[intake.NAME.scores]]"),
        (14, "not_csv", "a quotation mark is not closed"),
    ]
    assert [record["response_id"] for record in values(made)] == ["1"]
    assert (made.empty, made.entries) == (1, 12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (" \n\n", "the file is empty"),
        ("Survey Type,Score,Created At\nnps,1,2026-03-01 10:00", "no column is the id of a response"),
        ("Response ID,Score\n1,2", "no column is the time of an answer"),
        ('"Response ID,Score\n1,2', "cannot be read: is it CSV"),
        ("[{]", "is not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UnreadableFile, match=message):
        delighted(tmp_path, text)


def test_another_encoding_is_said_with_its_line(tmp_path: Path) -> None:
    text = f"{HEADER}\n1,nps,9,fine,2026-03-01 10:00:00,C-1\n2,nps,9,één,2026-03-01 10:00:00,C-1\n"
    with pytest.raises(UnreadableFile, match="line 3 is not utf-8: say which it is with --encoding"):
        delighted(tmp_path, text, "cp1252")
    with pytest.raises(UnreadableFile, match="line 1 is not utf-16"):
        delighted(tmp_path, text, "utf-8", "utf-16")
    with pytest.raises(UnreadableFile, match="'klingon' is not an encoding"):
        delighted(tmp_path, text, "utf-8", "klingon")


def test_columns_of_the_mapping_have_to_be_there_once(tmp_path: Path) -> None:
    text = (FIXTURES / "typeform" / "export" / "export.csv").read_text()
    for changed, message in (
        (text.replace("Why?", "Why not?"), "'Why\\?' of the mapping is not in the file"),
        (text.replace("Tags", "Why?"), r"columns 3 and 16 are both called 'Why\?': .* \"column 3\" = \"answers.why\""),
    ):
        with pytest.raises(UnreadableFile, match=message):
            plan("typeform", write(tmp_path, changed))


def test_what_the_mapping_says_of_a_column_goes_before_its_title(tmp_path: Path) -> None:
    text = (FIXTURES / "qualtrics" / "export" / "export.csv").read_text().replace("_recordId", "QID1")
    with pytest.raises(UnreadableFile, match="columns 8 and 14 are both called 'QID1'"):
        plan("qualtrics", write(tmp_path, text), columns={"QID1": "values.QID1"})
    (made,) = values(plan("qualtrics", write(tmp_path, text), columns={"Q1": "values.QID1"}))
    assert (made["score"], made["response_id"]) == (2, "R_3fa85f645717456")


def test_a_file_that_does_not_tell_its_form_is_not_taken_for_any(tmp_path: Path) -> None:
    text = (FIXTURES / "formbricks" / "export" / "export.csv").read_text()
    with pytest.raises(UnreadableFile, match="of which form it is: say its id with --form"):
        plan("formbricks", write(tmp_path, text.replace('"Survey ID"', '"Study"')))


def test_a_file_without_the_score_question_is_not_read_in_vain(tmp_path: Path) -> None:
    text = (FIXTURES / "qualtrics" / "export" / "export.csv").read_text()
    with pytest.raises(UnreadableFile, match=r"no column is values\.QID1: name it"):
        plan("qualtrics", write(tmp_path, text.replace('""QID1""', '""QID7""')))


def test_json_lines_and_documents(tmp_path: Path) -> None:
    items = json.loads((FIXTURES / "delighted" / "export" / "export.json").read_text())
    lines = [json.dumps(item) for item in items]
    expected = values(plan("delighted", FIXTURES / "delighted" / "export" / "export.json"))
    for text in ("\ufeff" + "\n\n".join(lines), json.dumps({"n": 2, "people": items}), json.dumps(items, indent=4)):
        assert values(delighted(tmp_path, text)) == expected
    assert values(delighted(tmp_path, lines[0])) == expected[1:]

    made = delighted(tmp_path, "\n".join([lines[0], "{", "[1]", lines[1]]))
    assert refused(made) == [(2, "not_json", "not JSON"), (3, "not_object", "the JSON is not an object")]
    assert values(made) == expected
    made = delighted(tmp_path, json.dumps([items[0], 7, {"id": "1", "score": 2}]))
    assert refused(made) == [
        (2, "not_object", "the JSON is not an object"),
        (3, "missing_field", "created_at is missing"),
    ]


@given(
    text=st.text(max_size=200)
    | st.lists(st.sampled_from([*HEADER, '"', ",", "\n", "1", "é", "{", "[", "]"])).map("".join)
)
def test_whatever_a_file_holds_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    for begin in ("", HEADER + "\n"):
        try:
            made = delighted(folder, (begin + text).encode(errors="replace").decode())
        except UnreadableFile:
            continue
        assert all(isinstance(entry, RefusedEntry) and entry.number >= 1 for entry in made.refused)
