"""Dead letters on a real Kafka: shown, mended, and sent once more exactly once."""

import json
import signal
from collections import Counter
from typing import Any

from confluent_kafka import Producer

from npsflow.schemas.headers import DeadLetter, Headers, with_origin
from tests.support.waiting import wait_until

from .command_harness import SECONDS, CommandHarness, as_it_is, response_json, working

LETTERS = "survey-responses-dlq"


def put(harness: CommandHarness, *letters: tuple[int, bytes | None, bytes | None, Headers]) -> None:
    """Letters as classify and intake write them: partition, key, value, headers."""
    producer = Producer({"bootstrap.servers": harness.installation.brokers})
    for partition, key, value, headers in letters:
        fields: list[Any] = list(headers)
        producer.produce(harness.installation.topic(LETTERS), value, key, partition, headers=fields)
        producer.poll(0)
    producer.flush(SECONDS)


def why(
    reason: str, topic: str = "survey-responses", place: tuple[int, int] = (0, 7), own: Headers | None = None
) -> Headers:
    return DeadLetter(reason, "why", topic, *place, "2026-10-01T12:00:00.000Z").headers(own or [])


def states(harness: CommandHarness, *options: str) -> dict[str, str]:
    return {letter["id"]: letter["state"] for letter in harness.lines("dlq", "list", "--json", *options)}


def responses(harness: CommandHarness, count: int) -> list[Any]:
    """Once there are so many: the markers of a transaction follow its commit."""
    wait_until(lambda: len(harness.records("survey-responses")) >= count)
    records = harness.records("survey-responses")
    assert len(records) == count
    return records


def test_what_is_accepted_now_is_sent_as_it_was_and_once(harness: CommandHarness) -> None:
    headers = [("trace", b"1"), ("trace", b"2")]
    good, keyless = response_json(1), response_json(2)
    put(
        harness,
        (0, b"other", good, why("internal_error", place=(3, 7), own=headers)),
        (0, b"k", None, why("null_value")),
        (1, None, keyless, why("invalid_score", place=(2, 9), own=with_origin([], 1, 2, 3))),
        (1, None, b"\xff", why("not_utf8")),
    )
    assert states(harness) == dict.fromkeys(["0-0", "0-1", "1-0", "1-1"], "open")

    dry = harness.run("dlq", "replay", "--dry-run").stdout
    assert "2 dead letters would be sent back" in dry
    assert "2 would be refused again, and are not sent" in dry
    assert "restart those that run since before it was changed" in dry
    assert harness.records("survey-responses") == []

    assert "1 dead letters sent back" in harness.run("dlq", "replay", "--reason", "invalid_score").stdout
    assert "1 dead letters sent back" in harness.run("dlq", "replay").stdout
    blind = harness.run("dlq", "replay")
    assert (blind.exit_code, "0 dead letters sent back" in blind.stdout) == (0, True)
    assert "restart" not in blind.stdout
    sent = {record.value: record for record in responses(harness, 2)}
    assert (sent[good].key, list(sent[good].headers)) == (b"other", [*headers, ("npsflow_dlq_letter", b"0-0")])
    assert (sent[keyless].partition, list(sent[keyless].headers)) == (2, [("npsflow_dlq_letter", b"1-0")])
    assert states(harness) == {"0-0": "replayed", "0-1": "open", "1-0": "replayed", "1-1": "open"}

    named = harness.run("dlq", "replay", "0-1", "1-0", "3-9")
    assert named.exit_code == 1
    assert "3-9: there is no such dead letter" in named.stderr
    assert "1 replayed before" in named.stderr
    assert "0 dead letters sent back" in named.stdout
    assert "       1 null_value          mend the value" in named.stdout
    assert "3 dead letters sent back" in harness.run("dlq", "replay", "--again", "0-1", "1-0", "1-1").stdout
    assert {record.value for record in responses(harness, 5)} == {good, keyless, None, b"\xff"}
    assert harness.run("dlq", "replay", "0").exit_code == 2


