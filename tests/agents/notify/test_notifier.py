"""Notifying on a real Kafka: every event is told once, in the order of its case, whatever happens in between."""

import asyncio
import logging
import time
from functools import partial
from secrets import token_hex
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from msgspec.structs import replace

from npsflow.agents.kafka import clients
from npsflow.agents.notify.delivery_log import DeliveryLog
from npsflow.schemas import codec, topics
from npsflow.schemas.cases import TeamAction
from npsflow.streams.notify.backoff import MAX_ATTEMPTS, delay
from npsflow.streams.stage import Output
from tests.streams.recovery.recovering import World
from tests.support.waiting import eventually

from .conformance import PRIVATE
from .conftest import webhook
from .desk import NAME, Desk, Running, ids, reached, with_fields
from .ends import RETRY_AFTER, Endpoint


async def has(found: list[str], count: int) -> bool:
    return len(found) == count


async def counted(running: Running, outcome: str, times: int) -> bool:
    return running.count(outcome) == times


async def shows(running: Running, name: str, value: float) -> bool:
    return running.value(name) == value


async def test_every_event_is_sent_once(desk: Desk, endpoint: Endpoint) -> None:
    world = World()
    world.respond(2)
    world.respond(1, customer="C-2", comment="Nobody called")
    world.respond(9, customer="C-3")  # an ask, which is not told by default
    events = [e for e in world.events if ids([e])[0].startswith("c-")]
    await desk.publish(with_fields(event, **PRIVATE) for event in world.events)
    async with desk.notifying(secret=endpoint.SECRET) as running:
        await eventually(partial(reached, desk, delivered=2))
        assert running.value("seconds_count") == 2
        assert running.value("waiting") == running.value("oldest_seconds") == 0
    assert sorted(endpoint.ids()) == sorted(ids(events))
    assert {got.data["type"] for got in endpoint.received} == {"npsflow.case.opened.v1"}
    written = str([record.value for record in await desk.records(topics.NOTIFY_LOG)])
    for private in (*PRIVATE.values(), "Nobody", "C-1", "C-2"):
        assert private not in written

    world.respond(0, customer="C-4")
    await desk.publish(world.events[-1:])
    async with desk.notifying(secret=endpoint.SECRET):
        await eventually(partial(reached, desk, delivered=3))
    assert endpoint.ids()[2:] == ids(world.events[-1:])


async def test_the_schedule_lasts_over_restarts(desk: Desk, endpoint: Endpoint) -> None:
    world = World()
    world.respond(2)
    await desk.publish(world.events)
    endpoint.status = 500
    desk.clock.stop()
    for attempts in (1, 2, 3):
        async with desk.notifying(secret=endpoint.SECRET) as running:
            await eventually(partial(has, endpoint.asked, attempts))
            await eventually(partial(_tried, desk, attempts))
            (one,) = (await desk.latest()).values()
            assert (one.state, one.error) == ("waiting", "it answers 500")
            assert one.not_before == pytest.approx((desk.clock() + delay(attempts, 0.5)) * 1000, abs=2)
        desk.clock.ahead += delay(attempts, 0.5) - 1
        async with desk.notifying(secret=endpoint.SECRET) as running:
            await eventually(partial(shows, running, "waiting", 1))
            assert len(endpoint.asked) == attempts
            endpoint.status = 204 if attempts == 3 else 500
            desk.clock.ahead += 1.001
            await eventually(partial(has, endpoint.asked, attempts + 1))
    assert await desk.states() == {"delivered": 1}
    assert len(set(endpoint.asked)) == 1


async def _took(endpoint: Endpoint, name: str) -> bool:
    return name in endpoint.ids()


async def _tried(desk: Desk, attempts: int) -> bool:
    return [one.attempts for one in (await desk.latest()).values()] == [attempts]


async def test_messages_of_a_case_are_in_order_and_others_do_not_wait(desk: Desk, endpoint: Endpoint) -> None:
    world = World()
    world.respond(2)
    world.respond(2, name="r1", comment="Nobody called")
    world.respond(1, customer="C-2")
    first, second, other = ids(world.events)
    endpoint.statuses[first] = 503
    await desk.publish(world.events)
    async with desk.notifying(secret=endpoint.SECRET):
        await eventually(partial(_took, endpoint, other))
        await eventually(partial(reached, desk, delivered=1, waiting=2))
        assert second not in endpoint.asked
        del endpoint.statuses[first]
        desk.clock.ahead += 5.5
        await eventually(partial(reached, desk, delivered=3))
    assert endpoint.ids() == [other, first, second]


