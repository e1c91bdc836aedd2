"""Working on cases from the command line, on a real Kafka."""

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from npsflow.agents.broker.embedded import free_port
from tests.support.waiting import wait_until

from .command_harness import SECONDS, CommandHarness, response_json


@contextmanager
def working(harness: CommandHarness) -> Iterator[None]:
    with harness.started("worker", "--web-port", str(free_port())) as process:
        yield
        process.terminate()
        assert process.wait(SECONDS) == 0


def unhappy(number: int, score: int = 2, **fields: Any) -> bytes:
    return response_json(number, score=score, customer={"id": f"C-{number}"}, **fields)


def cases(harness: CommandHarness, *options: str) -> list[dict[str, Any]]:
    return harness.lines("cases", "--json", *options)


def test_a_case_from_alert_to_closed_loop(harness: CommandHarness) -> None:
    assert harness.run("cases").stdout == "no such cases\n"
    fields: dict[str, Any] = {"channel": "chat", "department": "Support", "comment": "nobody\ncalled"}
    with working(harness):
        harness.run("produce", harness.file(unhappy(1, **fields), unhappy(2, 5), response_json(3)))
        wait_until(lambda: len(cases(harness)) == 2)
        first, second = sorted(cases(harness, "--open"), key=lambda case: str(case["customer_id"]))
        assert (first["customer_id"], first["status"], first["channel"]) == ("C-1", "opened", "chat")

        (row,) = [line for line in harness.run("cases").stdout.splitlines() if "C-1" in line]
        assert row.split()[:5] == [first["case_id"], "critical", "opened", "service-recovery", "in"]
        assert row.endswith("nobody called")

        done = harness.run("act", "contact", first["alert_ids"][0], "--comment", "called")
        assert (done.exit_code, done.stdout) == (
            0,
            f"contacted: {first['case_id']} is contacted, owner service-recovery\n",
        ), done.output
        again = harness.run("act", "contact", first["case_id"])
        assert again.exit_code == 1
        assert "refused, is_contacted" in again.stderr
        early = harness.run("act", "reopen", first["case_id"], "--by", "anna")
        assert early.stderr == f"Error: refused, still_open: {first['case_id']} stays contacted\n"

        resolved = ("--root-cause", "late", "--comment", "refunded", "--by", "anna", "--action-id", "one")
        for _ in range(2):  # the same action counts once
            assert harness.run("act", "resolve", first["case_id"], *resolved).exit_code == 0
        assert harness.run("act", "resolve", second["case_id"][:10], "--root-cause", "No complaint").exit_code == 0
        assert "fixed: customers to be told: 1," in harness.run("act", "fixed", "late").stdout
        unheard = harness.run("act", "fixed", "never", "heard", "of", "--by", "anna")
        assert "fixed: customers to be told: 0," in unheard.stdout
        assert unheard.stderr == "resolved cases have these root causes: late\n"
        assert "loop_closed: " in harness.run("act", "Close-Loop", first["case_id"][:10]).stdout

        shown = json.loads(harness.run("cases", "show", first["case_id"], "--json").stdout)
        assert [(entry["what"], entry["by"]) for entry in shown["history"]] == [
            ("opened", "npsflow"), ("contacted", getpass.getuser()),
            ("action_refused", getpass.getuser()), ("action_refused", "anna"),
            ("resolved", "anna"), ("assigned", getpass.getuser()), ("loop_closed", getpass.getuser()),
        ]  # fmt: skip
        text = harness.run("cases", "show", first["case_id"]).stdout
        assert "customer_id       C-1" in text
        assert "resolved        anna              late  “refunded”" in text
        assert [case["customer_id"] for case in cases(harness, "--open")] == ["C-2"]
        assert cases(harness, "--overdue") == cases(harness, "--owner", "nobody") == []
        assert [case["customer_id"] for case in cases(harness)] == ["C-2"]
        assert cases(harness, "--department", "SUPPORT", "--kind", "recovery") == []
        assert len(cases(harness, "--department", "SUPPORT", "--status", "loop-closed")) == 1
        assert len(cases(harness, "--kind", "all", "--status", "all")) == 2

        both = harness.run("act", "note", first["case_id"], second["case_id"][:10], "--comment", "call", "--by", "anna")
        assert both.stdout.splitlines() == [
            f"noted: {case_id} is {status}, owner service-recovery"
            for case_id, status in ((first["case_id"], "loop_closed"), (second["case_id"], "resolved"))
        ]
        one = harness.run("act", "contact", first["case_id"], second["case_id"], "--by", "anna")
        assert (one.exit_code, one.stderr.count("refused, is_")) == (1, 2)

        assert "contacted in time  100%, 2 of 2 (target 90%, reached)" in harness.run("cases", "--report").stdout
        (report,) = harness.lines("cases", "--report", "--json")
        assert (report["overall"]["open"], report["department"]["Support"]["cases"]) == (1, 1)


def test_what_cannot_be_done_is_said(harness: CommandHarness) -> None:
    missing = harness.run("act", "contact", "c-none")
    assert (missing.exit_code, missing.stderr) == (1, "Error: there is no case c-none: see `npsflow cases`\n")
    assert harness.run("cases", "show", "c-none").exit_code == 1
    case = {
        "case_id": "c-1", "kind": "recovery", "revision": 1, "status": "opened", "key": "C-1", "response_id": "r",
        "opened_at": "2026-03-02T09:00:00.000Z", "due_at": "2026-03-03T09:00:00.000Z", "source": "s", "survey_id": "q",
        "finish_by": "2026-03-09T09:00:00.000Z", "metric": "nps", "score": 1, "category": "detractor",
        "submitted_at": datetime.now(UTC).isoformat(),
    }  # fmt: skip
    harness.produce("recovery-cases", b"c-1", json.dumps(case).encode(), [])
    wrong = harness.run("act", "contact", "c-1", "--at", "yesterday")
    assert wrong.exit_code == 2
    assert "no time with an offset" in wrong.stderr
    alone = harness.run("act", "contact", "c-1", "--timeout", "0.5")
    assert alone.exit_code == 1
    assert "is a worker running?" in alone.stderr
    (sent,) = harness.records("recovery-actions")
    assert (sent.key, sent.partition, json.loads(sent.value or b"")["case_id"]) == (b"C-1", 0, "c-1")
