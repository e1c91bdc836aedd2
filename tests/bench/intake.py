"""`intake`: signed Typeform bodies over kept connections, each answered when Kafka has it; beside a bare handler.

The bare one is aiohttp that reads the body and verifies the signature, nothing else. Both are on one core, in turn, in
several rounds; then one is offered 300 a second, open loop: each is timed from when it was due.
"""

import asyncio
import hmac
import json
import statistics
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from time import monotonic
from typing import Any, cast

from aiohttp import web
from prometheus_client import CollectorRegistry

from npsflow.agents.broker.embedded import HOST
from npsflow.agents.intake.endpoint import secret_name, signed
from npsflow.agents.intake.metrics import Metrics
from npsflow.agents.intake.producer import open_producer
from npsflow.agents.intake.server import Server
from npsflow.agents.runtime.process import prepare
from npsflow.agents.web.connections import ConnectionLimiter
from npsflow.agents.web.limits import Limits
from npsflow.agents.web.senders import Senders
from npsflow.streams.config.settings import load
from npsflow.streams.engine.installation import Installation, read_installation
from tests.bench.common import (
    Process,
    bench_harness,
    cpu_seconds,
    one_core,
    report,
    say,
    scaled,
    starved_seconds,
    tell,
    use_uvloop,
)

_ROUNDS, _SECONDS = 5, scaled(4)
_RATE, _LATENCY_SECONDS, _LATENCY_LIMIT = 300, scaled(20), 50
_CONNECTIONS = 128
_BODIES = 2_000  # each of another response
_ASKED = 0.6  # asked of the rate
_NAME, _SECRET = "bench", "a-secret-of-the-bench"
_TOML = f"""
[intake.{_NAME}]
platform = "typeform"
comment = ["answers.why"]
[[intake.{_NAME}.scores]]
question = "answers.nps"
metric = "nps"
[intake.{_NAME}.fields]
"customer.id" = "hidden.customer"
channel = "hidden.channel"
[intake.{_NAME}.values]
journey_stage = "delivery"
"""


def run(at: Installation) -> None:
    with bench_harness(at, _TOML) as here:
        environment = here.environment | {secret_name(_NAME): _SECRET}
        with (
            Process("intake", "serve", environment=environment) as ours,
            Process("intake", "bare") as bare,
            Process("intake", "offer") as clients,
        ):
            ports = {process: process.answer()["port"] for process in (bare, ours)}
            clients.answer()
            say(f"intake: {_ROUNDS} rounds of {_SECONDS} s each, then {_RATE}/s for {_LATENCY_SECONDS} s")
            rounds: dict[Process, list[dict[str, Any]]] = {bare: [], ours: []}
            for process in (bare, ours):
                _offered(clients, process, ports[process], 1, 0)
            for _ in range(_ROUNDS):
                for process in (bare, ours):
                    rounds[process].append(_offered(clients, process, ports[process], _SECONDS, 0))
            steady = _offered(clients, ours, ports[ours], _LATENCY_SECONDS, _RATE)
    rate, limit = (_median(rounds[of], "rate") for of in (ours, bare))
    report(
        "intake",
        rate,
        "requests/s",
        limit,
        asked=_ASKED,
        cpu_s_per_million=1e6 * _median(rounds[ours], "cpu"),
        bare_cpu_s_per_million=1e6 * _median(rounds[bare], "cpu"),
        starved_share=_median(rounds[ours], "starved"),
        bare_starved_share=_median(rounds[bare], "starved"),
    )
    report("intake latency", steady["p99"], "ms", _LATENCY_LIMIT, p50_ms=steady["p50"], offered_per_s=_RATE)


def _offered(clients: Process, to: Process, port: int, seconds: int, rate: int) -> dict[str, Any]:
    """What came of one round: requests a second, CPU seconds of the server a request, share of time without a core."""
    to.ask("what have you used?")
    before = to.answer()
    clients.ask(json.dumps([port, seconds, rate]))
    found = clients.answer()
    to.ask("and now?")
    after = to.answer()
    used = after["cpu_seconds"] - before["cpu_seconds"]
    starved = (after["starved_seconds"] - before["starved_seconds"]) / found["seconds"]
    return found | {"rate": found["count"] / found["seconds"], "cpu": used / found["count"], "starved": starved}


def _median(rounds: list[dict[str, Any]], name: str) -> float:
    return float(statistics.median(of[name] for of in rounds))


# The servers.


