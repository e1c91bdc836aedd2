"""`told`: from an unhappy response to the webhook of the notifier that says so, at 100 alerts a second, open loop.

A worker of classify and recover and a notifier are processes of their own; producer and receiver are this one, and
each response is timed from when it was due to be sent.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from time import monotonic

from aiohttp import web

from npsflow.agents.broker.embedded import HOST, free_port
from npsflow.agents.kafka import clients
from npsflow.schemas.codec import dumps
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.topics import RESPONSES
from npsflow.streams.engine.installation import Installation
from tests.bench.common import BenchHarness, NotMeasured, Process, bench_harness, report, say, scaled

_RATE, _SECONDS, _WARM_UP, _PATIENCE = 100, scaled(20), 3, 30
_LIMIT = 1000


def run(at: Installation) -> None:
    port = free_port()
    toml = (
        'idle_ticks = false\n[notify.desk]\nkind = "webhook"\nevents = ["opened"]\nper_second = 1000.0\n'
        f'to = {{ "*" = "http://{HOST}:{port}/" }}\noptions = {{ internal = true }}\n'
    )
    with bench_harness(at, toml) as here:
        environment = here.environment | {"NPSFLOW_SECRET_NOTIFY_DESK": "whsec_YSBzZWNyZXQgb2YgdHdlbnR5LWZvdXIgYnl0"}
        with (
            Process("worker", "serve", "classify,recover", environment=environment) as worker,
            _notifier(environment),
        ):
            worker.answer()
            say(f"told: {_RATE} alerts/s for {_WARM_UP + _SECONDS} s")
            waits, repeated = asyncio.run(_measure(here, port))
    report(
        "told",
        waits[int(len(waits) * 0.99)],
        "ms",
        _LIMIT,
        of="p99 from response to webhook",
        p50=waits[len(waits) // 2],
        most=waits[-1],
        repeated=repeated,
    )


@contextmanager
def _notifier(environment: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", "npsflow.agents.entry", "notify", "desk", "--port", str(free_port())]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


async def _measure(here: BenchHarness, port: int) -> tuple[list[float], int]:
    """Milliseconds of each response after the warm-up, in order of length; how many were told twice."""
    count = _RATE * (_WARM_UP + _SECONDS)
    heard = dict[int, float]()
    async with _receiver(port, heard) as repeated, clients.producer(here.installation) as producer:
        partitions, begin = here.settings.topics.partitions, monotonic() + 1
        for number in range(count):
            await asyncio.sleep(begin + number / _RATE - monotonic())
            key = f"bench/r{number}".encode()
            value = dumps(
                {
                    "source": "bench",
                    "response_id": f"r{number}",
                    "survey_id": "s",
                    "metric": "nps",
                    "score": 3,
                    "submitted_at": datetime.now(UTC).isoformat(),
                    "customer": {"id": f"C-{number}"},
                }
            )
            await producer.send(here.installation.topic(RESPONSES), value, key, partition_of(key, partitions))
        deadline = monotonic() + _PATIENCE
        while len(heard) < count:
            if monotonic() > deadline:
                raise NotMeasured(f"{count - len(heard)} of {count} were never told")
            await asyncio.sleep(0.05)
    waits = [1000 * (heard[number] - begin - number / _RATE) for number in range(_RATE * _WARM_UP, count)]
    return sorted(waits), repeated[0]


@asynccontextmanager
async def _receiver(port: int, heard: dict[int, float]) -> AsyncIterator[list[int]]:
    repeated = [0]

    async def hear(request: web.Request) -> web.Response:
        now, event = monotonic(), json.loads(await request.read())
        number = int(event["data"]["response_id"][1:])
        repeated[0] += number in heard
        heard.setdefault(number, now)
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", hear)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield repeated
    finally:
        await runner.cleanup()
