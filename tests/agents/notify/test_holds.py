"""An address that takes nothing: one line says so, one message tries it, none is lost, and one says that it is back."""

import logging
from functools import partial

import pytest
from aiokafka import AIOKafkaProducer

from npsflow.agents.kafka import clients, reading
from npsflow.agents.notify.first_start import FEW
from npsflow.agents.notify.kind import Delivered, Rejected, Result, RetryLater, Unavailable
from npsflow.schemas import topics
from npsflow.streams.engine.kafka.clients import producer_options
from npsflow.streams.notify.backoff import MAX_ATTEMPTS, delay, hold_delay
from npsflow.streams.notify.message import Message
from tests.streams.recovery.recovering import World
from tests.support.waiting import eventually

from .desk import NAME, Desk, Running, ids, reached, with_fields
from .ends import Endpoint


def test_the_schedule_fits_people() -> None:
    seconds = [delay(attempts, 0.5) for attempts in range(1, MAX_ATTEMPTS)]
    assert seconds[:7] == [5, 15, 30, 60, 120, 300, 1800]
    assert sum(seconds) > 3 * 86_400 - 3600
    assert delay(2, 0.5, at_least=60) == 60
    assert [hold_delay(failures, 0.5) for failures in (1, 2, 6, 7, 99)] == [5, 15, 300, 300, 300]


_REFUSED = Unavailable("it refuses our login (535): check options.user")


class Switch:
    """A receiver that is told what to answer."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.asked: list[str] = []
        self.of: dict[str, Result] = {}

    def receiver(self, _: str) -> str:
        return "desk.example.com:587"

    async def send(self, message: Message) -> Result:
        self.asked.append(message.id)
        return self.of.get(message.id, self.result)


async def _asked(switch: Switch, count: int) -> bool:
    return len(switch.asked) >= count


async def _waits(running: Running, count: int) -> bool:
    return running.value("waiting") == count


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name.startswith("npsflow.agents.notify")]


async def _publish_some(desk: Desk, world: World, count: int) -> None:
    begin = len(world.events)
    for _ in range(count):
        world.respond(2, customer=f"C-{len(world.events)}")
    await desk.publish(world.events[begin:])


async def test_while_an_address_is_away_one_message_tries_it(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The others burn no tries, and nobody reads of each; what it refuses us for is said once, and when it is back."""
    switch, world = Switch(_REFUSED), World()
    await _publish_some(desk, world, 1)
    desk.clock.stop()
    async with desk.notifying(switch) as running:
        await eventually(partial(_asked, switch, 1))
        await _publish_some(desk, world, 12)
        await eventually(partial(_waits, running, 13))
        assert running.value("held") == 1
        for failures in range(1, 5):
            desk.clock.ahead += hold_delay(failures, 0.5) + 1
            await eventually(partial(_asked, switch, failures + 1))
        assert await _stays(desk, switch, 5)
        assert running.problems() == [f"{NAME}: desk.example.com:587: it refuses our login (535): check options.user"]
        log = (await desk.run("notify", "log", "--state", "waiting")).stdout
        assert "next try 20" in log
        assert "it refuses our login (535)" in log
        switch.result = Delivered()
        desk.clock.ahead += hold_delay(5, 0.5) + 1
        await eventually(partial(reached, desk, delivered=13))
        assert (running.value("held"), running.problems()) == (0, [])
    assert {one.attempts for one in (await desk.latest()).values()} == {1}
    assert sorted(set(switch.asked)) == sorted(ids(world.events))
    assert _lines(caplog) == ["an address takes no messages: they wait", "an address takes messages again"]
    away, back = (vars(record) for record in caplog.records if record.name.endswith("holds"))
    assert (away["address"], away["why"]) == ("desk.example.com:587", _REFUSED.reason)
    assert back["after"] == "0:03:55"


async def _stays(desk: Desk, switch: Switch, count: int) -> bool:
    """No message is tried while the clock stands: the log is read, which takes longer than a try."""
    await desk.latest()
    return len(switch.asked) == count


async def test_a_refusal_of_us_never_costs_a_message(desk: Desk) -> None:
    """However long it takes to mend it."""
    switch, world = Switch(Unavailable("it does not relay for us (554)")), World()
    await _publish_some(desk, world, 2)
    desk.clock.stop()
    async with desk.notifying(switch):
        for tries in range(1, MAX_ATTEMPTS + 6):
            await eventually(partial(_asked, switch, tries))
            desk.clock.ahead += 301
        switch.result = Delivered()
        desk.clock.ahead += 301
        await eventually(partial(reached, desk, delivered=2))


async def test_one_message_that_always_fails_holds_the_others_up_only_shortly(desk: Desk) -> None:
    switch, world = Switch(Delivered()), World()
    await _publish_some(desk, world, 1)
    (bad,) = ids(world.events)
    switch.of[bad] = RetryLater("it answers 500", concerns="receiver")
    desk.clock.stop()
    async with desk.notifying(switch):
        await eventually(partial(_asked, switch, 1))
        await _publish_some(desk, world, 5)
        desk.clock.ahead += 6
        await eventually(partial(reached, desk, delivered=5, waiting=1))


