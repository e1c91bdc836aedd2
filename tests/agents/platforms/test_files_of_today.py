"""Files as platforms, spreadsheets and people write them today. What is read is what a webhook would have brought."""

import csv
import io
import json
from collections.abc import Sequence
from io import BufferedReader, BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from npsflow.agents import platforms
from npsflow.agents.history.entries import ExportFile, UnreadableFile
from npsflow.agents.history.planning import Plan, Planner
from npsflow.agents.history.reading import read
from npsflow.agents.platforms.protocol import Delivery, FileOptions
from npsflow.agents.platforms.times import TimeFormat
from npsflow.streams.intake.entrance import Entrance
from npsflow.streams.intake.mapping import FormMapping, check
from npsflow.streams.scoring.scores import Scales

from .conformance import endpoint
from .exports import METRICS, values

UTC = TimeFormat(ZoneInfo("UTC"))


def written(rows: Sequence[Sequence[str]], delimiter: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


def mapping(platform: str, **settings: Any) -> FormMapping:
    form = msgspec.convert({"platform": platform, "survey_id": "s"} | settings, FormMapping)
    assert check(form) is None
    return form


def imported(form: FormMapping, data: str | bytes, times: TimeFormat = UTC, **options: Any) -> tuple[Plan, ExportFile]:
    export = platforms.by_name(form.platform).export
    assert export is not None
    source: Any = BufferedReader(BytesIO(data if isinstance(data, bytes) else data.encode()))
    file = read(source, export, form, FileOptions(times, **{"form": "f"} | options))
    return Planner(Entrance("e", form), export, Scales(), METRICS).plan(file.entries), file


def becomes(form: FormMapping, data: str | bytes, times: TimeFormat = UTC, **options: Any) -> list[dict[str, Any]]:
    plan, _ = imported(form, data, times, **options)
    assert plan.refused == []
    return values(plan)


SHEET = mapping(
    "generic",
    scores=[{"question": "score", "metric": "nps"}],
    comment=["why"],
    fields={"customer.phone": "phone", "customer.id": "customer", "customer.value": "spent"},
    drivers={"wrong": "what went wrong"},
)
TITLES = ["response_id", "submitted_at", "score", "why", "phone", "customer", "spent", "wrong"]


def sheet(*rows: Sequence[str]) -> str:
    return written([TITLES, *([*row, *[""] * (len(TITLES) - len(row))] for row in rows)])


# What kind of file it is


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        (b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0[Content_Types].xml", "an Excel workbook: open it, and save the sheet"),
        (b"PK\x03\x04\x14\0\0\0\0\0\0\0mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "an OpenDocument"),
        (b"PK\x03\x04\x14\0\0\0\x08\0survey.csv", "a zip archive: unpack it, and import the files in it one by one"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook: open it"),
        (b"\x1f\x8b\x08\0", r"compressed \(gzip\): unpack it"),
        (b"%PDF-1.7\n", "a PDF: export the responses as CSV or JSON"),
        (b"<!doctype html><table>", "HTML or XML: export the responses as CSV or JSON"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "the file is no text: export the responses"),
        ("id,score\n".encode("utf-16-le"), "UTF-16 without a byte order mark: say --encoding utf-16-le"),
        ("id,score\n".encode("utf-16-be"), "UTF-16 without a byte order mark: say --encoding utf-16-be"),
    ],
)
def test_what_is_no_export_is_named_with_what_to_do(begin: bytes, message: str) -> None:
    with pytest.raises(UnreadableFile, match=message):
        imported(SHEET, begin)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(encoding: str) -> None:
    (made,) = becomes(SHEET, sheet(["r-1", "2026-03-01 10:00", "3", "één dag te laat"]).encode(encoding))
    assert made["comment"] == "één dag te laat"
    (made,) = becomes(
        SHEET, json.dumps({"response_id": 1, "submitted_at": "2026-03-01 10:00", "score": 3}).encode(encoding)
    )
    assert made["score"] == 3


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "^"])
def test_a_first_line_says_what_stands_between_cells(delimiter: str) -> None:
    text = written([TITLES[:4], ["r-1", "2026-03-01 10:00", "3", "a, b; c"]], delimiter)
    (made,) = becomes(SHEET, f"sep={delimiter}\n{text}")
    assert made["comment"] == "a, b; c"
    plan, file = imported(SHEET, f"sep={delimiter}\r\n{text}{delimiter.join(['r-2', 'never', '3', ''])}\n")
    assert [(entry.number, entry.reason) for entry in plan.refused] == [(4, "invalid_time")]
    assert file.header.startswith(f"sep={delimiter}")  # so that the file of what is refused can be read again


