"""What settings of the generic platform can say about what form tools send."""

import base64
import hmac
import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from npsflow.agents.history.rows import Rows
from npsflow.agents.platforms import bodies, generic
from npsflow.agents.platforms.protocol import Delivery, FileOptions, Forged, InvalidEntry, Malformed, Stale
from npsflow.agents.platforms.times import TimeFormat
from npsflow.streams.intake import recipes
from npsflow.streams.intake.mapping import FormMapping, Submission, Unmapped, check
from tests.support.fuzzing import anything

from .conformance import endpoint, platform

NOW = 1_772_377_331.0
SCORE = {"question": "score", "metric": "nps"}
BODY = {"id": "r-1", "score": 3, "at": "2026-03-01T15:02:11Z", "form": "f"}
PATHS = {"response_id": "id", "submitted_at": "at"}


def mapping(**settings: Any) -> FormMapping:
    """A mapping of BODY, as it would be written in TOML."""
    settings = {"platform": "generic", "scores": [SCORE], "paths": PATHS} | settings
    form = msgspec.convert(recipes.completed(settings), FormMapping)
    assert check(form) is None
    return form


def become(body: Any, **settings: Any) -> list[dict[str, Any]]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    made = endpoint(mapping(**settings)).records(Delivery({}, sent), NOW)
    return [json.loads(record.value or b"") for record in made]


def score_of(answer: Any, **score: Any) -> Any:
    """As it is mapped, whether or not a worker takes it."""
    form = mapping(scores=[SCORE | score])
    (event,) = generic.parse(Delivery({}, json.dumps(BODY | {"score": answer}).encode()), form)
    (record,) = endpoint(form).entrance.records(event, NOW)
    return json.loads(record.value or b"")["score"]


@pytest.mark.parametrize(
    ("time", "zone", "read"),
    [
        ("2026-08-20T09:14Z", "", "2026-08-20T09:14:00Z"), ("2026-08-20 09:14:08 +0000", "", "2026-08-20T09:14:08Z"),
        ("2026-08-20 09:14:08+02:00", "", "2026-08-20T09:14:08+02:00"),
        ("2026-08-20t09:14:08z", "", "2026-08-20T09:14:08Z"),
        (1763632800, "", "2025-11-20T10:00:00Z"), (1763632800000, "", "2025-11-20T10:00:00Z"),
        ("1763632800", "", "2025-11-20T10:00:00Z"), ("1763632800123", "", "2025-11-20T10:00:00.123000Z"),
        (1763632800.5, "", "2025-11-20T10:00:00.500000Z"), (1763632800000.0, "Asia/Tokyo", "2025-11-20T10:00:00Z"),
        ("2026-08-20T09:14:08", "Europe/Amsterdam", "2026-08-20T07:14:08Z"),
        ("2026-08-20 09:14", "Europe/Amsterdam", "2026-08-20T07:14:00Z"),
        ("2026-08-20T09:14:08Z", "Europe/Amsterdam", "2026-08-20T09:14:08Z"),
        ("2026-03-25 16:53:09 EDT", "America/New_York", "2026-03-25T20:53:09Z"),
        ("2025-11-02 01:30:00", "America/New_York", "2025-11-02T05:30:00Z"),
        ("2025-11-02 01:30:00 EDT", "America/New_York", "2025-11-02T05:30:00Z"),
        ("2025-11-02 01:30:00 EST", "America/New_York", "2025-11-02T06:30:00Z"),
    ],
)  # fmt: skip
def test_times(time: Any, zone: str, read: str) -> None:
    (made,) = become(BODY | {"at": time}, zone=zone)
    assert made["submitted_at"] == read
    (item,) = generic.items(BODY | {"at": time}, mapping(zone=zone), FileOptions())
    assert item.submitted_at == read  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("time", "zone", "message"),
    [
        ("2026-08-20T09:14:08", "", "submitted_at: it has no zone"), ("2026-03-25 16:53:09 EDT", "", "name of a zone"),
        ("2026-03-25 16:53:09 EST", "America/New_York", "not what its zone is called then"),
        ("2026-03-25 16:53:09 CET", "America/New_York", "not what its zone"),
        ("yesterday", "UTC", "submitted_at: it is not"),
        (12, "", "submitted_at: it is not"), ("0001-01-01T00:00:00", "Asia/Tokyo", "no such date"),
        (None, "", "at is missing"),
        (True, "", "at is missing"), ("", "", "at is missing"),
    ],
)  # fmt: skip
def test_a_time_that_is_not_clear_is_kept_until_the_settings_say_it(time: Any, zone: str, message: str) -> None:
    with pytest.raises(Unmapped, match=message):
        become(BODY | {"at": time}, zone=zone)
    with pytest.raises(InvalidEntry, match=message):
        list(generic.items(BODY | {"at": time}, mapping(zone=zone), FileOptions()))