def test_letters_are_found_by_what_they_are(harness: CommandHarness) -> None:
    put(
        harness,
        (0, b"shop/r1", b"{", why("not_json")),
        (0, None, b"a=1", why("unmapped", "intake/typed")),
        (1, b"web/r2", response_json(2, source="web", score=99), why("score_out_of_range")),
    )
    assert set(states(harness, "--source", "web")) == {"1-0"}
    assert set(states(harness, "--reason", "not_json", "--state", "open")) == {"0-0"}
    assert states(harness, "--state", "replayed") == {}
    assert set(states(harness, "--since", "1h")) == {"0-0", "0-1", "1-0"}
    assert states(harness, "--since", "2099-01-01") == {}
    assert harness.run("dlq", "list", "--since", "yesterday").exit_code == 2
    assert len(states(harness, "--limit", "2")) == 2
    by_id = {letter["id"]: letter for letter in harness.lines("dlq", "list", "--json")}
    assert by_id["0-0"] == {
        "id": "0-0", "state": "open", "reason": "not_json", "message": "why", "source": "shop", "response_id": "r1",
        "topic": "survey-responses", "partition": 0, "offset": 7, "at": "2026-10-01T12:00:00.000Z", "key": "shop/r1",
    }  # fmt: skip
    assert by_id["1-0"]["response_id"] == "r2"
    line = next(line for line in harness.run("dlq", "list").stdout.splitlines() if "  0-1 " in line)
    assert line.split() == ["2026-10-01T12:00:00.000Z", "0-1", "open", "unmapped", "-", "intake/typed[0]@7", "why"]


def test_a_letter_is_shown_whole(harness: CommandHarness) -> None:
    put(
        harness,
        (0, b"shop/r1", b'{"comment": "caf\xc3\xa9 \xc2\x9b2J"}', why("missing_field", own=[("trace", b"1\x1b[2J")])),
        (0, None, b"score=9\x1b[2J", why("unmapped", "intake/typed")),
        (0, None, b"\xff\x00", why("not_utf8")),
        (0, None, None, why("null_value")),
    )
    shown = harness.run("dlq", "show", "0-0")
    assert "personal data" in shown.stderr
    assert shown.stdout.endswith('value         json, 25 bytes\n{\n  "comment": "café \\x9b2J"\n}\n')
    rows = dict(line.split(None, 1) for line in shown.stdout.splitlines()[:11])
    assert (rows["state"], rows["reason"], rows["key"]) == ("open", "missing_field", "shop/r1")
    assert "helps         mend the value: npsflow dlq replay --file FILE\n" in shown.stdout
    assert "header trace  1 [2J\n" in shown.stdout
    assert harness.run("dlq", "show", "0-1").stdout.endswith("value         text, 11 bytes\nscore=9\\x1b[2J\n")
    assert harness.run("dlq", "show", "0-2").stdout.endswith("value         hex, 2 bytes\nff 00\n")
    assert harness.run("dlq", "show", "0-3").stdout.endswith("value         none, 0 bytes\n")
    missing = harness.run("dlq", "show", "0-4")
    assert (missing.exit_code, "there is no dead letter 0-4" in missing.stderr) == (1, True)


def test_mended_values_take_the_place_of_letters(harness: CommandHarness) -> None:
    twice = response_json(3, score="x")
    put(
        harness,
        (0, b"shop/r1", response_json(1, score=99), why("score_out_of_range")),
        (0, b"shop/r2", b"{", why("not_json")),
        (0, b"shop/r3", twice, why("invalid_score")),
        (0, b"shop/r3", twice, why("invalid_score")),
        (1, b"shop/r4", response_json(4), why("internal_error")),
    )
    (shown,) = harness.lines("dlq", "show", "0-0", "--json")
    shown["value"]["score"] = 9
    lines = [
        json.dumps(shown).encode(),
        response_json(2, score=98),
        response_json(3, score=7),
        b"no JSON",
        b'{"id": "3-3", "value": {}}',
        response_json(3, score=6),
        b"",
    ]
    result = harness.run("dlq", "replay", "--file", harness.file(*lines))
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "line 2: score_out_of_range: score is not within 0-10",
        "line 4: not JSON",
        "line 5: no dead letter is like that",
        "line 6: line 3 has a value for the same",
    ]
    assert "3 dead letters sent back" in result.stdout
    sent = {record.key: record for record in responses(harness, 2)}
    assert json.loads(sent[b"shop/r1"].value)["score"] == 9
    assert json.loads(sent[b"shop/r3"].value)["score"] == 7
    assert dict(sent[b"shop/r3"].headers) == {"npsflow_dlq_letter": b"0-2 0-3"}
    assert states(harness, "--state", "open") == {"0-1": "open", "1-0": "open"}

    again = harness.run("dlq", "replay", "--file", harness.file(lines[0]))
    assert again.stderr == "line 1: it was replayed before: --again sends it once more\n"
    assert len(responses(harness, 2)) == 2
    assert (
        "1 dead letters sent back" in harness.run("dlq", "replay", "--again", "--file", harness.file(lines[0])).stdout
    )
    responses(harness, 3)


