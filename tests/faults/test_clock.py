"""Time that is not as it should be: clocks that jump, events out of order, a month that comes a second time."""

import signal
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from random import Random

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.demo.sample import MONTH, Line, sample
from tests.broker.harness import END, lines
from tests.support.waiting import eventually

from .faulty import JUMPED
from .scenario import PATIENCE, Load, Scenario
from .watching import has_logged, has_tasks

_A_MONTH = 6_000
"""Lines of the sample that are spread over a month."""


async def test_clock_of_a_worker_jumps(broker: Broker, tmp_path: Path) -> None:
    """An hour ahead and back, two back and ahead again; and a worker that starts with a clock that is wrong."""
    async with Scenario(broker, "clock.", tmp_path, "a worker's clock jumps an hour") as scenario:
        worker = scenario.worker(fault="clock 0")
        await scenario.committed(200)
        ahead, back = signal.SIGHUP, signal.SIGWINCH
        for times, jump in enumerate((ahead, back, back, ahead), start=1):
            worker.send(jump)
            await eventually(has_logged(worker, JUMPED, times))
            scenario.injected()
            await scenario.committed(400)
        for seconds in (3600, -3600):
            worker.kill()
            scenario.injected()
            worker = scenario.worker(fault=f"clock {seconds}")
            await eventually(has_tasks(worker, 4 + 2), PATIENCE)
            await scenario.committed(400)


async def test_events_an_hour_out_of_order(broker: Broker, tmp_path: Path) -> None:
    """Also corrections that come before what they correct; a worker is killed in the midst of it."""
    random, hour = Random(6), _A_MONTH * timedelta(hours=1) / MONTH
    some = later(lines(_A_MONTH), hour, random)
    async with Scenario(
        broker, "disorder.", tmp_path, "events an hour out of order, kill -9", load=Load(some)
    ) as scenario:
        worker = scenario.worker()
        await scenario.committed(_A_MONTH // 3)
        worker.kill()
        scenario.injected()
        scenario.worker()
        await scenario.committed(_A_MONTH // 3)


async def test_replay_into_a_running_system(broker: Broker, tmp_path: Path) -> None:
    """Beside the load comes all of last month, twice: corrections of what is remembered, too late, or repeated."""
    end = END - MONTH - timedelta(days=20)  # when the load begins, its first half is behind the horizon
    month = [line for line in sample(9, _A_MONTH // 2, end) if on_its_own(line)]
    async with Scenario(broker, "replay.", tmp_path, "last month replayed twice beside the load") as scenario:
        scenario.worker()
        for _ in range(2):
            await scenario.committed(500)
            await scenario.offer(month)
            scenario.injected()


def on_its_own(line: Line) -> bool:
    """Whether it is judged where it lies: a forwarded one may come to be too late on its way, which nobody can tell."""
    return line.kind != "wrong_key"


def later(some: Iterable[Line], distance: float, random: Random) -> list[Line]:
    """Each up to `distance` places later than it was."""
    places = sorted(enumerate(some), key=lambda entry: entry[0] + random.uniform(0, distance))
    return [line for _, line in places]