@pytest.mark.parametrize(("zone", "hour"), [("", "00"), ("Europe/Amsterdam", "07")])
def test_an_import_has_the_zone_of_the_command_line_where_the_settings_have_none(zone: str, hour: str) -> None:
    options, time = FileOptions(TimeFormat(ZoneInfo("Asia/Tokyo"))), "2026-08-20T09:14:08"
    (item,) = generic.items(BODY | {"at": time}, mapping(zone=zone), options)
    assert item.submitted_at == f"2026-08-20T{hour}:14:08Z"  # type: ignore[union-attr]
    header = [["id", "at", "form", "score"]]
    (row,) = Rows(generic.table(mapping(zone=zone)), mapping(zone=zone), header, options).read(["r-1", time, "f", "3"])
    assert row == replace(item, content=row.content)


def test_the_time_of_arrival_counts_where_there_is_none() -> None:
    assert (
        become({"id": 1, "score": 3, "form": "f"}, time_of_arrival=True)[0]["submitted_at"]
        == "2026-03-01T15:02:11.000Z"
    )
    assert become(BODY, time_of_arrival=True)[0]["submitted_at"] == BODY["at"]


@pytest.mark.parametrize(
    ("answer", "settings", "score"),
    [
        (9.0, {}, 9), ("9.0", {}, 9), ("9,0", {}, 9), (" 9 ", {}, 9), (["9"], {}, 9), (9.5, {}, 9.5),
        ("9,000", {}, "9,000"),
        ("9.5", {}, "9.5"), (["9", "8"], {}, []), (True, {}, True), ("9 - Very likely", {}, "9 - Very likely"),
        ("9 - Very likely", {"leading_number": True}, 9), ("10: top", {"leading_number": True}, 10),
        ("5 stars", {"leading_number": True}, 5), ("9 out of 10", {"leading_number": True}, 9),
        ("7-8", {"leading_number": True}, "7-8"), ("1.5 stars", {"leading_number": True}, "1.5 stars"),
        ("9/10", {"leading_number": True}, "9/10"), ("Top 10", {"leading_number": True}, "Top 10"),
        (103, {"words": {"103": 5, "-103": 1}}, 5), (-103.0, {"words": {"103": 5, "-103": 1}}, 1),
        (False, {"words": {"true": 5, "false": 1}}, 1), ("VERY  good ", {"words": {"very good": 5}}, 5),
        ("\N{THUMBS UP SIGN}", {"words": {"\N{THUMBS UP SIGN}": 5}}, 5),
        ("Great", {"words": {"great": 5}, "add": 1, "reverse": True}, 5),
        (0, {"metric": "csat", "add": 1}, 1), ("4", {"metric": "csat", "add": 1}, 5),
        (2, {"metric": "ces", "reverse": True}, 6),
        (0, {"reverse": True}, 10), (1, {"metric": "ces", "reverse": True, "scale": {"min": 1, "max": 5}}, 5),
    ],
)  # fmt: skip
def test_answers_become_scores(answer: Any, settings: dict[str, Any], score: Any) -> None:
    found = score_of(answer, **settings)
    assert (found, type(found)) == (score, type(score))


def test_which_bodies_count() -> None:
    only = {"event": ["survey sent", "survey updated"], "finished": True}
    assert len(become(BODY | {"event": "Survey  SENT", "finished": True}, only=only)) == 1
    for other in (
        {"event": "survey dismissed", "finished": True},
        {"event": "survey sent", "finished": False},
        {"event": None},
    ):
        assert become(BODY | other, only=only) == []
    assert become({"event": "ping"}, only={"event": "survey sent"}) == []  # nothing else is looked for
    assert become(BODY, only={"why": "*"}) == []
    assert len(become(BODY | {"why": "x"}, only={"why": "*"})) == 1