async def test_one_address_that_is_wrong_holds_up_nobody_else(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Nor does one message that is refused. The line names the address as the settings do."""
    desk.configure('kind = "slack"\nto = { "*" = "C0ALL", anna = "C0ANNA" }')
    world = World()
    for number in range(6):
        world.respond(2, customer=f"C-{number}")
    owners = ("anna", "bob", "anna", "bob", "anna", "bob")
    events = [with_fields(event, owner=owner) for event, owner in zip(world.events, owners, strict=True)]
    names = ids(events)
    closed = Unavailable("it cannot write there: is_archived", concerns="address")
    switch = Switch(Delivered())
    switch.of = dict.fromkeys(names[::2], closed)
    switch.of[names[1]] = Rejected("it answers msg_too_long")
    await desk.publish(events)
    desk.clock.stop()
    async with desk.notifying(switch, secret="xoxb-1") as running:
        await eventually(partial(reached, desk, delivered=2, given_up=1, waiting=3))
        assert running.problems() == [f"{NAME}: to.anna at desk.example.com:587: it cannot write there: is_archived"]
        assert "C0ANNA" not in str([vars(record) for record in caplog.records])
        switch.of.clear()
        desk.clock.ahead += 6
        await eventually(partial(reached, desk, delivered=5, given_up=1))


async def test_replay_tries_what_waits_now(desk: Desk, endpoint: Endpoint) -> None:
    """Also what waits for an address that wants nothing any more, whose answer the log shows."""
    endpoint.status = 410
    world = World()
    await _publish_some(desk, world, 1)
    desk.clock.stop()
    async with desk.notifying(secret=endpoint.SECRET) as running:
        await eventually(partial(_held, running))
        await _publish_some(desk, world, 2)
        await eventually(partial(reached, desk, waiting=3))
        assert "it answers 410: it wants nothing any more" in (await desk.run("notify", "log")).stdout
        assert running.problems()[0].startswith(f"{NAME}: 127.0.0.1:")
        endpoint.status = 204
        assert "3 messages that wait are tried now" in (await desk.run("notify", "replay", NAME)).stdout
        await eventually(partial(reached, desk, delivered=3))
    assert len(endpoint.received) == 3


async def _held(running: Running) -> bool:
    return running.value("disabled") == 1


async def test_replay_of_one_that_waits_leaves_the_others(desk: Desk) -> None:
    """It does not send anything twice either, after a restart."""
    switch, world = Switch(RetryLater("it answers 409")), World()
    await _publish_some(desk, world, 2)
    first, second = ids(world.events)
    desk.clock.stop()
    async with desk.notifying(switch):
        await eventually(partial(_asked, switch, 2))
        await eventually(partial(_recorded, desk, 2))
        switch.result = Delivered()
        await desk.run("notify", "replay", NAME, "--id", first)
        await eventually(partial(reached, desk, delivered=1, waiting=1))
    async with desk.notifying(switch) as running:
        await eventually(partial(_waits, running, 1))
        assert switch.asked[2:] == [first]
        desk.clock.ahead += 6
        await eventually(partial(reached, desk, delivered=2))
    assert switch.asked[2:] == [first, second]


async def _recorded(desk: Desk, count: int) -> bool:
    return [one.attempts for one in (await desk.latest()).values()] == [1] * count


async def test_a_backlog_is_announced_and_sent_when_that_is_wanted(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """New messages are sent meanwhile; the rest once each, whatever is started how often."""
    caplog.set_level(logging.WARNING)
    switch, world = Switch(Delivered()), World()
    await _publish_some(desk, world, FEW + 5)
    async with desk.notifying(switch, send_backlog=False) as running:
        await eventually(running.ready)
        await _publish_some(desk, world, 2)
        await eventually(partial(reached, desk, delivered=2))
    announced = (
        f"{FEW + 5} messages of the last 24 hours before the first start wait: `npsflow notify desk --send-backlog`"
    )
    assert [line for line in _lines(caplog) if line.startswith(announced)]
    assert announced in (await desk.run("notify", "log", NAME)).stderr
    async with desk.notifying(switch, send_backlog=False):
        await _publish_some(desk, world, 1)
        await eventually(partial(reached, desk, delivered=3))
    assert sorted(switch.asked) == sorted(ids(world.events[FEW + 5 :]))
    for _ in range(2):
        async with desk.notifying(switch, send_backlog=True):
            await eventually(partial(reached, desk, delivered=FEW + 8))
    assert sorted(switch.asked) == sorted(ids(world.events))
    assert announced not in (await desk.run("notify", "log", NAME)).stderr


async def test_a_few_messages_from_before_are_sent(desk: Desk) -> None:
    switch, world = Switch(Delivered()), World()
    await _publish_some(desk, world, FEW)
    async with desk.notifying(switch, send_backlog=False):
        await eventually(partial(reached, desk, delivered=FEW))


async def test_no_lag_is_left_behind_transaction_markers(desk: Desk) -> None:
    switch, world = Switch(Delivered()), World()
    world.respond(2)
    (event,) = world.events
    topic = desk.installation.topic(topics.SERVICE_RECOVERY)
    async with desk.notifying(switch):
        producer = AIOKafkaProducer(**producer_options(desk.installation, "a-stage"))
        await producer.start()  # the first transaction of a broker takes its time
        async with producer.transaction():
            await producer.send(topic, event.value, event.key, partition=0, headers=[*event.headers])
        await producer.stop()
        await eventually(partial(reached, desk, delivered=1))
        await eventually(partial(_no_lag, desk, topic))


async def _no_lag(desk: Desk, topic: str) -> bool:
    async with clients.admin(desk.installation) as admin, clients.reader(desk.installation) as reader:
        found = await reading.committed_offsets(admin, desk.installation.group(f"notify-{NAME}"))
        ends = await reader.end_offsets(list(found))
    return len(found) == 4 and all(at.offset == ends[tp] for tp, at in found.items())