# Cells


def test_scores_are_whole_numbers_however_they_are_written() -> None:
    scores = ["9.0", "9,0", " 9 ", "9.00", "10.0", "9.5", "9,5", "nine"]
    plan, _ = imported(SHEET, sheet(*([f"r-{n}", "2026-03-01 10:00", score] for n, score in enumerate(scores))))
    assert [made["score"] for made in values(plan)] == [9, 9, 9, 9, 10]
    assert [(entry.number, entry.reason) for entry in plan.refused] == [(n, "invalid_score") for n in (7, 8, 9)]


@pytest.mark.parametrize(
    "cell", ["-1 for the driver", "=never again", "+31201234567", "@home it broke", "'quoted'", "'"]
)
def test_the_guard_of_a_cell_is_no_part_of_it(cell: str) -> None:
    guarded = "'" + cell if cell[0] in "=+-@" else cell
    (made,) = becomes(SHEET, sheet(["r-1", "2026-03-01 10:00", "3", guarded, guarded]))
    assert (made["comment"], made["customer"]["phone"]) == (cell, cell)


def test_a_number_of_a_cell_is_one_of_json() -> None:
    (made,) = becomes(SHEET, sheet(["r-1", "2026-03-01 10:00", "3", "", "", "7", "1200,0", "2.0"]))
    assert made["customer"] == {"id": "7", "value": 1200}
    assert made["answers"] == [{"question_id": "wrong", "topic": "what went wrong", "score": 2}]


def test_codes_for_no_answer_are_none() -> None:
    rows = sheet(
        ["r-1", "2026-03-01 10:00", "-99", "late"], ["r-2", "2026-03-01 10:00", "3", "-99", "", "-99", "", "-99"]
    )
    form = msgspec.structs.replace(SHEET, no_answer=(-99,))
    plan, _ = imported(form, rows)
    assert (plan.empty, plan.refused) == (1, [])
    (made,) = values(plan)
    assert not {"comment", "customer", "answers"} & made.keys()
    assert [entry.reason for entry in imported(SHEET, rows)[0].refused] == ["invalid_score"]  # nothing is guessed


# Rows


def test_a_line_of_words_below_the_table_is_no_answer() -> None:
    good = sheet(["r-1", "2026-03-01 10:00", "3"])
    for last in (
        "Reporting period 2026-02-01 to 2026-03-01\n",
        '"Generated by someone",,,,,,,\n',
        "One\ttwo\nThree four\n\n",
    ):
        plan, file = imported(SHEET, good + last)
        assert (len(plan.records), plan.refused) == (1, [])
        assert file.remarks[0] == "line 3 is below the table, and is no answer"
    for last, line in (("r-2\n", 3), ("r-2,2026-03-01 10:00", 3), ("Two words\nr-3,2026-03-01 10:00,3,,,,,\n", 3)):
        plan, file = imported(SHEET, good + last)
        assert ([entry.number for entry in plan.refused], file.remarks) == ([line], [])


def test_one_unusable_answer_costs_that_answer() -> None:
    scores = [{"question": "score", "metric": "nps"}, {"question": "effort", "metric": "ces"}]
    form = mapping("generic", scores=scores)
    plan, _ = imported(
        form, written([["response_id", "submitted_at", "score", "effort"], ["r", "2026-03-01 10:00", "11", "7"]])
    )
    assert [made["metric"] for made in values(plan)] == ["ces"]
    assert [(entry.number, entry.reason) for entry in plan.refused] == [(2, "score_out_of_range")]

    form = mapping("generic", scores=scores[:1], each="rows")
    rows = [
        {"response_id": n, "submitted_at": at, "score": 3}
        for n, at in enumerate(["2026-03-01 10:00", "never", "2026-03-01 11:00"])
    ]
    plan, _ = imported(form, json.dumps({"rows": rows}))
    assert [made["response_id"] for made in values(plan)] == ["0", "2"]
    assert [entry.reason for entry in plan.refused] == ["invalid_time"]


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_what_python_writes_for_no_number_costs_its_field(literal: str) -> None:
    line = '{"submitted_at": "2026-03-01 10:00", "response_id": "%s", "score": %s, "customer": %s, "wrong": %s}'
    lines = [line % ("r-1", 3, literal, literal), line % ("r-2", literal, '"C-77"', '"late"')]
    listed = ",".join(lines)
    for text in ("\n".join(lines), f"[{listed}]", f'{{"data":\n[{listed}]}}'):
        plan, _ = imported(SHEET, text)
        (made,) = values(plan)
        assert not {"customer", "answers"} & made.keys()
        (entry,) = plan.refused
        assert (entry.number, entry.reason, entry.message) == (
            2,
            "invalid_score",
            f"score is {literal}, not an integer",
        )


