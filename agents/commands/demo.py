"""`npsflow demo`: the whole system on sample data."""

import sys

import click

from npsflow.agents.demo.interrupts import Interrupts
from npsflow.agents.demo.run import run
from npsflow.agents.runtime.interrupts import INTERRUPTED


@click.command()
@click.option("--once", is_flag=True, help="End after the four parts, instead of staying up until Ctrl-C.")
def demo(once: bool) -> None:
    """Run everything on sample data: a real Kafka, workers, alerts, scores, a kill -9 and what came of it.

    With NPSFLOW_BROKERS set it uses that cluster, under a prefix of its own, and deletes its topics at the end.
    """
    interrupts = Interrupts()
    interrupts.listen()
    try:
        run(interrupts, once=once)
    except KeyboardInterrupt:
        click.echo("stopped: nothing of the demo runs any more")
        sys.exit(INTERRUPTED if once else 0)
