"""Several notifiers of one name, and one that comes and goes: each message once, and none forgotten."""

from collections import Counter
from contextlib import AsyncExitStack
from functools import partial

from npsflow.agents.kafka import clients, reading
from tests.streams.recovery.recovering import World
from tests.support.waiting import eventually

from .desk import NAME, Desk, Running, ids, reached
from .ends import Endpoint


async def test_three_share_the_work_and_one_takes_over(desk: Desk, endpoint: Endpoint) -> None:
    world = World()
    for number in range(40):
        world.respond(2, customer=f"C-{number}")
    async with desk.notifying(secret=endpoint.SECRET) as first:
        async with (
            desk.notifying(secret=endpoint.SECRET) as second,
            desk.notifying(secret=endpoint.SECRET) as third,
        ):
            await eventually(partial(_shared, first, second, third))
            for partition in range(4):
                await desk.publish(world.events[partition:20:4], partition)
            await eventually(partial(reached, desk, delivered=20))
            for running in (first, second, third):
                assert running.count("delivered") > 0
        for partition in range(4):
            await desk.publish(world.events[20 + partition :: 4], partition)
        await eventually(partial(reached, desk, delivered=40))
    assert Counter(endpoint.asked) == Counter(ids(world.events))


async def test_it_is_ready_once_it_knows_what_waits(desk: Desk, endpoint: Endpoint) -> None:
    """Also one that has nothing to do, as others have all partitions."""
    world = World()
    world.respond(2)
    await desk.publish(world.events)
    async with desk.notifying(secret=endpoint.SECRET) as first:
        assert not first.ready()
        await eventually(partial(reached, desk, delivered=1))
        assert first.ready()
        async with AsyncExitStack() as stack:
            others = []
            for _ in range(4):
                others.append(await stack.enter_async_context(desk.notifying(secret=endpoint.SECRET)))
                assert not others[-1].ready()
            await eventually(partial(_all_ready, first, *others))
            assert sorted(len(one.assignment()) for one in (first, *others)) == [0, 2, 2, 2, 2]


async def _all_ready(*notifiers: Running) -> bool:
    """After all have met."""
    return all(one.ready() for one in notifiers) and min(len(one.assignment()) for one in notifiers) == 0


async def _shared(*notifiers: Running) -> bool:
    """Each has some partitions, the same of both topics."""
    for running in notifiers:
        found: dict[str, set[int]] = {}
        for tp in running.assignment():
            found.setdefault(tp.topic, set()).add(tp.partition)
        if len(found) != 2 or len(set(map(frozenset, found.values()))) != 1 or len(running.assignment()) > 4:
            return False
    return True


async def test_coming_and_going_repeats_nothing(desk: Desk, endpoint: Endpoint) -> None:
    """Partitions change hands, and processes end, while messages are under way: each is sent once all the same."""
    endpoint.seconds = 0.05
    world = World()
    for number in range(600):
        world.respond(2, customer=f"C-{number}")
    for partition in range(4):
        await desk.publish(world.events[partition::4], partition)
    async with desk.notifying(secret=endpoint.SECRET) as first:
        await eventually(partial(_reached, endpoint, 60))
        async with desk.notifying(secret=endpoint.SECRET) as second:
            await eventually(partial(_shared, first, second))
            await eventually(partial(_reached, endpoint, 200))
    for reached_ in (300, 400):
        async with desk.notifying(secret=endpoint.SECRET):
            await eventually(partial(_reached, endpoint, reached_))
    async with desk.notifying(secret=endpoint.SECRET):
        await eventually(partial(reached, desk, delivered=600))
    assert Counter(endpoint.asked) == Counter(ids(world.events))


async def _reached(endpoint: Endpoint, count: int) -> bool:
    return len(endpoint.asked) >= count


async def test_it_begins_some_hours_back(desk: Desk, endpoint: Endpoint) -> None:
    world = World()
    world.respond(2)
    await desk.publish(world.events)
    desk.clock.ahead = 25 * 3600.0
    async with desk.notifying(secret=endpoint.SECRET):
        await eventually(partial(_committed, desk))
        world.respond(2, customer="C-2")
        await desk.publish(world.events[-1:])
        await eventually(partial(reached, desk, delivered=1))
    assert endpoint.ids() == ids(world.events[-1:])


async def _committed(desk: Desk) -> bool:
    async with clients.admin(desk.installation) as admin:
        found = await reading.committed_offsets(admin, desk.installation.group(f"notify-{NAME}"))
    return len(found) == 4