# Titles


def test_a_condition_on_a_column_that_is_not_there_lets_no_row_vanish() -> None:
    form = msgspec.structs.replace(SHEET, only={"event": "sent"})
    row = ["r", "2026-03-01 10:00", "3"]
    with pytest.raises(UnreadableFile, match="`only` asks for event, and no column is that"):
        imported(form, sheet(row))
    text = written([[*TITLES[:3], "event"], [*row, "sent"], [*row, "dismissed"]])
    assert len(becomes(form, text)) == 1


def test_two_columns_of_one_title_are_named_or_addressed_by_position() -> None:
    titles, row = ["response_id", "submitted_at", "score", "why", "why"], ["r", "2026-03-01 10:00", "3", "", "late"]
    with pytest.raises(UnreadableFile, match=r'columns 4 and 5 are both at why: say which .* "column 4" = "why"'):
        imported(SHEET, written([titles, row]))
    for column, comment in ((4, None), (5, "late")):
        form = msgspec.structs.replace(SHEET, columns={f"column {column}": "why"})
        assert becomes(form, written([titles, row]))[0].get("comment") == comment
    both = msgspec.structs.replace(SHEET, columns={"column 4": "why", "column 5": "why"})  # of two branches of a form
    assert becomes(both, written([titles, row]))[0]["comment"] == "late"
    with pytest.raises(UnreadableFile, match="columns 2 and 5 are both called 'submitted_at'"):
        imported(SHEET, written([[*titles[:4], "submitted_at"], row]))
    with pytest.raises(UnreadableFile, match="column 'column 9' of the mapping is not in the file"):
        imported(msgspec.structs.replace(SHEET, columns={"column 9": "why"}), written([titles, row]))
    unused = written([[*TITLES, "note", "note"], [*row[:4], "", "", "", "", "a", "b"]])
    assert len(becomes(SHEET, unused)) == 1  # nobody asks for them


def test_a_title_is_found_whatever_lines_and_blanks_break_it() -> None:
    form = mapping("generic", scores=[{"question": "score", "metric": "nps"}], columns={"How likely are you?": "score"})
    text = written([["response_id", "submitted_at", "How likely\n are  you? "], ["r", "2026-03-01 10:00", "3"]])
    assert becomes(form, text)[0]["score"] == 3


QUALTRICS = mapping(
    "qualtrics",
    scores=[{"question": "values.Q1", "metric": "nps"}],
    fields={"customer.id": "values.customer_number", "department": "values.department"},
)
NAMES = ["ResponseId", "Status", "EndDate", "Q1", "customer_number", "department"]
TEXTS = ["Response ID", "Response Type", "End Date", "How likely?", "customer_number", "department"]
IDS = [
    json.dumps({"ImportId": name})
    for name in ("_recordId", "status", "endDate", "QID1", "customer_number", "department")
]
ANSWERS = [
    [f"R_abc{n}", "IP Address", f"2026-03-01 10:0{n}:00", str(score), "C-77", "support"]
    for n, score in enumerate([2, 7, 9])
]


@pytest.mark.parametrize("titles", [[NAMES, TEXTS, IDS], [NAMES, TEXTS], [NAMES, IDS], [NAMES], [NAMES, NAMES]])
def test_qualtrics_has_three_rows_of_titles_or_fewer_and_takes_no_answer_for_one(titles: list[list[str]]) -> None:
    made = becomes(QUALTRICS, written([*titles, *ANSWERS]))
    assert [one["score"] for one in made] == [2, 7, 9]
    assert {one["customer"]["id"] for one in made} == {"C-77"}  # its column has the name of its import id
    assert {one["department"] for one in made} == {"support"}
    assert becomes(QUALTRICS, written(titles)) == []
    assert len(becomes(QUALTRICS, written([*titles, ANSWERS[0]]))) == 1