def test_webhooks_and_actions_go_where_they_belong(harness: CommandHarness) -> None:
    prefix = harness.installation.prefix
    form = b"response[id]=7&response[score]=3&response[created_at]=2026-10-01 12:00:00 %2B0000&survey_mode=NPS"
    action = b'{"action_id": "do-1", "action": "contact", "by": "anna", "case_id": "c-1"}'
    put(
        harness,
        (0, None, form, why("unmapped", "intake/wo", own=[("content-type", b"application/x-www-form-urlencoded")])),
        (1, b"C-77", action, why("internal_error", f"{prefix}recovery-actions")),
    )
    kept = harness.run("dlq", "replay", "--reason", "unmapped")
    assert "       1 unmapped            map its form in [intake.NAME]" in kept.stdout
    assert len(states(harness)) == 2

    harness.config.write_text(
        '[intake.wo]\nplatform = "wootric"\nscores = [{ question = "response.score", metric = "nps" }]\n'
    )
    assert "2 dead letters sent back" in harness.run("dlq", "replay").stdout
    (record,) = responses(harness, 1)
    assert json.loads(record.value)["score"] == 3
    wait_until(lambda: [(r.key, r.value) for r in harness.records("recovery-actions")] == [(b"C-77", action)])


def test_what_nobody_can_foresee_is_tried_once_unless_it_is_named(harness: CommandHarness) -> None:
    replayed = why("internal_error", own=[("npsflow_dlq_letter", b"3-1")])
    put(harness, (0, b"shop/r1", response_json(1), replayed), (0, b"shop/r2", response_json(2), why("internal_error")))
    blind = harness.run("dlq", "replay").stdout
    assert "1 dead letters sent back" in blind
    assert "       1 internal_error      report it, and replay it after an update" in blind
    assert states(harness) == {"0-0": "open", "0-1": "replayed"}
    assert "1 dead letters sent back" in harness.run("dlq", "replay", "--reason", "internal_error").stdout
    assert [record.key for record in responses(harness, 2)] == [b"shop/r2", b"shop/r1"]


def test_a_replay_that_is_killed_is_simply_run_again(harness: CommandHarness) -> None:
    count = 20_000
    put(harness, *((n % 4, b"shop/r%d" % n, response_json(n), why("internal_error")) for n in range(count)))
    with harness.started("dlq", "replay") as process:
        wait_until(lambda: len(harness.records("dlq-log")) > 0)
        process.kill()
        assert process.wait(SECONDS) == -signal.SIGKILL
    assert len(harness.records("survey-responses")) < count
    assert harness.run("dlq", "replay").exit_code == 0
    assert "0 dead letters sent back" in harness.run("dlq", "replay").stdout
    keys = Counter(record.key for record in responses(harness, count))
    assert set(keys.values()) == {1}
    assert set(states(harness).values()) == {"replayed"}


def test_what_workers_refuse_again_names_its_first_letter(harness: CommandHarness) -> None:
    bad = [response_json(n, metric="csat", score=3, scale={"min": 1, "max": 3}) for n in (1, 2)]
    with working(harness):
        assert harness.run("produce", harness.file(*bad, as_it_is("shop/r3", b"{"))).exit_code == 0
        wait_until(lambda: len(states(harness)) == 3)
        # The settings are mended, and the worker still has the old ones.
        assert "0 dead letters sent back" in harness.run("dlq", "replay").stdout
        harness.config.write_text('[[scales]]\nmetric = "csat"\nmin = 1\nmax = 3\nworst = [1]\nmiddle = [2]\n')
        first = sorted(states(harness, "--reason", "unknown_scale"))
        assert "2 dead letters sent back" in harness.run("dlq", "replay").stdout
        wait_until(lambda: len(states(harness)) == 5)
    assert sorted(states(harness, "--state", "refused_again")) == first
    open_ones = harness.lines("dlq", "list", "--json", "--reason", "unknown_scale", "--state", "open")
    assert sorted(letter["replay_of"] for letter in open_ones) == [[letter] for letter in first]
    (shown,) = harness.lines("dlq", "show", first[0], "--json")
    assert shown["refused_as"] in {letter["id"] for letter in open_ones}

    with working(harness):
        assert "2 dead letters sent back" in harness.run("dlq", "replay").stdout
        window = ("windows", "--json", "--segment", "overall", "--window", "30d", "--metric", "csat")
        wait_until(lambda: [w["n"] for w in harness.lines(*window)] == [2])
    assert Counter(states(harness).values()) == {"refused_again": 2, "replayed": 2, "open": 1}