@asynccontextmanager
async def _ours() -> AsyncIterator[int]:
    metrics = Metrics(CollectorRegistry())
    limiter = ConnectionLimiter(Limits(rate=1e9, connections_of_one=1000), Senders(), metrics)
    found = signed(load(), {secret_name(_NAME): _SECRET})
    async with (
        open_producer(read_installation(), metrics) as producer,
        Server(found, producer, limiter).serve(HOST, 0) as port,
    ):
        yield port


@asynccontextmanager
async def _bare() -> AsyncIterator[int]:
    async def handler(request: web.Request) -> web.Response:
        given = request.headers.get("Typeform-Signature", "")
        if not hmac.compare_digest(given, _signature(await request.read())):
            return web.json_response({"error": "forged"}, status=401)
        return web.json_response({"responses": 1})

    app = web.Application()
    app.router.add_post("/in/{name}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    yield site.port
    await runner.cleanup()


async def _serve(which: str) -> None:
    """Until the end of input; each line is answered with what has been used up to then."""
    async with _ours() if which == "serve" else _bare() as port:
        tell(port=port)
        while await asyncio.to_thread(sys.stdin.readline):
            tell(cpu_seconds=cpu_seconds(), starved_seconds=starved_seconds())


# The clients.


def _signature(body: bytes) -> str:
    return "sha256=" + b64encode(hmac.digest(_SECRET.encode(), body, sha256)).decode()


def _request(number: int) -> bytes:
    answers = [
        {"type": "number", "number": number % 11, "field": {"id": "a1", "type": "opinion_scale", "ref": "nps"}},
        {"type": "text", "text": "It came two days late.", "field": {"id": "a2", "type": "long_text", "ref": "why"}},
    ]
    fields = [{"id": f"a{n}", "ref": ref, "title": f"{ref}, if you please?"} for n, ref in ((1, "nps"), (2, "why"))]
    response = {
        "form_id": "lT4Z3j",
        "token": f"{number:032x}",
        "landed_at": "2026-03-01T14:58:31Z",
        "submitted_at": "2026-03-01T15:02:11Z",
        "hidden": {"customer": f"C-{number}", "channel": "email"},
        "definition": {"id": "lT4Z3j", "title": "After delivery", "fields": fields},
        "answers": answers,
    }
    body = json.dumps({"event_id": f"{number:026x}", "event_type": "form_response", "form_response": response}).encode()
    head = f"POST /in/{_NAME} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Typeform-Signature: {_signature(body)}\r\n\r\n".encode() + body


class _Client(asyncio.Protocol):
    """Sends one request, and the next when that is answered; as cheap as can be."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] | None = None
        self._said = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._said += data
        if b"}" in self._said and self.answered is not None:  # the end of every answer
            if not self._said.startswith(b"HTTP/1.1 200"):
                self.answered.set_exception(RuntimeError(f"it was answered with {self._said!r}"))
            else:
                self.answered.set_result(None)
            self._said, self.answered = b"", None

    async def send(self, request: bytes) -> None:
        answered = self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await answered


class _Round:
    """All clients, for so many seconds: as fast as they are answered, or at a rate."""

    def __init__(self, clients: list[_Client], requests: list[bytes], seconds: float, rate: float) -> None:
        self._clients, self._requests, self._rate = clients, requests, rate
        self._began = monotonic()
        self._end, self._waits = self._began + seconds, list[float]()

    async def run(self) -> dict[str, float]:
        await asyncio.gather(*map(self._one, range(len(self._clients))))
        taken, waits = monotonic() - self._began, sorted(self._waits)
        count = len(waits)
        return {"count": count, "seconds": taken, "p50": waits[count // 2], "p99": waits[int(count * 0.99)]}

    async def _one(self, number: int) -> None:
        client, turn = self._clients[number], number
        while (due := self._began + turn / self._rate if self._rate else monotonic()) < self._end:
            while (early := due - monotonic()) > 0:
                await asyncio.sleep(early)
            await client.send(self._requests[turn % _BODIES])
            self._waits.append(1000 * (monotonic() - due))
            turn += len(self._clients)


async def _offer() -> None:
    """Each line of input is port, seconds and rate of a round."""
    made = [_request(number) for number in range(_BODIES)]
    tell(made=len(made))
    loop = asyncio.get_running_loop()
    while line := await asyncio.to_thread(sys.stdin.readline):
        port, seconds, rate = json.loads(line)
        clients = [(await loop.create_connection(_Client, HOST, port))[1] for _ in range(_CONNECTIONS)]
        tell(**await _Round(clients, made, seconds, rate).run())
        for client in clients:
            client.transport.close()


if __name__ == "__main__":
    if sys.argv[1] == "offer":
        use_uvloop()
        asyncio.run(_offer())
    else:
        one_core()
        prepare()
        asyncio.run(_serve(sys.argv[1]))