async def test_all_wait_as_long_as_it_says(desk: Desk, endpoint: Endpoint) -> None:
    endpoint.behaviour = ["later"]
    world = World()
    world.respond(2)
    await desk.publish(world.events)
    async with desk.notifying(secret=endpoint.SECRET) as running:
        await eventually(partial(counted, running, "later", 1))
        world.respond(2, customer="C-2")
        await desk.publish(world.events[-1:])
        await eventually(partial(reached, desk, waiting=2))
        assert len(endpoint.asked) == 1
        desk.clock.ahead += RETRY_AFTER + 0.5
        await eventually(partial(reached, desk, delivered=2))


async def test_a_disabled_receiver_gets_nothing(
    desk: Desk, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.status = 410
    world = World()
    world.respond(2)
    await desk.publish(world.events)
    async with desk.notifying(secret=endpoint.SECRET) as running:
        await eventually(partial(shows, running, "disabled", 1))
        world.respond(2, customer="C-2")
        await desk.publish(world.events[-1:])
        await eventually(partial(reached, desk, waiting=2))
        desk.clock.ahead += 100_000
        await eventually(partial(shows, running, "waiting", 2))
    assert len(endpoint.asked) == 1
    assert [r.levelno for r in caplog.records if "wants nothing" in r.message] == [logging.ERROR]
    endpoint.status = 204
    async with desk.notifying(secret=endpoint.SECRET):
        await eventually(partial(reached, desk, delivered=2))


async def test_only_the_disabled_address_gets_nothing(desk: Desk, endpoint: Endpoint) -> None:
    """One that is gone, and one that asks for patience, keep nobody else from theirs."""
    to = f'to = {{ "*" = "{endpoint.url}", anna = "{endpoint.url}/anna", bob = "{endpoint.url}/bob" }}'
    desk.configure(f'kind = "webhook"\n{to}\noptions = {{ internal = true }}')
    world = World()
    for number in range(6):
        world.respond(2, customer=f"C-{number}")
    owners = ("anna", "bob", "carl", "anna", "bob", "carl")
    events = [with_fields(event, owner=owner) for event, owner in zip(world.events, owners, strict=True)]
    names = ids(events)
    endpoint.statuses = {names[0]: 410, names[1]: 401}
    await desk.publish(events[:3])
    async with desk.notifying(secret=endpoint.SECRET) as running:
        await eventually(partial(counted, running, "gone", 1))
        await eventually(partial(counted, running, "later", 1))
        await eventually(partial(reached, desk, delivered=1, waiting=2))
        await desk.publish(events[3:])
        await eventually(partial(reached, desk, delivered=2, waiting=4))
        assert running.value("disabled") == 1
        assert sorted(endpoint.asked) == sorted([*names[:3], names[5]])
        endpoint.statuses.clear()
        desk.clock.ahead += 100
        await eventually(partial(reached, desk, delivered=4, waiting=2))
    assert sorted(endpoint.ids()) == sorted([names[1], names[2], names[4], names[5]])


async def test_who_waits_for_their_turn_waits_while_it_wants_nothing(desk: Desk, endpoint: Endpoint) -> None:
    desk.configure("per_second = 2\n" + webhook(endpoint))
    endpoint.behaviour = ["later"] * 4
    world = World()
    for number in range(8):
        world.respond(2, customer=f"C-{number}")
    await desk.publish(world.events)
    desk.clock.stop()
    async with desk.notifying(secret=endpoint.SECRET) as running:
        await eventually(partial(counted, running, "later", 4))
        await eventually(partial(_passed, time.monotonic() + 1.5))  # three more turns
        assert len(endpoint.asked) == 4
        desk.clock.ahead += RETRY_AFTER + 1
        await eventually(partial(reached, desk, delivered=8))


async def _passed(instant: float) -> bool:
    return time.monotonic() >= instant


async def test_a_log_that_comes_in_pieces_is_read_to_its_end_first(desk: Desk, endpoint: Endpoint) -> None:
    """What waits at its beginning may have been delivered further on."""
    world = World()
    world.respond(2)
    world.respond(2, customer="C-2")
    await desk.publish(world.events[:1])
    async with desk.notifying(secret=endpoint.SECRET):
        await eventually(partial(reached, desk, delivered=1))
    (delivered,) = (await desk.latest()).values()
    async with clients.producer(desk.installation) as producer:
        log = DeliveryLog(producer, desk.installation)
        await log.write(0, [replace(delivered, state="waiting")])
        for number in range(12):
            other = replace(delivered, notifier="other", event_id=str(number), error=token_hex(400_000))
            await log.write(0, [other])
        await log.write(0, [delivered])
    await desk.publish(world.events[1:])
    async with desk.notifying(secret=endpoint.SECRET) as running:
        await eventually(partial(counted, running, "delivered", 1))
    assert endpoint.asked == ids(world.events)


class Gated:
    """A producer that hands over one batch only when it may."""

    def __init__(self, producer: AIOKafkaProducer, held: int) -> None:
        self._producer, self._held, self._count = producer, held, 0
        self.waits, self.may = asyncio.Event(), asyncio.Event()

    def create_batch(self) -> Any:
        return self._producer.create_batch()

    async def send_batch(self, *args: Any, **kwargs: Any) -> Any:
        self._count += 1
        if self._count == self._held:
            self.waits.set()
            await self.may.wait()
        return await self._producer.send_batch(*args, **kwargs)


async def test_a_message_is_not_sent_while_its_comment_is_written(desk: Desk, endpoint: Endpoint) -> None:
    """Else the comment would stand as told with a message that went without it."""
    desk.configure('settle_seconds = 60\nprivate = ["comment"]\n' + webhook(endpoint))
    endpoint.seconds = 1.0
    world = World()
    world.respond(4, name="a")
    world.respond(0, name="c", customer="C-3")
    world.respond(4, name="a", comment="Nobody called")
    opened, critical, _ = ids(world.events)
    desk.clock.stop()
    async with clients.producer(desk.installation) as producer:
        gated: Any = Gated(producer, 3)
        async with desk.notifying(secret=endpoint.SECRET, producer=gated) as running:
            await desk.publish(world.events[:1])
            await eventually(partial(reached, desk, waiting=1))
            await desk.publish(world.events[1:2])
            await eventually(partial(_asked, endpoint, critical))
            await desk.publish(world.events[2:])
            await gated.waits.wait()
            desk.clock.ahead += 61
            await eventually(partial(counted, running, "delivered", 1))
            gated.may.set()
            await eventually(partial(reached, desk, delivered=2, merged=1))
    (message,) = [got for got in endpoint.received if got.id == opened]
    assert message.data["data"].get("comment") == "Nobody called"


class Doubtful(Gated):
    """Hands the first batch over, and does not say so."""

    async def send_batch(self, *args: Any, **kwargs: Any) -> Any:
        handed_over = await self._producer.send_batch(*args, **kwargs)
        self._count += 1
        if self._count == 1:
            await handed_over
            raise KafkaTimeoutError
        return handed_over


async def test_an_uncertain_write_is_not_planned_twice(desk: Desk, endpoint: Endpoint) -> None:
    world = World()
    world.respond(2)
    await desk.publish(world.events)
    async with clients.producer(desk.installation) as producer:
        doubtful: Any = Doubtful(producer, 0)
        async with desk.notifying(secret=endpoint.SECRET, producer=doubtful) as running:
            await eventually(partial(reached, desk, delivered=1))
            world.respond(2, customer="C-2")
            await desk.publish(world.events[1:])
            await eventually(partial(counted, running, "delivered", 2))
    assert endpoint.asked == ids(world.events)


async def _asked(endpoint: Endpoint, name: str) -> bool:
    return name in endpoint.asked


async def test_after_the_last_try_it_is_given_up_and_can_be_replayed(desk: Desk, endpoint: Endpoint) -> None:
    endpoint.status = 500
    world = World()
    world.respond(2)
    world.respond(2, name="r1", comment="Nobody called")
    first, second = ids(world.events)
    endpoint.statuses[second] = 204
    await desk.publish(world.events)
    async with desk.notifying(secret=endpoint.SECRET) as running:
        for attempts in range(1, MAX_ATTEMPTS + 1):
            await eventually(partial(counted, running, "later", attempts))
            desk.clock.ahead += 90_000
        await eventually(partial(reached, desk, given_up=1, delivered=1))
        assert running.value("given_up_total") == 1
        assert (await desk.latest())[first].error == f"given up after {MAX_ATTEMPTS} tries: it answers 500"
        output = (await desk.run("notify", "log", "--state", "given_up")).output
        assert first in output
        assert "it answers 500" in output
        assert second not in output

        endpoint.status = 204
        assert (await desk.run("notify", "replay", NAME, "--id", "another")).output.startswith("0 ")
        assert (await desk.run("notify", "replay", NAME, "--id", first)).output.startswith("1 ")
        await eventually(partial(reached, desk, delivered=2))
    assert endpoint.ids() == [second, first]


async def test_a_notifier_that_nobody_knows_is_not_taken_for_one_without_messages(
    desk: Desk, endpoint: Endpoint
) -> None:
    """What one has done that is gone from the settings can still be read, and is not sent again by anybody."""
    world = World()
    world.respond(2)
    await desk.publish(world.events)
    async with desk.notifying(secret=endpoint.SECRET):
        await eventually(partial(reached, desk, delivered=1))
    for words in (("log", "dsek"), ("replay", "dsek"), ("log", "dsek", "--state", "given_up")):
        result = await desk.run("notify", *words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "there is no [notify.dsek]" in result.stderr
        assert "known: console, desk" in result.stderr
    assert (await desk.run("notify", "log", "console")).exit_code == 0
    desk.commands.config.write_text("")
    assert ids(world.events)[0] in (await desk.run("notify", "log", NAME)).stdout
    result = await desk.run("notify", "log", NAME, "--state", "given_up")
    assert (result.exit_code, result.stderr) == (0, "no such messages\n")
    assert "known: console, desk" in (await desk.run("notify", "log", "dsek")).stderr
    result = await desk.run("notify", "replay", NAME)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "known: console" in result.stderr


async def test_nothing_is_sent_about_an_erased_customer(desk: Desk, endpoint: Endpoint) -> None:
    """Neither what waits, with a bundle that begins with what they said, nor what is replayed; they may come back."""
    world = World()
    for number in (1, 2, 3):
        world.respond(2, customer=f"C-{number}", comment="Nobody called")
    first, second, third = world.events
    first = with_fields(first, kind="bundle", customer_id="C-2")
    endpoint.status = 500
    await desk.publish([first, second, third])
    async with desk.notifying(secret=endpoint.SECRET) as running:
        await eventually(partial(counted, running, "later", 3))
        forget = TeamAction("do-1", "forget", "anna")
        note = TeamAction("do-2", "note", "anna", case_id="c-3")
        actions = [(b"C-2", codec.encode(forget)), (b"C-3", codec.encode(note)), (b"C-3", b"{"), (b"C-3", b"[]")]
        await desk.publish(Output(topics.ACTIONS, 0, key, value, []) for key, value in actions)
        endpoint.status, before = 204, len(endpoint.asked)
        desk.clock.ahead += 6.5
        await eventually(partial(reached, desk, delivered=1, given_up=2))
        assert endpoint.asked[before:] == ids([third])
        assert (await desk.run("notify", "replay", NAME)).output.startswith("2 ")
        await eventually(partial(counted, running, "lost", 4))
        await desk.publish([_renamed(second, "c-again.1")])
        await eventually(partial(reached, desk, delivered=2, given_up=2))
    assert endpoint.ids() == [*ids([third]), "c-again.1"]


async def test_a_comment_that_comes_soon_is_sent_with_the_case(desk: Desk, endpoint: Endpoint) -> None:
    desk.configure('settle_seconds = 60\nprivate = ["comment"]\n' + webhook(endpoint))
    world = World()
    world.respond(4, name="a")
    world.respond(4, name="a", comment="Nobody called")
    world.respond(4, name="b", customer="C-2")
    world.respond(0, name="c", customer="C-3")
    opened, comment, silent, critical = ids(world.events)
    await desk.publish(world.events[:1])
    async with desk.notifying(secret=endpoint.SECRET):
        await eventually(partial(reached, desk, waiting=1))
    await desk.publish(world.events[1:])
    async with desk.notifying(secret=endpoint.SECRET):  # what waits stands in the log
        await eventually(partial(reached, desk, delivered=2, merged=1, waiting=1))
        assert sorted(endpoint.ids()) == sorted([opened, critical])
        (message,) = [got for got in endpoint.received if got.id == opened]
        assert (message.data["type"], message.data["data"]["comment"]) == ("npsflow.case.opened.v1", "Nobody called")
        assert (await desk.latest())[comment].reference == opened
        desk.clock.ahead += 60
        await eventually(partial(reached, desk, delivered=3, merged=1))
    assert endpoint.ids()[-1] == silent


async def test_unreadable_events_hold_nothing_up(desk: Desk, endpoint: Endpoint) -> None:
    world = World()
    world.respond(2)
    world.respond(2, customer="C-2")
    event, good = world.events
    broken = [
        event._replace(value=b"{"), event._replace(value=None), event._replace(value=b"[]"),
        event._replace(value=b"\xff"), with_fields(event, severity="unheard of"),
        event._replace(headers=[(n, v) for n, v in event.headers if n != "ce_id"]),
        event._replace(headers=[(n, b"c" * 100_000 if n == "ce_id" else v) for n, v in event.headers]),
        with_fields(event, case_id="c" * 100_000),
        with_fields(event, history=7, reasons=7, informed=7)._replace(
            headers=[(n, b"odd.1" if n == "ce_id" else v) for n, v in event.headers]
        ),
    ]  # fmt: skip
    await desk.publish([*broken, good])
    async with desk.notifying(secret=endpoint.SECRET) as running:
        await eventually(partial(reached, desk, given_up=9, delivered=1))
        assert running.value("given_up_total") == 9
    assert endpoint.ids() == ids([good])


async def test_an_unconfirmed_message_is_sent_again_under_its_id(desk: Desk, endpoint: Endpoint) -> None:
    endpoint.behaviour = ["silent", "silent"]
    world = World()
    world.respond(2)
    await desk.publish(world.events)
    async with desk.notifying(secret=endpoint.SECRET) as running:
        for times, wait in ((1, 5.5), (2, 301.0)):
            await eventually(partial(counted, running, "unanswered", times))
            desk.clock.ahead += wait
        await eventually(partial(reached, desk, delivered=1))
    assert endpoint.ids() == ids(world.events) * 3


async def test_owners_departments_and_severities(desk: Desk, endpoint: Endpoint) -> None:
    desk.configure(
        'departments = ["Support"]\nat_least = "high"\nevents = ["opened", "escalated"]\n'
        + webhook(endpoint).replace("to = {", f'to = {{ anna = "{endpoint.url}/anna", ')
    )
    world = World()
    world.respond(1, department="Support")
    case = {"owner": "anna"}
    events = [
        with_fields(world.events[0], **case),
        *_others(world),
        with_fields(_renamed(world.events[0], "c-x.1"), owner="bob"),
    ]
    await desk.publish(events)
    async with desk.notifying(secret=endpoint.SECRET):
        await eventually(partial(reached, desk, delivered=2))
    assert [(got.id, got.to) for got in endpoint.received] == [(ids(events)[0], "/all/anna"), ("c-x.1", "/all")]


def _others(world: World) -> list[Output]:
    """Of another department, not so bad, of another kind."""
    event = world.events[0]
    return [
        with_fields(_renamed(event, "c-1.1"), department="Sales", newest=None, worst=None),
        with_fields(_renamed(event, "c-2.1"), severity="medium"),
        _renamed(event, "c-3.1")._replace(
            headers=[(n, b"npsflow.case.noted.v1" if n == "ce_type" else v) for n, v in event.headers]
        ),
    ]


def _renamed(event: Output, name: str) -> Output:
    headers = [(n, name.encode() if n == "ce_id" else v) for n, v in event.headers]
    changed = with_fields(event, case_id=name.partition(".")[0])
    return changed._replace(headers=headers)


async def test_events_that_were_deleted_unread_are_counted_and_named(
    desk: Desk, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether an event follows them or not; those that are there are sent."""
    caplog.set_level(logging.ERROR)
    world = World()
    for number in range(3):
        world.respond(2, customer=f"C-{number}")
    await desk.publish(world.events[:1])
    async with desk.notifying(secret=endpoint.SECRET):
        await eventually(partial(reached, desk, delivered=1))
    await desk.publish(world.events[1:2])
    await desk.delete_events(before=2)
    async with desk.notifying(secret=endpoint.SECRET) as running:
        await eventually(partial(shows, running, "lost_events_total", 1))
    await desk.publish(world.events[1:])
    await desk.delete_events(before=3)
    async with desk.notifying(secret=endpoint.SECRET) as running:
        await eventually(partial(reached, desk, delivered=2))
        assert running.value("lost_events_total") == 1
    assert endpoint.ids() == ids([world.events[0], world.events[2]])
    named = [vars(record) for record in caplog.records if "nobody hears of them" in record.getMessage()]
    assert [(line["partition"], line["offset"], line["end"]) for line in named] == [(0, 1, 2), (0, 2, 3)]
