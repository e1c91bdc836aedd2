from functools import partial
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook

from npsflow.agents.broker import Broker
from tests.broker.harness import eventually
from tests.unit.recovering import World
from .notifying import Desk, ids, reached

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

async def test_thin(broker: Broker, tmp_path: Path) -> None:
    got = []
    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        Webhook(SECRET).verify(body, dict(request.headers))
        got.append(request.headers["webhook-id"])
        return web.Response(status=204)
    app = web.Application(); app.router.add_post("/", take)
    async with TestServer(app) as server:
        settings = f'kind = "webhook"\nto = {{ "*" = "{server.make_url("/")}" }}\noptions = {{ internal = true }}'
        async with Desk(broker, "thin.", tmp_path, settings) as desk:
            world = World()
            world.respond(2)
            world.respond(1, customer="C-2", comment="no")
            await desk.tell(world.events)
            async with desk.notifying(secret=SECRET) as running:
                await eventually(partial(reached, desk, delivered=2))
                print(running.metrics.seconds.collect())
            assert sorted(got) == sorted(ids(world.events))
            print(await desk.log())
            print((await desk.run("notify", "log")).output)
