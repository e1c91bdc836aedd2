"""What a dead letter says of itself, and what became of it."""

from typing import Any

import pytest

from npsflow.agents.operations.dead_letters import History, Selection, as_letter, log_output, replay_headers
from npsflow.schemas.dlq_log import DlqLogEntry, accepted_key, decode_entry
from npsflow.schemas.headers import DeadLetter, with_origin

from .letters import letter, record


@pytest.mark.parametrize(
    ("key", "value", "response", "source"),
    [
        (b"shop/r-1", b"{", ("shop", "r-1"), "shop"),
        (b"other", b'{"source": "shop", "response_id": "r-1"}', ("shop", "r-1"), "shop"),
        (b"shop/a/b", b"[]", ("shop", "a/b"), "shop"),
        (b"shop/r-1", b'{"source": "shop", "response_id": 7}', ("shop", "r-1"), "shop"),
        (b"shop/", None, None, None),
        (b"\xff/r-1", b"{", None, None),
        (None, b"{}", None, None),
    ],
)
def test_a_response_is_named_by_its_value_or_else_its_key(
    key: bytes | None, value: bytes | None, response: tuple[str, str] | None, source: str | None
) -> None:
    refused = letter(key=key, value=value)
    assert (refused.response, refused.source) == (response, source)


def test_only_what_came_from_the_topic_of_responses_is_taken_for_one() -> None:
    webhook = letter(topic="intake/shop", key=None, value=b'{"source": "x", "response_id": "y"}', source="typeform")
    assert (webhook.response, webhook.source) == (None, "typeform")
    assert letter(topic="recovery-actions", key=b"shop/r-1").response is None


def test_a_letter_has_its_own_headers_and_the_place_it_came_from() -> None:
    own = with_origin([("trace", b"1"), ("npsflow_dlq_letter", b"0-1 0-2")], 1, 2, 3)
    headers = DeadLetter("not_json", "why", "acme.recovery-actions", 2, 9, "at").headers(own)
    found = as_letter(record(offset=5, partition=3, headers=headers), "acme.")
    assert found is not None
    assert (found.id, found.why["topic"], found.headers) == ("3-5", "recovery-actions", [("trace", b"1")])
    assert found.predecessors == ["0-1", "0-2"]
    assert replay_headers([found, letter(6)], found.headers) == [("trace", b"1"), ("npsflow_dlq_letter", b"3-5 0-6")]


@pytest.mark.parametrize("headers", [[], [("npsflow_dlq_reason", b"not_json")], [("npsflow_dlq_reason", None)]])
def test_a_record_that_says_no_reason_is_no_letter(headers: Any) -> None:
    assert as_letter(record(headers=headers), "") is None


def test_states() -> None:
    history = History()
    for key, entry in [
        (b"0-1", DlqLogEntry("2026-10-01T12:00:00.000Z")),
        (b"0-2", DlqLogEntry("2026-10-01T12:00:00.000Z")),
        (accepted_key(2), DlqLogEntry("2026-10-01T12:00:00.000Z", 100)),
        (accepted_key(2), DlqLogEntry("2026-10-01T12:00:00.000Z", 90)),
    ]:
        output = log_output(key, entry, 4)
        assert output.value is not None
        assert output.key is not None
        history.add(output.key, decode_entry(output.value))
    history.refused_as["0-2"] = "0-7"

    assert history.state(letter(1)) == "replayed"
    assert history.state(letter(2)) == "refused_again"
    assert history.state(letter(3)) == "open"
    assert history.state(letter(4, at=(2, 99))) == "accepted"
    assert history.state(letter(5, at=(2, 100))) == "open"
    assert history.state(letter(6, at=(1, 99))) == "open"
    assert history.state(letter(7, at=(2, 0), topic="intake/shop")) == "open"
    assert history.state(letter(1, at=(2, 99))) == "replayed"


def test_a_selection_takes_what_fits_all_of_it() -> None:
    refused = letter(5, reason="too_late", key=b"shop/r-1", value=b"{", written=1_000)
    assert Selection().takes(refused)
    assert Selection("too_late", "shop", frozenset(["0-5"]), 1_000).takes(refused)
    for other in (
        Selection(reason="not_json"),
        Selection(source="web"),
        Selection(ids=frozenset(["0-55"])),
        Selection(since=1_001),
    ):
        assert not other.takes(refused), other