def test_the_oldest_format_of_qualtrics_has_names_in_its_second_row() -> None:
    above = ["V1", "V2", "V9", "Q1", "customer_number", "department"]
    below = ["ResponseID", "Status", "EndDate", "How likely?", "customer_number", "department"]
    made = becomes(QUALTRICS, written([above, below, *ANSWERS]))
    assert [(one["response_id"], one["score"]) for one in made] == [("R_abc0", 2), ("R_abc1", 7), ("R_abc2", 9)]


def test_import_ids_may_be_written_with_apostrophes() -> None:
    form = mapping("qualtrics", scores=[{"question": "values.QID1", "metric": "nps"}])
    ids = [
        "{'ImportId': '_recordId'}",
        "{'ImportId': 'status'}",
        "{'ImportId': 'endDate', 'timeZone': 'America/Denver'}",
    ]
    text = written([NAMES[:4], TEXTS[:4], [*ids, "{'ImportId': 'QID1'}"], ANSWERS[0][:4]])
    (made,) = becomes(form, text)
    assert (made["score"], made["submitted_at"]) == (2, "2026-03-01T17:00:00Z")


@pytest.mark.parametrize(
    ("status", "test"),
    [
        *((status, True) for status in ("Survey Preview", "Survey Test", "Spam", "Offline Survey Preview")),
        *((status, True) for status in ("1", "2", "8", "17")),
        *((status, False) for status in ("IP Address", "Imported", "0", "4", "16")),
    ],
)
def test_previews_tests_and_spam_of_qualtrics_are_no_customers(status: str, test: bool) -> None:
    (made,) = becomes(QUALTRICS, written([NAMES, TEXTS, IDS, ["R_1", status, *ANSWERS[0][2:]]]))
    assert made.get("test", False) is test
    answer = {
        "responseId": "R_1",
        "values": {"endDate": "2026-03-01T10:00:00Z", "recordedDate": "2026-03-01T10:00:00Z", "Q1": 3},
    }
    where = "values" if status.isdigit() else "labels"
    answer[where] = {**answer.get(where, {}), "status": int(status) if status.isdigit() else status}  # type: ignore[dict-item]
    assert becomes(QUALTRICS, json.dumps({"responses": [answer]}))[0].get("test", False) is test


def test_surveymonkey_has_two_rows_of_titles_or_one() -> None:
    form = mapping(
        "surveymonkey", scores=[{"question": "answers.1", "metric": "nps"}], columns={"How likely?": "answers.1"}
    )
    titles, row = (
        ["Respondent ID", "Start Date", "End Date", "How likely?"],
        ["5", "2026-03-01 10:00", "2026-03-01 10:01", "3"],
    )
    for below in ([["", "", "", "Response"]], [["", "", "", ""]], []):
        (made,) = becomes(form, written([titles, *below, row]))
        assert (made["response_id"], made["score"]) == ("5", 3)


# Platforms


FORMBRICKS = mapping(
    "formbricks",
    scores=[{"question": "answers.nps", "metric": "nps"}],
    comment=["answers.why"],
    fields={
        "customer.id": "contact.userId",
        "customer.email": "attributes.email",
        "customer.phone": "attributes.phone",
    },
    columns={"1. How likely?": "answers.nps", "2. Why?": "answers.why"},
)


def formbricks(tags: str = "") -> str:
    titles = [
        "Response ID",
        "Timestamp",
        "Finished",
        "Survey ID",
        "User ID",
        "Tags",
        "1. How likely?",
        "2. Why?",
        "person.email",
        "person.phone",
    ]
    row = [
        "r1",
        "2026-08-20 09:14:07 UTC",
        "Yes",
        "s1",
        "C-77",
        tags,
        "3",
        "'-1 for the driver",
        "someone@example.com",
        "'+31201234567",
    ]
    return written([titles, row])


def test_formbricks_csv_of_today_is_what_its_webhook_brings() -> None:
    (made,) = becomes(FORMBRICKS, formbricks())
    assert made["customer"] == {"id": "C-77", "email": "someone@example.com", "phone": "+31201234567"}
    assert (made["comment"], made["submitted_at"]) == ("-1 for the driver", "2026-08-20T09:14:07Z")
    assert "test" not in made


