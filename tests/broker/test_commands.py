"""The commands against a real Kafka: what they send and show."""

import json
import random
import signal
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Producer

from npsflow.agents.broker.embedded import Broker
from npsflow.schemas.headers import DeadLetter
from npsflow.schemas.topics import MAX_RECORD
from npsflow.streams.config.settings import Settings
from npsflow.streams.topology import wanted
from tests.agents.runtime.ptys import COLUMNS, on_terminal, plain, width
from tests.support.waiting import wait_until

from .command_harness import SECONDS, CommandHarness, as_it_is, response_json, working

# topics


def test_topics_are_created_once_and_listed(harness: CommandHarness) -> None:
    again = harness.run("topics", "create")
    assert again.exit_code == 0
    assert len(again.stdout.splitlines()) == len(wanted(Settings(), harness.installation))
    assert all(line.startswith("already there: ") for line in again.stdout.splitlines())

    harness.run("produce", harness.file(response_json(1), response_json(2)))
    rows = {row[0]: row[1:] for row in map(str.split, harness.run("topics", "list").stdout.splitlines())}
    prefix = harness.installation.prefix
    assert rows[f"{prefix}survey-responses"] == ["4", "delete", "90", "days", "LogAppendTime", "2"]
    assert rows[f"{prefix}nps-windows"] == ["2", "compact", "forever", "LogAppendTime", "0"]
    assert rows[f"{prefix}npsflow-classify-remembered"] == ["4", "delete", "forever", "LogAppendTime", "0"]


def test_topics_with_other_partitions_are_refused(harness: CommandHarness) -> None:
    harness.config.write_text("[topics]\npartitions = 3\n")
    result = harness.run("topics", "create")

    assert result.exit_code == 2
    assert f"{harness.installation.prefix}survey-responses has 4 instead of 3" in result.stderr


def test_missing_topics_are_reported(broker: Broker, tmp_path: Path) -> None:
    empty = CommandHarness(broker, "no-topics.", tmp_path)

    assert empty.run("topics", "list").stdout.count("missing") == len(wanted(Settings(), empty.installation))
    assert "run `npsflow topics create`" in empty.run("alerts").stderr
    forget = empty.run("forget", "C-1", "--yes")
    assert forget.exit_code == 2
    assert forget.stderr.startswith("Error: topic no-topics.")
    assert "does not exist: run `npsflow topics create`" in forget.stderr
    assert "run `npsflow topics create`" in empty.run("worker").stderr
    assert "run `npsflow topics create`" in empty.run("check").stdout


def test_an_installation_without_alerts_says_so(harness: CommandHarness) -> None:
    result = harness.run("alerts")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no alerts yet\n")


