"""`python -m tests.bench [FIGURE ...]`: one line of JSON for each figure, first of all the machine; all by default.

Figures are reported, never judged. Kafka is that of NPSFLOW_BROKERS, else one is started for the time being.
"""

import argparse
import json
import logging
import os
import platform
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from npsflow.agents.broker.download import BrokerError
from npsflow.schemas.errors import NpsflowError
from tests.bench.against import compare
from tests.bench.common import SCALE, NotMeasured, cluster, say

FIGURES = (
    "limit",
    "classify",
    "partitioner",
    "sealing",
    "rollup",
    "faust",
    "peers",
    "latency",
    "memory",
    "mails",
    "restore",
    "fold",
    "commit",
    "rest",
    "cases",
    "told",
    "intake",
    "watch",
)
_PACKAGES = ("aiokafka", "msgspec", "orjson", "uvloop")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description="ARGS='FIGURE ...' chooses; all by default.")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--scale", default="1", metavar="PART", help="measure on less, to try things out: 0.05")
    parser.add_argument("--against", type=Path, metavar="DIR", help="beside another checkout's build, in turn")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="how often, with --against: 5")
    arguments = parser.parse_args()
    chosen, os.environ[SCALE] = arguments.figures, arguments.scale
    if unknown := [name for name in chosen if name not in FIGURES]:
        parser.error(f"{unknown[0]} is not a figure; there are {', '.join(FIGURES)}")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # a new topic has no leader for a moment: it tries again
    print(json.dumps(_machine()), flush=True)
    missing = []
    try:
        with cluster() as at:
            if arguments.against is not None:
                compare(at, arguments.against, chosen or FIGURES, arguments.rounds)
                return
            for name in chosen or FIGURES:
                began = time.monotonic()
                try:
                    import_module(f"tests.bench.{name}").run(at)
                except NotMeasured as error:
                    missing.append(name)
                    say(f"{name}: not measured: {error}")
                say(f"{name}: {time.monotonic() - began:.0f} s")
    except (NpsflowError, BrokerError, NotMeasured) as error:
        sys.exit(str(error))
    if missing:
        sys.exit(f"not measured: {', '.join(missing)}")


def _machine() -> dict[str, object]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": cores,
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    """Its name, where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


if __name__ == "__main__":
    main()