def test_generated_answers_of_formbricks_are_tests() -> None:
    tag = "AI-generated example response"
    assert [becomes(FORMBRICKS, formbricks(tags))[0].get("test") for tags in (tag, f"vip, {tag}", "vip")] == [
        True,
        True,
        None,
    ]
    form = msgspec.structs.replace(FORMBRICKS, test={"tags": "trial"})
    response = {
        "id": "r1",
        "surveyId": "s1",
        "createdAt": "2026-08-20T09:14:07.000Z",
        "data": {"nps": 3},
        "contactAttributes": {"userId": "C-77"},
    }
    for tags, expected in (([tag], True), (["vip"], None), (["vip", "trial"], True)):
        (made,) = becomes(
            form, json.dumps({"data": [response | {"tags": [{"id": "t", "name": name} for name in tags]}]})
        )
        assert made.get("test") is expected
        assert made["customer"] == {"id": "C-77"}  # API v2 has no `contact`
        assert becomes(form, formbricks(", ".join(tags)))[0].get("test") is expected


def test_google_forms_times_have_the_abbreviation_of_their_zone() -> None:
    form = mapping(
        "google_forms", scores=[{"question": "How likely?", "metric": "nps"}], fields={"customer.email": "email"}
    )
    text = written(
        [["Timestamp", "How likely?", "Email Address"], ["2025/12/11 2:21:36 PM CET", "9.0", "someone@example.com"]]
    )
    (made,) = becomes(form, text, TimeFormat(ZoneInfo("Europe/Amsterdam")), make_ids=True)
    assert (made["submitted_at"], made["score"]) == ("2025-12-11T13:21:36Z", 9)
    assert made["customer"] == {"email": "someone@example.com"}
    plan, _ = imported(form, text, TimeFormat(), make_ids=True)
    assert "--zone" in plan.refused[0].message


@pytest.mark.parametrize(("name", "at"), [("EDT", "2025-11-02T05:30:00Z"), ("EST", "2025-11-02T06:30:00Z")])
def test_the_doubled_hour_is_told_by_its_abbreviation(name: str, at: str) -> None:
    times = TimeFormat(ZoneInfo("America/New_York"))
    assert becomes(SHEET, sheet(["r", f"2025-11-02 01:30:00 {name}", "3"]), times)[0]["submitted_at"] == at
    line = json.dumps({"response_id": "r", "submitted_at": f"2025-11-02 01:30:00 {name}", "score": 3})
    assert becomes(SHEET, line, times)[0]["submitted_at"] == at


@pytest.mark.parametrize(
    ("time", "at"),
    [
        ("2026-08-20T09:14:08", "2026-08-20T07:14:08Z"),
        ("2026-08-20T09:14Z", "2026-08-20T09:14:00Z"),
        ("2026-08-20 09:14:08 +0000", "2026-08-20T09:14:08Z"),
        ("2026-08-20, 9:14:08\u202fa.m. GMT+1", "2026-08-20T09:14:08+01:00"),
        ("20/08/2026, 09:14:08", "2026-08-20T07:14:08Z"),
        ("1787217247", "2026-08-20T09:14:07Z"),
        ("1787217247000", "2026-08-20T09:14:07Z"),
        (1787217247, "2026-08-20T09:14:07Z"),
        (1787217247000, "2026-08-20T09:14:07Z"),
    ],
)
def test_times_are_read_alike_in_csv_and_json(time: str | int, at: str) -> None:
    times = TimeFormat(ZoneInfo("Europe/Amsterdam"), "day-first")
    line = json.dumps({"response_id": "r", "submitted_at": time, "score": 3})
    for text in (sheet(["r", str(time), "3"]), line, f"[{line}]"):
        assert becomes(SHEET, text, times)[0]["submitted_at"] == at


TYPEFORM = mapping(
    "typeform", scores=[{"question": "answers.nps", "metric": "nps"}], drivers={"answers.wrong": "what went wrong"}
)


def typeform(fields: list[Any], answers: list[Any]) -> str:
    response = {
        "token": "t1",
        "submitted_at": "2026-11-20T10:00:00Z",
        "definition": {"fields": fields},
        "answers": answers,
    }
    return json.dumps({"items": [response]})


def test_questions_of_a_group_and_what_is_answered_are_questions_of_the_form() -> None:
    answer = {"type": "number", "number": 2, "field": {"id": "q1", "ref": "nps"}}
    question = {"id": "q1", "ref": "nps", "type": "opinion_scale"}
    group = {"id": "g1", "ref": "about", "type": "group", "properties": {"fields": [question]}}
    inline = {"id": "g2", "type": "inline_group", "properties": {"fields": [group]}}
    for fields in ([group], [inline], [question], [], [{"id": "x", "ref": "y"}]):
        assert [made["score"] for made in becomes(TYPEFORM, typeform(fields, [answer]))] == [2]
    assert imported(TYPEFORM, typeform([inline], []))[0].empty == 1
    assert [one.reason for one in imported(TYPEFORM, typeform([{"id": "x"}], []))[0].refused] == ["unmapped"]


