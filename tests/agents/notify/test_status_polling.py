"""A ticket that is solved resolves its case, on a real Kafka."""

import json
from functools import partial
from pathlib import Path

from npsflow.agents.broker.embedded import Broker
from npsflow.schemas import topics
from npsflow.schemas.times import from_rfc3339
from tests.streams.recovery.recovering import World
from tests.support.waiting import eventually

from . import zendesk
from .desk import Desk, Running, reached

BEFORE, LATER = "2026-03-02T10:00:00Z", "2100-03-02T10:00:00Z"


async def test_a_solved_ticket_resolves_its_case(broker: Broker, tmp_path: Path) -> None:
    end = zendesk.ZendeskApi()
    end.open(35, "solved")
    end.solved_at[35] = BEFORE
    async with end.running() as url:
        settings = f'kind = "zendesk"\noptions = {{ url = "{url}", user = "{zendesk.USER}" }}'
        async with Desk(broker, "notify-watching.", tmp_path, settings) as desk:
            world = World()
            world.respond(2, reference={"type": "ticket", "id": "35"})
            world.respond(2, customer="C-2")
            await desk.publish(world.events, partition=3)
            async with desk.notifying(secret=zendesk.TOKEN):
                await eventually(partial(reached, desk, delivered=2))
                assert end.tickets[35]["status"] == "open"
                end.solve(35, BEFORE)  # said again, by somebody who looks at old tickets
                await eventually(partial(_looked, end, len(end.looked) + 2))
                assert await desk.records(topics.ACTIONS) == []
                end.solve(35, LATER)
                await eventually(partial(_acted, desk, 1))
            async with desk.notifying(secret=zendesk.TOKEN):  # it does not remember, and says the same again
                await eventually(partial(_acted, desk, 2))
            first, again = await desk.records(topics.ACTIONS)
    assert first.value == again.value
    assert (first.partition, first.key) == (3, b"C-1")
    assert json.loads(first.value or b"") == {
        "action_id": "zendesk-35-2100-03-02T10:00:00Z", "action": "resolve", "by": "zendesk",
        "at": LATER, "case_id": world.cases[0]["case_id"], "root_cause": "solved_in_zendesk",
        "comment": "Solved in Zendesk, ticket 35",
    }  # fmt: skip
    world.now = from_rfc3339(LATER)  # nothing is done before it is done
    for record in (first, again):
        world.send(topics.ACTIONS, record.key or b"", record.value)
    assert [c["status"] for c in world.cases if c["key"] == "C-1"] == ["resolved"]
    assert len([e for e in world.events if b"resolved" in dict(e.headers)["ce_type"]]) == 1


async def test_closed_tickets_are_not_polled(broker: Broker, tmp_path: Path) -> None:
    """Nor does an answer that cannot be read end the watch."""
    end = zendesk.ZendeskApi()
    async with end.running() as url:
        settings = f'kind = "zendesk"\noptions = {{ url = "{url}", user = "{zendesk.USER}" }}'
        async with Desk(broker, "notify-watched.", tmp_path, settings) as desk:
            world = World()
            world.respond(2)
            world.respond(2, customer="C-2")
            await desk.publish(world.events)
            async with desk.notifying(secret=zendesk.TOKEN) as running:
                await eventually(partial(reached, desk, delivered=2))
                end.solve(101, "no time at all")
                await eventually(partial(_looked, end, len(end.looked) + 2))
                end.solve(101, LATER)
                end.tickets[101]["status"] = "closed"
                await eventually(partial(_acted, desk, 1))
                await eventually(partial(_looked, end, len(end.looked) + 2))
                assert end.looked[-1] == "102"
                desk.clock.ahead = 91 * 86_400.0  # nothing of these cases can come any more
                await eventually(partial(_forgotten, running))


async def _forgotten(running: Running) -> bool:
    return running.queue.threads() == []


async def _looked(end: zendesk.ZendeskApi, times: int) -> bool:
    return len(end.looked) >= times


async def _acted(desk: Desk, times: int) -> bool:
    return len(await desk.records(topics.ACTIONS)) >= times
