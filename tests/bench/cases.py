"""`cases`: what 50,000 open cases take: bytes each, seconds to restore them, and a tick with nothing due.

And the time until `npsflow cases` shows the first of 100,000.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from npsflow.schemas import topics
from npsflow.schemas.codec import dumps
from npsflow.schemas.events import ALERT_RAISED
from npsflow.schemas.headers import CloudEvents
from npsflow.schemas.times import HOUR, rfc3339
from npsflow.streams.engine.installation import Installation
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.settings import Recovery, clock_of
from npsflow.streams.recovery.stage import Recover, RecoveryFold
from npsflow.streams.stage import Output
from tests.bench.common import bench_harness, measured, report, say, scaled, tell
from tests.bench.data import Encoded
from tests.bench.memory import _STATM, Received, _resident

_COUNT = scaled(50_000)
_TICKS = 1_000
_LISTED, _RUNS = scaled(100_000), 5
_EVENTS = CloudEvents("npsflow/", [ALERT_RAISED])


def run(at: Installation) -> None:
    _first_line(at)
    if not _STATM.exists():
        say("cases: not measured, this system has no /proc/self/statm")
        return
    say(f"cases: {_COUNT:,} cases are opened, and restored")
    found = measured("cases")
    report("case_memory", found["grown"] / _COUNT, "bytes/case", None, by="growth of RSS", packed=found["packed"])
    report("case_open", found["open"] / _COUNT * 1e6, "us/alert", None)
    report("case_restore", found["restore"], "s", None, of="a fold from its state, without Kafka")
    report("case_tick", found["tick"] * 1e6, "us", None, of="a look at the time with nothing due")


def _first_line(at: Installation) -> None:
    say(f"cases: npsflow cases shows the first of {_LISTED:,}")
    with bench_harness(at) as harness:
        harness.fill(_case_records(), topics.CASES)
        taken = [_until_first_line(os.environ | harness.environment) for _ in range(_RUNS)]
    wall, cpu = (median(times) for times in zip(*taken, strict=True))
    report("case_first_line", wall, "s", 1.0, cpu=cpu, of=f"npsflow cases, {_LISTED:,} open ones")


def _case_records() -> Iterator[Encoded]:
    now, emitted = int(time.time() * 1000), list[Output]()
    settings = Recovery()
    fold = Recover(Policy(settings, clock_of(settings)), "npsflow/", "").open(0, 4, emitted.append)
    for number in range(_LISTED):
        fold.apply(fold.read(_alert(number, now)))
        if number % 1_000 == 999 or number == _LISTED - 1:
            fold.checkpoint(now)
            yield from ((o.key or b"", o.value or b"") for o in emitted if o.topic == topics.CASES)
            emitted.clear()


def _until_first_line(environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and CPU seconds of the command until it has printed a case, start and head of the list included."""
    before, began = _children_cpu(), time.perf_counter()
    command = [sys.executable, "-m", "npsflow.agents.cli", "cases", "--limit", "50"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        wall = time.perf_counter() - began
    assert lines[1].startswith(b"c-")
    return wall, _children_cpu() - before


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    now = int(time.time() * 1000)
    before, began = _resident(), time.process_time()
    fold, state = _fold(), dict[bytes, bytes]()
    for number in range(_COUNT):
        fold.apply(fold.read(_alert(number, now)))
        if number % 250 == 249:
            _commit(fold, state, now)
    _commit(fold, state, now)
    opened, grown = time.process_time() - began, _resident() - before
    packed = sum(map(len, state.values())) / _COUNT
    began = time.perf_counter()
    again = _fold()
    for key, value in state.items():
        again.restore(key, value)
    again.restored(now, {})
    restored = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(_TICKS):
        assert not again.idle(now)
    ticked = (time.perf_counter() - began) / _TICKS
    assert len(again.state.cases) == _COUNT
    tell(grown=grown, packed=packed, open=opened, restore=restored, tick=ticked)


def _fold() -> RecoveryFold:
    settings = Recovery()
    return Recover(Policy(settings, clock_of(settings)), "npsflow/", "").open(0, 4, lambda *_: None)


def _commit(fold: RecoveryFold, state: dict[bytes, bytes], now: int) -> None:
    for key, value in fold.checkpoint(now).state:
        if value is not None:
            state[key] = value


def _alert(number: int, now: int) -> Received:
    name = f"a-{number:032x}"
    value = {
        "alert_id": name, "revision": 1, "severity": "high", "reasons": ["detractor"], "actionable": True,
        "raised_at": rfc3339(now), "due_at": rfc3339(now + 24 * HOUR), "response_id": f"r{number}", "source": "shop",
        "survey_id": "after-delivery", "metric": "nps", "score": 3, "category": "detractor",
        "submitted_at": rfc3339(now), "comment": "The parcel came two days late, and nobody told me.",
        "language": "en", "channel": "email", "journey_stage": "delivery", "department": "logistics",
        "customer_id": f"C-{number}", "tier": "plus", "reference": {"type": "order", "id": f"O-{number}"},
    }  # fmt: skip
    headers = _EVENTS.headers(ALERT_RAISED, name, 1, rfc3339(now))
    return Received(number, now, b"C-%d" % number, dumps(value), topics.SERVICE_RECOVERY, 0, headers)


if __name__ == "__main__":
    main()