@pytest.mark.parametrize(
    ("choices", "text"),
    [({"labels": ["Late", "Broken"]}, "Late, Broken"), ({"labels": ["Late"], "other": "rude"}, "Late, rude"),
     ({"other": "rude"}, "rude"), ({"labels": []}, None)],
)  # fmt: skip
def test_several_choices_are_joined(choices: dict[str, Any], text: str | None) -> None:
    answers = [
        {"type": "number", "number": 2, "field": {"ref": "nps"}},
        {"type": "choices", "choices": choices, "field": {"ref": "wrong"}},
    ]
    (made,) = becomes(TYPEFORM, typeform([], answers))
    expected = None if text is None else [{"question_id": "wrong", "topic": "what went wrong", "text": text}]
    assert made.get("answers") == expected


def test_several_choices_of_surveymonkey_are_joined_and_a_text_beside_one_is_none() -> None:
    form = mapping(
        "surveymonkey", scores=[{"question": "answers.1", "metric": "nps"}], drivers={"answers.2": "what went wrong"}
    )
    questions = [
        {"id": "1", "answers": [{"choice_id": "a", "simple_text": "3"}, {"other_id": "o", "text": "or less"}]},
        {
            "id": "2",
            "answers": [{"choice_id": "b", "simple_text": "Late"}, {"choice_id": "c", "simple_text": "Broken"}],
        },
    ]
    response = {
        "id": "5",
        "survey_id": "s",
        "response_status": "completed",
        "date_created": "2026-03-01T10:00:00+00:00",
        "date_modified": "2026-03-01T10:00:00+00:00",
        "pages": [{"questions": questions}],
    }
    (made,) = becomes(form, json.dumps({"data": [response]}))
    assert (made["score"], made["answers"][0]["text"]) == (3, "Late, Broken")
    assert becomes(form, json.dumps({"data": [response | {"collection_mode": "preview"}]}))[0]["test"] is True


def test_survicate_sends_what_was_chosen_in_several_forms() -> None:
    form = mapping(
        "survicate",
        scores=[{"question": "answers.1", "metric": "nps"}],
        comment=["comments.2"],
        drivers={"answers.2": "wrong", "answers.3.Speed": "speed", "answers.4": "order", "answers.5": "day"},
    )
    answers = [
        {"question": {"id": 1}, "choice": {"id": 3, "body": "detractor"}},
        {
            "question": {"id": 2},
            "choices": [{"body": "Late", "comment": "by a day"}, {"body": "Broken", "comment": None}],
        },
        {"question": {"id": 3}, "matrix": [{"body": "Speed", "value": "Poor"}, {"body": "Price", "value": "Good"}]},
        {"question": {"id": 4}, "ranking": [{"body": "Price", "value": 1}, {"body": "Speed", "value": 2}]},
        {"question": {"id": 5}, "date": "2026-03-01"},
    ]
    completed = {
        "responseUuid": "u",
        "timestamp": "2026-03-01T10:00:00+00:00",
        "survey": {"id": "s"},
        "answers": answers,
    }
    body = json.dumps({"event": {"surveyCompleted": completed}}).encode()
    (record,) = endpoint(form).records(Delivery({}, body), 0.0)
    made = json.loads(record.value or b"")
    assert (made["score"], made["comment"]) == (3, "by a day")
    assert [answer["text"] for answer in made["answers"]] == ["Late, Broken", "Poor", "Price, Speed", "2026-03-01"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ([{"id": 1, "content": "Late", "comment": "by a day"}, {"id": 2, "content": "Broken"}], "Late, Broken"),
        ({"id": 1, "content": "Late"}, "Late"),
        ("Late", "Late"),
    ],
)
def test_answers_of_survicate_with_several_choices(answer: Any, text: str) -> None:
    form = mapping(
        "survicate", scores=[{"question": "answers.1", "metric": "nps"}], drivers={"answers.2": "what went wrong"}
    )
    answers = [{"question_id": 1, "answer": {"content": 3, "tag": "detractor"}}, {"question_id": 2, "answer": answer}]
    response = {"uuid": "u", "collected_at": "2026-03-01T10:00:00+00:00", "answers": answers}
    (made,) = becomes(form, json.dumps({"data": [response]}))
    assert (made["score"], made["answers"][0]["text"]) == (3, text)
