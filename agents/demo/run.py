"""The demo from beginning to end."""

import shlex
import sys
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from npsflow.agents.demo import feeding, outputs, proof, sample, show, story, tables, webhooks
from npsflow.agents.demo.installation import DemoInstallation, demo_installation
from npsflow.agents.demo.interrupts import Interrupts

_SEED, _COUNT = 7, 20_000
_NEWEST = _COUNT // 10  # each webhook is answered when Kafka has it: a month of them would take a minute
_MORE_SEED, _MORE_COUNT = 8, 10_000


def run(interrupts: Interrupts, *, once: bool) -> None:
    """Print the four parts; then, unless `once`, stay up until Ctrl-C. Raises DemoFailed, BrokerError, KafkaFailed."""
    show.headline("npsflow demo")
    with demo_installation(interrupts) as here:
        show.headline("(a) What becomes of one response")
        here.interrupts.run(story.tell(here))
        show.headline("(b) NPS per department: the last 24 hours beside 7 days")
        _month(here)
        show.headline("(c) A worker is killed in the middle of its work")
        evidence = _kill(here)
        show.headline("(d) Dead letters by reason")
        tables.dead_letters(evidence.dead_letters)
        if not once:
            show.headline("It stays up, with five more responses a second, until Ctrl-C")
            _say_what_next(here)
            here.interrupts.run(feeding.trickle(here))


def _month(here: DemoInstallation) -> None:
    with show.waiting("the responses of a month are sent") as progress:
        lines = sample.sample(_SEED, _COUNT, datetime.now(UTC), live=True)
        here.interrupts.run(feeding.feed(here, islice(lines, _COUNT - _NEWEST)))
        sent = here.interrupts.run(feeding.feed_webhooks(here, lines))
        here.interrupts.run(outputs.processed(here, progress))
    show.say(f"{_COUNT:,} responses of one month, sent, classified and counted in {progress.seconds:.1f} s")
    show.say(
        f"  {sent:,} of the last three days as signed webhooks of {', '.join(webhooks.PLATFORMS)}; the others directly"
    )
    tables.departments(here.interrupts.run(outputs.windows(here.installation)))


def _kill(here: DemoInstallation) -> proof.Evidence:
    lines = sample.sample(_MORE_SEED, _MORE_COUNT, datetime.now(UTC), live=True)
    victim = here.workers[0]
    with show.waiting("more responses are sent"):
        sent = here.interrupts.run(feeding.feed(here, islice(lines, _MORE_COUNT // 2)))
        victim.kill()
        left = here.interrupts.run(outputs.lag(here))
    show.say(f"kill -9 of worker {victim.name} after {sent:,} of {_MORE_COUNT:,} more responses, {left:,} in the works")
    with show.waiting("it starts again, while the other responses are sent") as progress:
        victim.start()
        here.interrupts.run(feeding.feed(here, lines))
        here.await_ready()
    show.say(f"Started again at once, it was ready after {progress.seconds:.1f} s")
    with show.waiting("the rest is classified and counted") as progress:
        here.interrupts.run(outputs.processed(here, progress))
    show.say(f"Everything was classified and counted {progress.seconds:.1f} s later")
    evidence = here.interrupts.run(proof.collect(here.installation))
    proof.prove(evidence, here.settings.topics.partitions)
    return evidence


def _say_what_next(here: DemoInstallation) -> None:
    """Commands that can be pasted into another terminal."""
    npsflow = f"NPSFLOW_BROKERS={here.installation.brokers} NPSFLOW_PREFIX={here.installation.prefix} {_command()}"
    response = (
        '{"source":"me","response_id":"1","survey_id":"first","metric":"nps","score":2,'
        f'"submitted_at":"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}","customer":{{"id":"C-1"}}}}'
    )
    for worker in here.workers:
        show.say(f"worker {worker.name}: {worker.url}/metrics  {worker.url}/health/ready")
    show.say(f"intake: {here.intake.url}/metrics  {here.intake.url}/health/ready")
    show.say("in a second terminal, here, to see alerts as they come:")
    show.paste(f"{npsflow} alerts --follow")
    show.say("in a third, to be an unhappy customer:")
    show.paste(f"echo {shlex.quote(response)} | {npsflow} produce -")


def _command() -> str:
    """How this program was called."""
    by_name = Path(sys.argv[0]).name == "npsflow"
    return shlex.join([sys.argv[0]] if by_name else [sys.executable, "-m", "npsflow.agents.entry"])
