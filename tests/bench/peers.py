"""`peers`: other engines on their minimal job, and npsflow on the same job and the same responses.

One dimension, windows and alerts, no follow-ups, one process. The programs of the peers are not part of this project:
PEERS_DIR names the folder with their environments, BROKER the cluster that all use, PEERS_RUN the `run.py` that runs
them, where that is not `../shared/peers/run.py` beside this checkout. They count by the time in the record: that
cluster must leave it there (`log.message.timestamp.type=CreateTime`), or all windows of theirs fall into one hour.
"""

import hashlib
import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from npsflow.agents.kafka import clients, reading
from npsflow.schemas import codec
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.topics import RESPONSES, SERVICE_RECOVERY, WINDOWS
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.transaction import Outputs
from npsflow.streams.stage import Output
from tests.bench.classify import ONE_DIMENSION, WITHOUT_FOLLOW_UPS, drained
from tests.bench.common import FIXED, BenchHarness, bench_harness, report, say
from tests.bench.limit import per_million

_RUN = Path(__file__).parents[3] / "shared" / "peers" / "run.py"
_JOBS = {
    400_000: {
        "kstreams-eos": "kstreams/target/kstreams-bench-1.jar",
        "quix-eos": "v-quix/bin/python",
        "bytewax-recovery": "v-bytewax/bin/python",
    },
    2_000_000: {"kstreams-eos-2m": "kstreams/target/kstreams-bench-1.jar"},
}
"""By number of responses: name of the job, and what of its environment has to be there."""
_DRIVER = "v-quix/bin/python"
_CHUNK = 20_000
_LONGEST = "30d"


def run(at: Installation) -> None:
    folder, brokers = os.environ.get("PEERS_DIR"), os.environ.get("BROKER")
    program = Path(os.environ.get("PEERS_RUN", _RUN))
    if not folder or not brokers or not program.exists() or not (Path(folder) / _DRIVER).exists():
        say("peers: not set up (PEERS_DIR with their environments, BROKER, and their run.py: see tests/bench/peers.py)")
        return
    for count, jobs in _JOBS.items():
        there = [name for name, need in jobs.items() if (Path(folder) / need).exists()]
        found = {name: theirs for name in there if (theirs := _peer(Path(folder), program, name)) is not None}
        if found:
            _compare(msgspec.structs.replace(at, brokers=brokers), Path(folder), count, found)


def _peer(folder: Path, program: Path, name: str) -> dict[str, Any] | None:
    """What the peer's own measurement says; None, and why, where it failed."""
    say(f"peers: {name}")
    command = [str(folder / _DRIVER), str(program), name, "--reps", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    found: list[dict[str, Any]] = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    if not found or "events_s" not in found[-1]:
        say(f"peers: {name} failed: {(ended.stderr or ended.stdout).strip()[-300:]}")
        return None
    return found[-1]


def _compare(at: Installation, folder: Path, count: int, peers: dict[str, dict[str, Any]]) -> None:
    wanted = json.loads((folder / f"expected-{count}.json").read_text())
    with bench_harness(at, FIXED + WITHOUT_FOLLOW_UPS + ONE_DIMENSION) as here:
        say(f"peers: npsflow, {clients.run(_copy(here, f'bench-by-survey-{count}')):,} of the same responses")
        ours = drained(here, "classify,rollup", count, one_core=False)
        correct = clients.run(_correct(here, wanted))
    rate, cpu = count / ours["seconds"], per_million(ours, count)
    for name, theirs in peers.items():
        comparable = correct and theirs["correct"]
        if not comparable:
            say(f"peers: {name}: no ratio, one of the two is wrong: npsflow {correct}, peer {theirs['correct']}")
        report(
            "peers",
            rate,
            "responses/s",
            theirs["events_s"] if comparable else None,
            peer=name,
            responses=count,
            cpu_s_per_million=cpu,
            peer_per_s=theirs["events_s"],
            peer_cpu_s_per_million=theirs["cpu_s_per_m"],
            cpu_ratio=theirs["cpu_s_per_m"] / cpu if comparable else None,
            starved_s=ours["starved_seconds"],
            waited_s=ours["waited_seconds"],
            correct=correct,
            peer_correct=theirs["correct"],
        )


async def _copy(here: BenchHarness, topic: str) -> int:
    """The peers' input, which is keyed by survey, under our keys."""
    theirs, partitions, count = (
        msgspec.structs.replace(here.installation, prefix=""),
        here.settings.topics.partitions,
        0,
    )
    async with clients.producer(here.installation) as producer:
        outputs = Outputs(producer, here.installation.prefix, 0)
        async for record in reading.committed_records(theirs, topic):
            response = codec.loads(record.value or b"")
            key = f"{response['source']}/{response['response_id']}".encode()
            outputs.emit(Output(RESPONSES, partition_of(key, partitions), key, record.value, []))
            count += 1
            if count % _CHUNK == 0:
                await clients.deliver(producer, outputs)
        await clients.deliver(producer, outputs)
    return count


async def _correct(here: BenchHarness, wanted: dict[str, Any]) -> bool:
    """Whether we raised exactly the alerts that the peers should raise, and counted what they should count."""
    ids = []
    async for record in reading.committed_records(here.installation, SERVICE_RECOVERY):
        ids.append(codec.loads(record.value or b"")["response_id"])
    tallies: dict[str, tuple[int, int, int]] = {}
    async for record in reading.committed_records(here.installation, WINDOWS):
        window = codec.loads(record.value or b"{}")
        if window and window["window"] == _LONGEST and (survey := window["segment"].get("survey_id")):
            tallies[survey] = (window["promoters"], window["passives"], window["detractors"])
    sums = [Counter[str]() for _ in range(3)]
    for key, counts in wanted["windows"].items():
        for total, of in zip(sums, counts, strict=True):
            total[key.partition("@")[0]] += of
    digest = hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
    expected = {survey: tuple(total[survey] for total in sums) for survey in sums[0]}
    return digest == wanted["ids_sha"] and tallies == expected
