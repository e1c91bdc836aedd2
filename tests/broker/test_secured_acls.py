"""The permissions of deploy/acls.md are enough for each process, and none of them is idle."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from npsflow.agents.broker.embedded import free_port
from npsflow.agents.cli import main
from npsflow.agents.demo.sample import Line
from npsflow.agents.kafka.diagnosis import ALLOW
from npsflow.schemas.topics import DEAD_LETTERS, RESPONSES
from npsflow.streams.config.settings import parse
from npsflow.streams.engine.installation import Installation
from npsflow.streams.topology import wanted
from tests.support.waiting import eventually

from .acls import PROCESSES, by_commands, commands, table, user
from .harness import FIXED, Harness, Process, lines, response_line
from .secured import SECONDS, SECRETS, Acl, Secured, output_of_check, output_of_worker
from .secured_intake import take_in_and_fetch

EXPORTS = Path(__file__).parents[1] / "agents" / "platforms" / "fixtures" / "delighted" / "export"
PREFIX = "acls."
BOARD_TOKEN = "for-the-board-alone"
CUSTOMERS = ("C-one", "C-two")
SETTINGS = FIXED + '[dead_letters]\npause = true\n[notify.desk]\nkind = "console"\ncases = ["ask"]\n'
SEALED = f"{SETTINGS}[sealing]\nenabled = true\n"
RULE = re.compile(
    r"Principal = User:(\S+) is Allowed operation = (\w+) .* based on rule MatchingAcl\(acl=StandardAcl\["
    r"resourceType=(\w+), resourceName=(\S+), patternType=(\w+), .* operation=(\w+),"
)


def test_the_commands_allow_what_the_table_says() -> None:
    rows = table("")
    assert set(rows) == set(PROCESSES)
    allowed = by_commands()
    for process in PROCESSES:
        besides = allowed["npsflow-worker"] if process in ("check", "rebuild") else set[Acl]()
        assert allowed[user(process)] | besides == rows[process], process


def test_kafkas_own_tool_takes_the_commands(secured: Secured) -> None:
    name = user("dlq replay")
    for words in commands()[name]:
        connection = ["--bootstrap-server", secured.broker.bootstrap, "--add"]
        secured.broker.tool("org.apache.kafka.tools.AclCommand", *connection, *words)
    assert secured.allowed(name) == table("")["dlq replay"]
    secured.forbid(name, table("")["dlq replay"])


@pytest.fixture
def watched(secured: Secured) -> Iterator[Secured]:
    """With an authorizer that writes down what it allows, and by which permission."""
    arguments = f"--bootstrap-server {secured.broker.bootstrap} --alter --entity-type broker-loggers --entity-name 1"
    for level in ("DEBUG", "INFO"):
        change = f"{arguments} --add-config kafka.authorizer.logger={level}"
        secured.broker.tool("kafka.admin.ConfigCommand", *change.split())
        if level == "DEBUG":
            yield secured


def used(secured: Secured) -> dict[str, set[Acl]]:
    """By user, the permissions that were asked for by their own operation."""
    found: dict[str, set[Acl]] = {}
    with secured.broker.log.open(errors="replace") as log:
        for line in log:
            if (printed := RULE.search(line)) is not None and printed[2] == printed[6]:
                found.setdefault(printed[1], set()).add(Acl(printed[3], printed[5], printed[4], printed[6]))
    return found


class Processes:
    """Every process as a user of its own, who may do what the page says."""

    def __init__(self, secured: Secured, folder: Path) -> None:
        self._secured, self._config = secured, folder / "npsflow.toml"
        self._config.write_text(SEALED)
        for process in PROCESSES:
            secured.add_user(user(process))
            secured.allow(user(process), table(PREFIX)[process])

    def door(self, process: str) -> dict[str, str]:
        names = {"NPSFLOW_PREFIX": PREFIX, "NPSFLOW_CONFIG": str(self._config), "NPSFLOW_SESSION_MS": "5000"}
        return self._secured.with_login(user(process)) | names

    async def run(self, process: str, *words: str, fails: bool = False) -> str:
        """A command that ends by itself; gives what it printed."""
        command = [sys.executable, "-m", "npsflow.agents.entry", *process.split(), *words]
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            env=os.environ | self.door(process),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == fails, printed
        assert not [secret for secret in SECRETS if secret in printed]
        return printed


async def on_cases(processes: Processes) -> None:
    """Those that look at cases and act on them, while a worker runs."""
    cases = [json.loads(line) for line in (await processes.run("cases", "--open", "--json")).splitlines()]
    first, second = (case for case in cases if case["key"] in CUSTOMERS)
    assert "noted: " in await processes.run("act", "note", first["case_id"], "--comment", "called")
    environment = os.environ | processes.door("board") | {"NPSFLOW_SECRET_BOARD": BOARD_TOKEN}
    port = free_port()
    command = [sys.executable, "-m", "npsflow.agents.entry", "board", "--port", str(port)]
    board = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE)
    try:
        assert board.stdout is not None
        assert await board.stdout.readline()
        headers = {"Authorization": f"Bearer {BOARD_TOKEN}"}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as client:

            async def acted() -> bool:
                action = {"action": "note", "by": "anna", "comment": "called", "action_id": "one"}
                async with client.post(f"/cases/{second['case_id']}/actions?wait=1", json=action) as answer:
                    return answer.status == 200

            await eventually(acted)
        board.terminate()
        assert await board.wait() == 0
    finally:
        if board.returncode is None:
            board.kill()
    assert "forgotten: all that recover knew" in await processes.run("forget", first["key"], "--yes")


async def received(processes: Processes) -> None:
    """Who tells of cases, until something is told."""
    command = [sys.executable, "-m", "npsflow.agents.entry", "notify", "desk", "--port", str(free_port())]
    environment = os.environ | processes.door("notify")
    notify = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE)
    try:
        assert notify.stdout is not None
        async with asyncio.timeout(SECONDS):
            while b"Case: " not in await notify.stdout.readline():
                assert notify.returncode is None
        notify.terminate()
        assert await notify.wait() == 0
    finally:
        if notify.returncode is None:
            notify.kill()


async def paused(harness: Harness, worker: Process) -> bool:
    """Whether a partition has stopped, and that is committed."""
    offsets = await harness.offsets("classify")
    return any(
        offsets.get(line["partition"], 0) >= line["offsets"][RESPONSES]
        for line in worker.logged("most records are refused: paused")
    )


@pytest.mark.faults  # it takes long
async def test_each_process_does_its_work_with_exactly_that(watched: Secured, tmp_path: Path) -> None:
    processes = Processes(watched, tmp_path)
    assert (await processes.run("topics create")).count("created: ") == len(wanted(parse(SEALED), Installation()))
    assert "missing" not in await processes.run("topics list")
    assert "permission: all that a worker needs is allowed" in await processes.run("check")

    # The harness comes by the plain door: it looks at everything.
    async with Harness(watched.broker, PREFIX, SEALED) as harness:
        harness.environment |= processes.door("worker")
        bad = Line(b"a/1", b"{", "bad:not_json")
        with harness.process(tmp_path) as worker:
            await processes.run("produce", str(written(tmp_path, [*lines(1_500), *[bad] * 1_100])))

            await eventually(partial(paused, harness, worker))
            await processes.run("dlq accept")
            await eventually(harness.finished)
            worker.send(signal.SIGTERM)
            assert await worker.exit_status() == 0
        assert not worker.logged("failed")
        assert await harness.differences() == []

        # Months later, and back from its changelogs, it deletes the records of what nobody needs any more.
        now = datetime.now(UTC).isoformat()
        unhappy = [
            response_line(n, score=1, customer={"id": customer}, submitted_at=now)
            for n, customer in enumerate(CUSTOMERS)
        ]
        harness.produce(unhappy)
        delete = Acl("TOPIC", "LITERAL", harness.installation.changelog("classify", "remembered"), "DELETE")

        async def purged() -> bool:
            return delete in used(watched).get("npsflow-worker", ())

        with harness.process(tmp_path) as worker:
            await eventually(purged, 2 * SECONDS)
            await eventually(harness.finished)
            await on_cases(processes)
            await received(processes)
            worker.send(signal.SIGTERM)
            assert await worker.exit_status() == 0
        assert not worker.logged("failed")

        await take_in_and_fetch(
            harness, processes.door("intake"), processes.door("fetch"), tmp_path, "[sealing]\nenabled = true\n"
        )

        for export in ("export.csv", "people.json"):
            await processes.run("import", str(EXPORTS / export), "--platform=delighted", "--zone=UTC", "--form=q")

        for process in ("alerts", "windows", "history", "dlq list"):
            printed = await processes.run(process, "--json")
            assert [json.loads(line) for line in printed.splitlines()], process
        # Those that stopped a partition are accepted once: sent again they would stop the worker.
        reasons = Counter(dict(r.headers)["npsflow_dlq_reason"].decode() for r in await harness.read(DEAD_LETTERS))
        del reasons["not_json"]
        ((reason, count),) = reasons.most_common(1)
        assert f"{count} dead letters sent back" in await processes.run("dlq replay", "--again", "--reason", reason)
        assert "1 dead letters sent back" in await processes.run("dlq replay", "--reason", "unfetched")
        harness.produce(lines(500, seed=8))  # the rebuild is the first to read them, and so to write of them
        await processes.run("rebuild", "--yes")
        assert "permission: all that a worker needs is allowed" in await processes.run("check")

    # A check only looks whether a worker may do it, and a rebuild neither pauses nor recovers.
    accept = Acl("GROUP", "LITERAL", f"{PREFIX}npsflow-dlq-accept", "DESCRIBE")
    # No platform of the test says who was asked, and no action is refused or on a wrong partition.
    invite = Acl("TOPIC", "LITERAL", f"{PREFIX}survey-invitations", "WRITE")
    act = Acl("TOPIC", "LITERAL", f"{PREFIX}recovery-actions", "WRITE")
    # Nobody watches scores here.
    watch = Acl("TOPIC", "LITERAL", f"{PREFIX}nps-alerts", "WRITE")
    worker_may = table(PREFIX)["worker"]
    recovering = {acl for acl in worker_may if re.search("npsflow-recover|recovery-", acl.name)}
    # The console sends no digest and knows of no tickets.
    elsewhere = re.compile("recovery-cases|customer-follow-up|recovery-actions")
    # What is replayed is sealed already, and the console says nothing about cases.
    make_key = Acl("TOPIC", "LITERAL", f"{PREFIX}customer-keys", "WRITE")
    idle = {
        "worker": {act, watch}, "check": worker_may, "rebuild": {accept, watch, *recovering}, "intake": {invite},
        "dlq replay": {invite, act, make_key},
        "notify": {make_key, *(acl for acl in table(PREFIX)["notify"] if elsewhere.search(acl.name))},
    }  # fmt: skip
    done, may = used(watched), table(PREFIX)
    unused = {process: may[process] - idle.get(process, set()) - done[user(process)] for process in PROCESSES}
    assert {process: acls for process, acls in unused.items() if acls} == {}


def test_what_a_worker_may_not_do_is_named(secured: Secured, tmp_path: Path) -> None:
    """Each of its permissions, taken away alone: by `check`; and one of each kind by a worker that is started."""
    prefix, name = "lacking.", "lacking"
    config = tmp_path / "npsflow.toml"
    config.write_text(SETTINGS)
    secured.add_user(name)
    door = secured.with_login(name) | {"NPSFLOW_PREFIX": prefix, "NPSFLOW_CONFIG": str(config)}
    acls = table(prefix)["worker"]
    secured.allow(name, acls)
    plain = {"NPSFLOW_BROKERS": secured.broker.bootstrap, "NPSFLOW_PREFIX": prefix}
    made = CliRunner().invoke(main, ["topics", "create"], env=plain)
    assert made.exit_code == 0, made.output
    assert output_of_check(door) == []
    named = {"TOPIC": "topic", "GROUP": "group", "TRANSACTIONAL_ID": "transactional id"}
    started = set[str]()
    for acl in sorted(acls):
        secured.forbid(name, [acl])
        resource = named[acl.resource] + " " + acl.name + ("check" if acl.pattern == "PREFIXED" else "")
        expected = [f"permission: user 'lacking' may not {acl.operation} {resource}: {ALLOW}"]
        assert output_of_check(door) == expected
        if acl.resource not in started:
            started.add(acl.resource)
            assert output_of_worker(door) == expected
        secured.allow(name, [acl])
    assert started == set(named)
    assert output_of_check(door) == []
    # Topics of which a worker knows nothing are only warned of.
    secured.allow(name, {acl for acl in table(prefix)["check"] if acl.operation == "DESCRIBE_CONFIGS"})
    assert output_of_check(door) == []


def written(folder: Path, some: list[Line]) -> Path:
    """A file for `npsflow produce`."""
    path = folder / "lines.jsonl"
    with path.open("w") as file:
        for line in some:
            key = None if line.key is None else line.key.decode()
            value = None if line.value is None else b64encode(line.value).decode()
            file.write(json.dumps({"key": key, "value_base64": value}) + "\n")
    return path
