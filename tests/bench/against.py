"""`make bench ARGS='--against DIR classify'`: figures of this build beside those of another checkout, in turn.

The other checkout needs its own `.venv` (`make .venv/project` there). Both measure on the same Kafka, this build first
in one round and second in the next, so that a machine that gets slower or faster in between favours neither.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from npsflow.streams.engine.installation import Installation
from tests.bench.common import SCALE, NotMeasured, report, say

_HERE = Path(__file__).parents[2]
_LOWER_IS_BETTER = ("cpu_s_per_million", "cpu_s", "peak_mb", "p99_ms", "value")
"""What is compared of a figure, where it has it."""


def compare(at: Installation, other: Path, figures: Sequence[str], rounds: int) -> None:
    """Report each figure's ratios, ours by theirs: the median of `rounds` pairs, the least and the greatest.

    Raises NotMeasured where one of the two gives no figure.
    """
    ours: dict[str, list[dict[str, float]]] = defaultdict(list)
    theirs: dict[str, list[dict[str, float]]] = defaultdict(list)
    for turn in range(rounds):
        pair = [(_HERE, ours), (other.resolve(), theirs)]
        for checkout, measured in pair if turn % 2 == 0 else reversed(pair):
            say(f"round {turn + 1} of {rounds}: {'this build' if checkout == _HERE else 'the other'}")
            for name, figure in _figures(at, checkout, figures).items():
                measured[name].append(figure)
    for name in ours:
        if len(theirs[name]) != len(ours[name]):
            raise NotMeasured(f"{other} has no figure {name}")
        for field in _LOWER_IS_BETTER:
            if all(figure.get(field) for figure in (*ours[name], *theirs[name])):
                pairs = [a[field] / b[field] for a, b in zip(ours[name], theirs[name], strict=True)]
                report(
                    f"{name} against the other build", median(pairs), f"ratio of {field}", None,
                    least=min(pairs), greatest=max(pairs), rounds=rounds,
                    ours=median(figure[field] for figure in ours[name]),
                    theirs=median(figure[field] for figure in theirs[name]),
                )  # fmt: skip


def _figures(at: Installation, checkout: Path, figures: Sequence[str]) -> dict[str, dict[str, float]]:
    """The lines of one run of that build's bench, by the name of the figure; of each what is a number."""
    command = [str(checkout / ".venv" / "bin" / "python"), "-m", "tests.bench", "--scale", os.environ[SCALE], *figures]
    environment = os.environ | {"NPSFLOW_BROKERS": at.brokers}
    done = subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    if done.returncode:
        raise NotMeasured(f"the bench of {checkout} ended with status {done.returncode}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        line["bench"]: {key: value for key, value in line.items() if isinstance(value, int | float)}
        for line in lines
        if "bench" in line
    }