def test_a_port_that_is_taken_is_reported(harness: CommandHarness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = harness.run("worker", f"--web-port={port}")
        notify = harness.run("notify", "console", f"--port={port}")
    assert result.exit_code == notify.exit_code == 2
    assert "address already in use; choose another --web-port" in result.stderr
    assert f"cannot listen on 127.0.0.1:{port}: address already in use; choose another --port" in notify.stderr


# produce


def test_produce_names_the_line_that_is_too_large(harness: CommandHarness) -> None:
    noise = random.Random(1).randbytes(MAX_RECORD).hex().encode()  # as large as that when it is compressed
    result = harness.run("produce", harness.file(response_json(1), b'{"comment":"' + noise + b'"}', response_json(2)))
    assert result.exit_code == 1
    assert f"line 2 of {len(noise) + 14:,} bytes is more than the topic takes" in result.stderr
    assert "Traceback" not in result.stderr


def test_produce_keys_by_the_contract_and_leaves_bytes_alone(harness: CommandHarness) -> None:
    lines = [
        response_json(1, comment="één"),
        b'{"source": "shop"}',
        b"not json \xff",
        b"[1]",
        as_it_is("other/key", b"\x00\n"),
        as_it_is("gone", None),
        as_it_is(None, None),
    ]
    result = harness.run("produce", harness.file(*lines[:2], b"", b"  ", *lines[2:]))
    assert result.exit_code == 0
    assert result.stdout == f"7 records sent to {harness.installation.prefix}survey-responses\n"

    records = harness.records("survey-responses")
    assert sorted(((r.key, r.value) for r in records), key=repr) == sorted(
        [
            (b"shop/r1", lines[0]),
            (None, lines[1]),
            (None, lines[2]),
            (None, lines[3]),
            (b"other/key", b"\x00\n"),
            (b"gone", None),
            (None, None),
        ],
        key=repr,
    )
    partitioner = DefaultPartitioner()
    for record in records:
        assert record.key is None or record.partition == partitioner(record.key, [0, 1, 2, 3], [0, 1, 2, 3])


def test_produce_keeps_the_order_within_a_partition(harness: CommandHarness) -> None:
    lines = [response_json(1, score=n % 11, n=n) for n in range(5000)]
    assert harness.run("produce", harness.file(*lines)).exit_code == 0

    numbers = [json.loads(r.value or b"")["n"] for r in harness.records("survey-responses")]
    assert numbers == list(range(5000))


def test_produce_check_sends_nothing_if_a_line_is_refused(harness: CommandHarness) -> None:
    bad = response_json(2, score="a secret")
    result = harness.run("produce", "--check", harness.file(response_json(1), b"", bad, as_it_is(None, None)))

    assert result.exit_code == 1
    assert "line 3: invalid_score: " in result.stderr
    assert "line 4: null_value: " in result.stderr
    assert "2 of 3 lines are refused, so nothing was sent" in result.stderr
    assert "secret" not in result.output
    assert harness.records("survey-responses") == []

    assert harness.run("produce", "--check", harness.file(response_json(1))).exit_code == 0
    assert len(harness.records("survey-responses")) == 1


def test_produce_names_the_line_that_is_not_base64(harness: CommandHarness) -> None:
    result = harness.run("produce", harness.file(response_json(1), b'{"key": null, "value_base64": "%"}'))

    assert result.exit_code == 1
    assert "line 2: value_base64 is not base64" in result.stderr


def test_produce_sends_standard_input_as_it_comes(harness: CommandHarness) -> None:
    with harness.started("produce", "-") as process:
        assert process.stdin
        process.stdin.write(response_json(1) + b"\n" + response_json(2)[:20])
        process.stdin.flush()
        wait_until(lambda: len(harness.records("survey-responses")) == 1)
        process.stdin.write(response_json(2)[20:])
        process.stdin.close()
        assert process.wait(SECONDS) == 0

    assert sorted(r.key or b"" for r in harness.records("survey-responses")) == [b"shop/r1", b"shop/r2"]


def test_produce_waiting_for_input_ends_on_ctrl_c(harness: CommandHarness) -> None:
    with harness.started("produce", "-") as process:
        assert process.stdin
        process.stdin.write(response_json(1) + b"\n")
        process.stdin.flush()
        wait_until(lambda: len(harness.records("survey-responses")) == 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
        assert process.stdout
        assert process.stdout.read().startswith(b"1 records sent")


# Reading topics


def test_committed_records_are_in_order_and_without_aborted_ones(harness: CommandHarness) -> None:
    topic = harness.installation.topic("service-recovery")
    producer = Producer({"bootstrap.servers": harness.installation.brokers, "transactional.id": topic, "linger.ms": 0})
    producer.init_transactions()
    sent = []
    for number in range(40):
        producer.begin_transaction()
        producer.produce(topic, b"%d" % number, partition=number % 3)
        if number % 5 == 4:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
            sent.append(b"%d" % number)

    wait_until(lambda: len(harness.records("service-recovery")) == len(sent))
    records = harness.records("service-recovery")
    assert sorted(r.value or b"" for r in records) == sorted(sent)
    assert [r.timestamp for r in records] == sorted(r.timestamp for r in records)
    for partition in range(3):
        values = [int(r.value or b"") for r in records if r.partition == partition]
        assert values == sorted(values)
    latest = {int(r.value or b"") for r in harness.records("service-recovery", last=4)}
    assert {36, 37, 38} <= latest
    assert 0 not in latest


def test_output_that_nobody_reads_on_ends_quietly(harness: CommandHarness) -> None:
    producer = Producer({"bootstrap.servers": harness.installation.brokers})
    headers: list[Any] = [
        ("ce_type", b"npsflow.alert.raised.v1"),
        ("ce_id", b"a-1.1"),
        ("ce_time", b"2026-01-01T00:00:00Z"),
    ]
    due = "2026-01-02T01:00:00+01:00"
    value = json.dumps({"metric": "nps", "score": 1, "due_at": due, "comment": "c" * 60}).encode()
    for _ in range(3000):
        producer.produce(harness.installation.topic("service-recovery"), value, b"C-1", headers=headers)
    producer.flush(SECONDS)

    with harness.started("alerts", stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        assert line.startswith(b"2026-01-01 00:00  raised ")
        assert b"  due 2026-01-02 00:00 UTC  " in line  # in UTC, as the rest
        process.stdout.close()
        assert process.wait(SECONDS) == 1
        assert process.stderr.read() == b""


def test_tables_fit_a_terminal_of_80_columns(harness: CommandHarness) -> None:
    producer = Producer({"bootstrap.servers": harness.installation.brokers})
    long, name = "Überseelogistik und Zustellung 配送サービス " * 3, harness.installation.topic
    windows = [(number, window) for number in range(60) for window in ("1h", "24h", "7d", "30d")]
    figures = {
        "n": 12345,
        "histogram": {},
        "score": -12.5,
        "low": -100,
        "high": 100.0,
        "margin": 9,
        "sufficient": False,
    }
    for number, window in windows:
        segment = {"department": f"{long}{number}", "channel": "chat"}
        value = {"metric": "csat_overall", "scale": "1-5", "segment": segment, "window": window} | figures
        value |= {"start": "2026-10-01T11:00:00Z", "end": "2026-10-01T12:00:00Z"}
        producer.produce(name("nps-windows"), json.dumps(value).encode(), b"%d %b" % (number, window.encode()))
        event: list[Any] = [
            ("ce_type", b"npsflow.alert.raised.v1"),
            ("ce_id", b"a"),
            ("ce_time", b"2026-01-01T00:00:00Z"),
        ]
        alert = {"metric": "nps", "score": 1, "department": f"{long}{number}", "comment": "長い" * 40}
        producer.produce(name("service-recovery"), json.dumps(alert).encode(), b"C-%d" % number, headers=event)
        case_id = f"c-{number * 2654435761 % 2**32:08x}{number:024x}"
        case = {"case_id": case_id, "kind": "recovery", "revision": 1, "status": "opened", "key": "C"}
        case |= dict.fromkeys(("opened_at", "due_at", "finish_by"), f"2026-03-02T09:00:{number // 4:02}.000Z")
        case |= {"source": "s", "survey_id": "q", "response_id": "r", "category": "detractor", "severity": "high"}
        case |= {"submitted_at": "2026-03-02T09:00:00Z", "customer_id": f"customer-of-the-shop-{number}"}
        producer.produce(name("recovery-cases"), json.dumps(case | alert).encode(), case_id.encode())
        letter = DeadLetter("too_late", "why " * 30, "survey-responses", 0, number, "2026-01-01", long)
        refused: list[Any] = list(letter.headers([]))
        producer.produce(name("survey-responses-dlq"), b"{}", b"k", headers=refused)
    producer.flush(SECONDS)

    for command in (["windows"], ["alerts"], ["dlq", "list"], ["topics", "list"], ["check"]):
        lines = plain(on_terminal(["-m", "npsflow.agents.entry", *command], harness.environment)).splitlines()
        assert max(map(width, lines)) <= COLUMNS, command
        words = " ".join(" ".join(lines).split())
        if command in (["windows"], ["alerts"]):
            assert all(f"{long}{number} " in words for number in range(60))
    listed = plain(on_terminal(["-m", "npsflow.agents.cli", "cases"], harness.environment))
    rows = [line for line in listed.splitlines() if line.startswith("c-")]
    assert max(map(width, listed.splitlines())) <= COLUMNS
    assert len({row.split()[0] for row in rows}) == len(rows) == 50
    assert len({row.split()[5] for row in rows}) == 50  # customers can be told apart
    assert "10 more: --limit 0 shows all" in listed
    whole = harness.run("cases", "--severity", "high").stdout.splitlines()
    assert len(whole) == 61
    assert all("長い" * 40 in row and " ".join(long.split()) in row for row in whole[1:])
    piped = harness.run("windows").stdout.splitlines()
    assert [line.partition("=")[2].partition(" channel=")[0] for line in piped[1::4]] == sorted(
        f"{' '.join(long.split())} {number}" for number in range(60)
    )


# With a worker


def test_from_responses_to_alerts_windows_and_dead_letters(harness: CommandHarness) -> None:
    unhappy = response_json(
        1,
        score=1,
        channel="phone",
        department="Delivery ",
        comment="still\nwaiting",
        customer={"id": "C-7", "email": "c7@example.com", "phone": "+31 20 123"},
        submitted_at=(datetime.now(UTC) - timedelta(seconds=1)).isoformat(),  # the first to spell its department
    )
    bad = [response_json(4, score=99), as_it_is(None, None)]
    lines = [unhappy, response_json(2, department="delivery"), response_json(3, department="Billing"), *bad]
    with working(harness):
        assert harness.run("produce", harness.file(*lines)).exit_code == 0
        wait_until(lambda: [w["n"] for w in harness.lines("windows", "--json", "--segment", "overall")] == [3] * 4)

        updated = datetime.now(UTC).isoformat()
        corrected = response_json(1, score=10, updated_at=updated, department="delivery", customer={"id": "C-7"})
        with harness.started("alerts", "--follow") as following:
            assert following.stdout
            assert b"raised" in following.stdout.readline()
            assert harness.run("produce", harness.file(corrected)).exit_code == 0
            assert b"retracted" in following.stdout.readline()
            following.send_signal(signal.SIGINT)
            assert following.wait(SECONDS) == 0
        overall = ("windows", "--json", "--segment", "overall", "--window", "30d")
        wait_until(lambda: harness.lines(*overall)[0]["histogram"] == {"9": 2, "10": 1})
        report = harness.checked()
        past = datetime.now(UTC) - timedelta(days=3)
        old = response_json(9, metric="csat", score=5, submitted_at=past.isoformat())
        assert harness.run("produce", harness.file(old)).exit_code == 0
        csat = ("history", "--json", "--metric", "csat", "--segment", "overall")
        wait_until(lambda: bool(harness.lines(*csat)))

    raised, retracted = harness.lines("alerts", "--json")
    assert (raised["type"], raised["key"], raised["score"]) == ("npsflow.alert.raised.v1", "C-7", 1)
    assert raised["id"] == f"{raised['alert_id']}.1"
    assert (retracted["type"], retracted["cause"]) == ("npsflow.alert.retracted.v1", "category")
    shown, gone = harness.run("alerts").stdout.splitlines()
    assert "raised      critical  nps 1     C-7                       phone   Delivery" in shown
    assert shown.endswith("“still waiting”")
    assert "retracted" in gone
    assert gone.endswith("because of: category")
    assert "  taken back later  " in shown  # its deadline is not one any more
    assert shown.split()[2] == gone.split()[2] == raised["alert_id"]
    assert "example.com" not in shown
    assert "+31" not in shown

    windows = harness.lines("windows", "--json", "--segment", "department=DELIVERY", "--window", "24h")
    assert len(windows) == 1
    assert windows[0]["segment"] == {"department": "Delivery"}
    assert (windows[0]["n"], windows[0]["histogram"], windows[0]["sufficient"]) == (2, {"9": 1, "10": 1}, False)
    assert set(windows[0]) == {
        "type", "id", "time", "metric", "scale", "segment", "window", "start", "end", "n", "promoters", "passives",
        "detractors", "histogram", "unit", "score", "low", "high", "margin", "sufficient",
    }  # fmt: skip
    departments = harness.lines("windows", "--json", "--segment", "department")
    assert [(w["segment"]["department"], w["window"]) for w in departments] == [
        (department, window) for department in ("Billing", "Delivery") for window in ("1h", "24h", "7d", "30d")
    ]
    assert harness.lines("windows", "--json")[0]["segment"] == {}
    assert harness.lines("windows", "--json", "--metric", "ces") == []
    row = harness.run("windows", "--segment", "overall", "--window", "7d").stdout.splitlines()[1].split()
    assert row[:3] == ["nps", "overall", "7d"]
    assert row[5:7] == ["3", "+100.0"]
    assert row[-3:] == ["3/0/0", "too", "few"]

    (day,) = harness.lines(*csat)
    assert (day["window"], day["n"], day["score"], day["segment"]) == ("1d", 1, 100.0, {})
    assert day["start"] == f"{past:%Y-%m-%d}T00:00:00Z"
    (shown_day,) = harness.run("history", "--segment", "overall", "--metric", "csat").stdout.splitlines()[1:]
    assert shown_day.split()[:5] == ["csat", "overall", f"{past:%Y-%m-%d}", "1", "100.0%"]
    assert harness.run("history", "--metric", "ces").stderr.startswith("no such history: nothing was answered there")

    letters = harness.lines("dlq", "list", "--json")
    assert sorted(letter["reason"] for letter in letters) == ["null_value", "score_out_of_range"]
    listed = harness.run("dlq", "list", "--reason", "score_out_of_range").stdout.splitlines()
    assert "  shop  " in listed[0]
    assert listed[1:] == ["       1 score_out_of_range"]

    assert report["warn"] == report["fail"] == []
    assert "outcomes: counted 4, dead 2" in report["ok"]
