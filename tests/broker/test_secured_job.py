"""Workers do the whole job by every secured door, and what comes out equals the oracle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from npsflow.schemas.topics import SERVICE_RECOVERY
from tests.support.waiting import eventually

from .acls import table
from .harness import Harness, lines
from .secured import CERTIFIED, PLAIN_PASSWORD, SECONDS, SECRETS, Acl, Secured

ANYTHING = [Acl(resource, "LITERAL", "*", "ALL") for resource in ("TOPIC", "GROUP", "TRANSACTIONAL_ID")]


@pytest.mark.parametrize(
    ("name", "count"),
    [("SCRAM-SHA-512", 3_000), ("certificate", 3_000), ("SCRAM-SHA-256", 300), ("PLAIN", 300), ("SASL_PLAINTEXT", 300)],
)
async def test_a_worker_does_its_job(secured: Secured, name: str, count: int, tmp_path: Path) -> None:
    user, password = f"job-{name}", None
    if name == "certificate":
        user, door = CERTIFIED, secured.with_certificate()
    elif name == "PLAIN":
        user, password = "simple", PLAIN_PASSWORD
        door = secured.with_login(user, password, name)
    elif name == "SASL_PLAINTEXT":
        secured.add_user(user)
        door = secured.with_login(user) | {"NPSFLOW_BROKERS": secured.open, "NPSFLOW_SECURITY_PROTOCOL": name}
        del door["NPSFLOW_TLS_CA"]
    else:
        secured.add_user(user)
        door = secured.with_login(user, mechanism=name)
    secured.allow(user, ANYTHING)
    async with Harness(secured.broker, f"job-{name}.", door=door) as harness:
        assert harness.installation.brokers != secured.broker.bootstrap
        harness.environment["NPSFLOW_LOG_LEVEL"] = "DEBUG"
        with harness.process(tmp_path) as worker:
            harness.produce(lines(count))
            await eventually(harness.finished)
            worker.send(signal.SIGTERM)
            assert await worker.exit_status() == 0
        assert await harness.differences() == []
    assert "task ready" in worker.output
    assert not [secret for secret in SECRETS if secret in worker.output]
    secured.forbid(user, ANYTHING)


async def test_a_permission_taken_from_a_running_worker_is_named(secured: Secured, tmp_path: Path) -> None:
    """It says so while it lasts, and when it may again, nothing is lost or done twice."""
    prefix, user = "taken.", "taken"
    acls = table(prefix)["worker"]
    secured.add_user(user)
    secured.allow(user, acls)
    async with Harness(secured.broker, prefix) as harness:
        harness.environment |= secured.with_login(user)
        with harness.process(tmp_path) as worker:
            harness.produce(lines(500))
            await eventually(harness.finished)
            taken = Acl("TOPIC", "LITERAL", harness.installation.topic(SERVICE_RECOVERY), "WRITE")
            secured.forbid(user, [taken])
            harness.produce(lines(500, seed=8))

            async def says_it() -> bool:
                printed = [line["error"] for line in worker.logged("task dropped")]
                return any("TopicAuthorizationFailedError" in error and taken.name in error for error in printed)

            await eventually(says_it)
            secured.allow(user, [taken])
            await eventually(harness.finished)
        assert await harness.differences() == []


@pytest.mark.faults
def test_the_demo_runs_on_a_secured_cluster(secured: Secured, tmp_path: Path) -> None:
    """With everything below its prefixes allowed, as deploy/acls.md says, and nothing else."""
    secured.add_user("demo")
    secured.allow("demo", [Acl(acl.resource, "PREFIXED", "demo-", "ALL") for acl in ANYTHING])
    done = subprocess.run(
        [sys.executable, "-m", "npsflow.agents.entry", "demo", "--once"],
        env=os.environ | secured.with_login("demo") | {"TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=4 * SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Kafka is that of NPSFLOW_BROKERS, {secured.sasl}" in done.stdout
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
