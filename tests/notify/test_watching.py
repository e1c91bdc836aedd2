"""A ticket that is solved resolves its case, on a real Kafka."""

import json
from functools import partial
from pathlib import Path

from npsflow.agents.broker import Broker
from npsflow.schemas import topics
from tests.broker.harness import eventually
from tests.unit.recovering import World

from . import zendesk
from .notifying import Desk, reached


async def test_a_solved_ticket_resolves_its_case(broker: Broker, tmp_path: Path) -> None:
    end = zendesk.ZendeskApi()
    end.open(35)
    async with end.running() as url:
        settings = f'kind = "zendesk"\noptions = {{ url = "{url}", user = "{zendesk.USER}" }}'
        async with Desk(broker, "notify-watching.", tmp_path, settings) as desk:
            world = World()
            world.respond(2, reference={"type": "ticket", "id": "35"})
            world.respond(2, customer="C-2")
            await desk.tell(world.events, partition=3)
            async with desk.notifying(secret=zendesk.TOKEN):
                await eventually(partial(reached, desk, delivered=2))
                assert await desk.records(topics.ACTIONS) == []
                end.solve(35, "2026-03-02T10:00:00Z")
                await eventually(partial(_acted, desk, 1))
            async with desk.notifying(secret=zendesk.TOKEN):  # it does not remember, and says the same again
                await eventually(partial(_acted, desk, 2))
            first, again = await desk.records(topics.ACTIONS)
    assert first.value == again.value
    assert (first.partition, first.key) == (3, b"C-1")
    assert json.loads(first.value or b"") == {
        "action_id": "zendesk-35-2026-03-02T10:00:00Z", "action": "resolve", "by": "zendesk",
        "at": "2026-03-02T10:00:00Z", "case_id": world.cases[0]["case_id"], "root_cause": "solved_in_zendesk",
        "comment": "Solved in Zendesk, ticket 35",
    }  # fmt: skip
    for record in (first, again):
        world.send(topics.ACTIONS, record.key or b"", record.value)
    assert [c["status"] for c in world.cases if c["key"] == "C-1"] == ["resolved"]
    assert len([e for e in world.events if b"resolved" in dict(e.headers)["ce_type"]]) == 1


async def _acted(desk: Desk, times: int) -> bool:
    return len(await desk.records(topics.ACTIONS)) >= times