def test_a_deletion_may_be_a_word() -> None:
    settings = {
        "only": {"event": "response.created", "app": "shop"},
        "deleted": {"event": ["response.deleted", "gone"]},
    }
    (made,) = become({"id": 1, "event": "response.deleted", "app": "shop"}, **settings)
    assert made == {"source": "generic", "response_id": "1", "deleted": True}
    assert become({"id": 1, "event": "response.deleted", "app": "other"}, **settings) == []
    (made,) = become(BODY | {"event": "response.created", "app": "shop"}, **settings)
    assert "deleted" not in made


@pytest.mark.parametrize(
    ("status", "test"),
    [
        ("Survey Preview", True),
        ("1", True),
        (1, True),
        ("IP Address", None),
        (["x", "survey preview"], True),
        (None, None),
    ],
)
def test_a_test_may_be_marked_by_a_value(status: Any, test: bool | None) -> None:
    (made,) = become(BODY | {"status": status}, test={"status": ["Survey Preview", 1]})
    assert made.get("test") is test


def test_several_choices_are_joined() -> None:
    (made,) = become(
        BODY | {"wrong": ["Late", "Broken", None, {"x": 1}]},
        drivers={"wrong": "what went wrong"}, fields={"attributes.wrong": "wrong", "department": ["none", "wrong"]},
    )  # fmt: skip
    assert made["answers"] == [{"question_id": "wrong", "topic": "what went wrong", "text": "Late, Broken"}]
    assert (made["attributes"], made["department"]) == ({"wrong": "Late, Broken"}, "Late, Broken")
    assert "answers" not in become(BODY | {"wrong": []}, drivers={"wrong": "x"})[0]


@pytest.mark.parametrize(("language", "code"), [("default", None), ("Dutch", "nl"), ("und", None), ("nl-BE", "nl-BE")])
def test_a_language_is_a_code_or_unknown(language: str, code: str | None) -> None:
    assert become(BODY | {"l": language}, fields={"language": "l"})[0].get("language") == code


def test_of_several_paths_the_first_that_leads_to_something_counts() -> None:
    settings = {
        "scores": [{"question": ["rating", "score"], "metric": "nps"}],
        "paths": {"response_id": ["uuid", "id"], "submitted_at": ["changed", "at"], "form": ["x", "form"]},
    }
    (made,) = become(BODY | {"rating": "", "uuid": None, "changed": ""}, **settings)
    assert (made["response_id"], made["score"], made["submitted_at"]) == ("r-1", 3, BODY["at"])


# Bodies.


def test_each_entry_of_a_list_is_a_response() -> None:
    two = [BODY, BODY | {"id": "r-2", "score": 9}]
    ids = ["r-1", "r-2"]
    assert [made["response_id"] for made in become(two, each="")] == ids
    assert [made["response_id"] for made in become({"all": {"of": two}}, each="all.of")] == ids
    assert [made["response_id"] for made in become({"all": json.dumps(two)}, each="all|json")] == ids
    assert [made["response_id"] for made in become({"all": {"1": BODY, "2": two[1]}}, each="all")] == ids
    assert become(BODY, each="")[0]["response_id"] == "r-1"
    assert become([], each="") == become({"all": []}, each="all") == []


def test_an_entry_that_is_not_understood_costs_no_other() -> None:
    body = json.dumps([BODY, {"score": 1}, "x", BODY | {"id": "r-2"}]).encode()
    events = generic.parse(Delivery({}, body), mapping(each=""))
    ids: list[str] = []
    with pytest.raises(Unmapped, match="entry 2: "):
        ids.extend(event.response_id for event in events if isinstance(event, Submission))
    assert ids == ["r-1", "r-2"]


def test_an_entry_knows_the_body_around_it() -> None:
    entry = {"id": "r-1", "score": 3, "at": BODY["at"]}
    (made,) = become(
        {"form": "f", "department": "x", "all": [entry | {"department": "y"}]},
        each="all",
        fields={"department": "department"},
    )
    assert (made["survey_id"], made["department"]) == ("f", "y")


@pytest.mark.parametrize(
    ("body", "each", "error", "message"),
    [
        ([BODY], None, Malformed, "neither an object nor a form"), ([1], "", Unmapped, "entry 1: it is no object"),
        ({"all": 1}, "all", Unmapped, "each"),
        (BODY, "all", Unmapped, "each: no list is at all"), ([BODY], "all", Malformed, "no list"),
        ([BODY, {"score": 1}], "", Unmapped, "entry 2: "), ([BODY] * 1001, "", Malformed, "over 1,000"),
        ({"id": "r-1", "score": 3, "at": BODY["at"]}, None, Unmapped, "set survey_id"),
        ({"score": 3, "at": BODY["at"], "form": "f"}, None, Unmapped, "id is missing"),
    ],
)  # fmt: skip
def test_what_the_settings_do_not_find(body: Any, each: str | None, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        become(body, each=each)


MULTIPART = (
    b'--b1\r\nContent-Disposition: form-data; name="id"\r\n\r\nr-1\r\n'
    b'--b1\r\ncontent-disposition: form-data; name="raw"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n'
    b'{"q3": "9",\r\n "\xc3\xa9": 1}\r\n'
    b'--b1\r\nContent-Disposition: form-data; name="cv"; filename="a.pdf"\r\nContent-Type: a/pdf\r\n\r\n%PDF\xff\r\n'
    b'--b1\r\nContent-Disposition: form-data; name="wrong[]"\r\n\r\nLate\r\n'
    b'--b1\r\nContent-Disposition: form-data; name="wrong[]"\r\n\r\nBroken\r\n--b1--\r\n'
)


def test_forms_are_bodies() -> None:
    encoded = urlencode(BODY | {"wrong": "Late", "why": "é & ü"}).encode() + b"&wrong=Broken&empty="
    (made,) = become(encoded, fields={"attributes.wrong": "wrong"}, comment=["why"])
    assert (made["score"], made["comment"], made["attributes"]) == (3, "é & ü", {"wrong": "Late, Broken"})
    assert bodies.read(MULTIPART) == {"id": "r-1", "raw": '{"q3": "9",\r\n "é": 1}', "wrong[]": ["Late", "Broken"]}
    (made,) = become(
        MULTIPART, time_of_arrival=True, survey_id="f", scores=[{"question": "raw|json.q3", "metric": "nps"}],
        fields={"attributes.wrong": "wrong[]"},
    )  # fmt: skip
    assert (made["score"], made["attributes"]) == (9, {"wrong": "Late, Broken"})
    payload = urlencode({"payload": json.dumps(BODY)}).encode()
    assert become(payload, each="payload|json")[0]["score"] == 3
    message = {"message": {"data": base64.b64encode(json.dumps(BODY).encode()).decode()}}
    paths = {name: f"message.data|base64|json.{path}" for name, path in (PATHS | {"form": "form"}).items()}
    assert (
        become(message, paths=paths, scores=[SCORE | {"question": "message.data|base64|json.score"}])[0]["score"] == 3
    )
    assert become(b"\xef\xbb\xbf \r\n" + json.dumps(BODY).encode())[0]["score"] == 3


@pytest.mark.parametrize(
    "body",
    [
        b"--b1\r\n\r\nx\r\n--b1--", b'--b1\r\nContent-Disposition: form-data; name="a"\r\n\r\nx',
        b"a=%ff", b"&".join([b"a=1"] * 1001),
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--',
        b"--b\r\n" * 2000, b"hello", b"", b"{'a': 1}",
    ],
)  # fmt: skip
def test_what_is_no_body_is_turned_down(body: bytes) -> None:
    with pytest.raises(Malformed):
        bodies.read(body)


@given(
    st.binary(max_size=60) | st.sampled_from([MULTIPART[:n] for n in range(0, len(MULTIPART), 7)]),
    st.binary(max_size=5),
)
def test_any_body_is_read_or_turned_down(body: bytes, more: bytes) -> None:
    for sent in (body, body + more, b"--" + body, body + b"=", MULTIPART.replace(b"r-1", body)):
        with suppress(Malformed):
            bodies.read(sent)


@given(anything, st.sampled_from([None, "", "all"]))
def test_any_json_is_understood_or_not(body: Any, each: str | None) -> None:
    for sent in (body, [body], {"all": [body, BODY]}, BODY | {"score": body}, BODY | {"at": body}):
        with suppress(Malformed, Unmapped):
            become(json.dumps(sent).encode(errors="surrogatepass"), each=each)


# Signatures.

SECRET = "a secret, with blanks"
RAW = b'{"id": 1}'
FIXED = {"header": "X-Sig"}


def verify(
    headers: dict[str, str], secret: str = SECRET, query: dict[str, str] | None = None, path: str = "", **settings: Any
) -> None:
    delivery = Delivery({name.lower(): value for name, value in headers.items()}, RAW, query or {}, path)
    generic.verify(delivery, mapping(**settings), ["another", secret], NOW)


def hashed(message: bytes, digest: str = "sha256") -> bytes:
    return hmac.digest(SECRET.encode(), message, digest)


STAMP = str(int(NOW))
SCHEMES: list[tuple[dict[str, Any], dict[str, str]]] = [
    (FIXED, {"X-Sig": hashed(RAW).hex()}),
    (FIXED, {"x-sig": hashed(RAW).hex().upper()}),
    (FIXED | {"digest": "sha1", "prefix": "sha1="}, {"X-Sig": "sha1=" + hashed(RAW, "sha1").hex()}),
    (FIXED | {"digest": "sha512", "encoding": "base64"}, {"X-Sig": base64.b64encode(hashed(RAW, "sha512")).decode()}),
    (FIXED | {"encoding": "base64url"}, {"X-Sig": base64.urlsafe_b64encode(hashed(RAW)).decode().rstrip("=")}),
    (FIXED | {"prefix": "v1="}, {"X-Sig": f"v1={'0' * 64}, v1={hashed(RAW).hex()}"}),
    (
        FIXED | {"prefix": "v1,", "encoding": "base64"},
        {"X-Sig": f"v1,AAAA v1,{base64.b64encode(hashed(RAW)).decode()}"},
    ),
    (
        FIXED | {"prefix": "v0=", "signed": "v0:{timestamp}:{body}", "timestamp": "X-Time"},
        {"X-Sig": "v0=" + hashed(f"v0:{STAMP}:".encode() + RAW).hex(), "X-Time": STAMP},
    ),
    (
        FIXED | {"prefix": "v1=", "signed": "{timestamp}.{body}", "timestamp": "t="},
        {"X-Sig": f"t={STAMP},v1={hashed(f'{STAMP}.'.encode() + RAW).hex()},v0=00"},
    ),
    (
        FIXED | {"signed": "{id}.{method}{url}{body}", "id": "X-Id", "url": "https://example.com/in/x?a=b"},
        {"X-Sig": hashed(b"i-1.POSThttps://example.com/in/x?a=b" + RAW).hex(), "X-Id": "i-1"},
    ),
]


@pytest.mark.parametrize(("scheme", "headers"), SCHEMES)
def test_a_signature_is_what_the_settings_describe(scheme: dict[str, Any], headers: dict[str, str]) -> None:
    verify(headers, verification="signature", signature=scheme)
    spoilt = [headers | {name: value[:-1] + ("0" if value[-1] != "0" else "1")} for name, value in headers.items()]
    for wrong in ({}, *spoilt, *({n: "" if n == name else v for n, v in headers.items()} for name in headers)):
        if wrong == headers | {"X-Sig": wrong.get("X-Sig", "")} and ",v0=" in headers.get("X-Sig", ""):
            continue  # only what it does not look at differs
        with pytest.raises(Forged):
            verify(wrong, verification="signature", signature=scheme)
    with pytest.raises(Forged):
        verify(headers, secret="other", verification="signature", signature=scheme)


@pytest.mark.parametrize(
    ("stamp", "fresh"),
    [(STAMP, True), (STAMP + "000", True), ("2026-03-01T15:02:11Z", True), (str(int(NOW) - 61), False), ("soon", False),
     (str(int(NOW) + 59), True), (str(int(NOW) + 61) + "000", False)],
)  # fmt: skip
def test_a_signed_time_has_a_tolerance(stamp: str, fresh: bool) -> None:
    scheme = FIXED | {"signed": "{timestamp}.{body}", "timestamp": "X-Time", "tolerance": 60}
    headers = {"X-Sig": hashed(f"{stamp}.".encode() + RAW).hex(), "X-Time": stamp}
    if fresh:
        verify(headers, verification="signature", signature=scheme)
    else:
        with pytest.raises(Stale):
            verify(headers, verification="signature", signature=scheme)


def test_other_ways_to_know_the_sender() -> None:
    encoded = base64.b64encode(b"user:pass word").decode()
    verify({"Authorization": f"Basic {encoded}"}, secret="user:pass word", verification="basic")
    verify({"Authorization": f"basic  {encoded}"}, secret="user:pass word", verification="basic")
    verify({}, query={"token": SECRET}, verification="query")
    verify({}, query={"key": SECRET}, verification="query", parameter="key")
    verify({"X-Key": "Basic dXNlcjpwYXNz"}, secret="Basic dXNlcjpwYXNz", verification="bearer", header="X-Key")
    key = base64.b64encode(b"k" * 24).decode()
    digest = base64.b64encode(hmac.digest(b"k" * 24, f"m1.{STAMP}.".encode() + RAW, "sha256")).decode()
    for name in ("svix", "webhook"):
        verify(
            {f"{name}-id": "m1", f"{name}-timestamp": STAMP, f"{name}-signature": f"v1,{digest}"}, secret=f"whsec_{key}"
        )
    wrong: list[tuple[dict[str, str], dict[str, Any]]] = [
        ({"Authorization": "Basic"}, {"verification": "basic"}),
        ({"Authorization": f"Bearer {encoded}"}, {"verification": "basic"}),
        ({"Authorization": f"Basic {encoded}x"}, {"verification": "basic"}), ({}, {"verification": "basic"}),
        ({}, {"verification": "query"}), ({"token": "user:pass word"}, {"verification": "query"}),
        ({"svix-id": "m1", "svix-timestamp": STAMP, "webhook-signature": f"v1,{digest}"}, {}),
    ]  # fmt: skip
    for headers, settings in wrong:
        with pytest.raises(Forged):
            verify(headers, secret="user:pass word", **settings)


def test_the_secret_may_be_the_end_of_the_address() -> None:
    verify({}, path=SECRET, verification="path")
    verify({}, path="a/b", secret="/a/b/", verification="path")
    for path, query, settings in (
        ("", {}, {"verification": "path"}),
        (SECRET + "x", {}, {"verification": "path"}),
        ("", {"token": SECRET}, {"verification": "path"}),
        (SECRET, {}, {"verification": "query"}),
        (SECRET, {}, {"verification": "bearer"}),
    ):
        with pytest.raises(Forged):
            verify({}, path=path, query=query, **settings)
    with pytest.raises(Forged):
        verify({}, secret="////////", verification="path")


# Recipes.


def test_what_the_user_sets_goes_before_the_recipe() -> None:
    form = mapping(
        platform="chatwoot", fields={"survey_name": "account.name"}, only={"event": "message_created"}, paths={}
    )
    assert (form.fields["survey_name"], form.fields["reference.id"]) == ("account.name", "conversation.id")
    assert (form.only["event"], form.only["content_type"]) == ("message_created", "input_csat")
    assert [score.question for score in form.scores] == ["score"]
    assert (form.paths.form, form.verification) == ("inbox.id", "signature")


def test_another_verification_leaves_the_signature_of_a_recipe_out() -> None:
    form = mapping(platform="hubspot", verification="bearer", header="X-Key", paths={})
    assert (form.signature, form.header) == (None, "X-Key")
    own = mapping(platform="hubspot", signature={"url": "https://example.com"}, paths={}).signature
    assert own is not None
    assert (own.url, own.header) == ("https://example.com", "X-HubSpot-Signature-v3")


@pytest.mark.parametrize("name", [name for name in recipes.names() if name != "hubspot"])
def test_a_recipe_is_right_by_itself(name: str) -> None:
    form = msgspec.convert(recipes.completed({"platform": name}), FormMapping)
    assert check(form) is None


def test_formbricks_has_more_than_answers() -> None:
    body = json.loads(platform("formbricks").good)
    body["data"] |= {
        "tags": [{"id": "t1", "name": "AI-generated example response"}], "displayId": "d-1",
        "data": body["data"]["data"]
        | {"contact": ["Some", "One", "someone@example.com", "", "Example"], "wrong": ["Late", "Broken"]},
    }  # fmt: skip
    under = platform("formbricks")
    made, *_ = under.become(
        json.dumps(body).encode(),
        under.changed(
            test={"tags": "AI-generated example response"}, drivers={"answers.wrong": "what went wrong"},
            fields={"invitation_id": "displayId", "customer.email": "answers.contact[2]"},
        ),
    )  # fmt: skip
    assert (made["test"], made["invitation_id"], made["customer"]) == (True, "d-1", {"email": "someone@example.com"})
    assert made["answers"] == [{"question_id": "wrong", "topic": "what went wrong", "text": "Late, Broken"}]
