"""Fetching on a real Kafka, from a stand-in of SurveyMonkey's API: everything is written, whatever happens."""

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from msgspec.structs import replace

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.fetch.backoff import MAX_ATTEMPTS, delay
from npsflow.agents.intake.endpoint import secret_name, signed
from npsflow.agents.kafka import clients
from npsflow.schemas import codec, topics
from npsflow.streams.config.settings import parse
from tests.agents.intake.serving import serving
from tests.agents.platforms.signing import SECRET, surveymonkey
from tests.support.waiting import eventually

from .fetching import ENTRANCE, START, Installed, Running, event
from .standin import FIXTURES, OTHER_TOKEN, TOKEN, SurveyMonkey

GOOD = (FIXTURES / "surveymonkey" / "good.json").read_bytes()
EXPECTED = json.loads((FIXTURES / "surveymonkey" / "expected.json").read_text())


@pytest.fixture
def standin() -> SurveyMonkey:
    return SurveyMonkey()


@pytest.fixture
async def shop(
    broker: Broker, standin: SurveyMonkey, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Installed]:
    async with (
        standin.running() as address,
        Installed(broker, re.sub(r"\W+", "-", request.node.name) + ".", tmp_path, "surveymonkey", address) as installed,
    ):
        yield installed


async def test_a_webhook_without_answers_becomes_responses(shop: Installed, standin: SurveyMonkey) -> None:
    endpoints = signed(parse(shop.text), {secret_name(ENTRANCE): SECRET})
    async with serving(shop.installation, endpoints=endpoints) as intake:
        for _ in range(2):  # delivered twice, it is one event
            async with intake.client.post("/in/shop", data=GOOD, headers=surveymonkey(GOOD, SECRET, 0)) as answer:
                assert (answer.status, await answer.json()) == (200, {"responses": 0})
    async with shop.fetcher() as running:
        await eventually(lambda: empty(shop))
        assert running.pending() == 0
        assert running.count("fetched") == 1
    assert by_id(await shop.responses()) == by_id(EXPECTED)
    assert standin.asked == [("surveys/105724755/responses/5007154402/details?simple=true", TOKEN)]


async def test_several_events_of_one_response_are_one_request(shop: Installed, standin: SurveyMonkey) -> None:
    await shop.ask(event(1), event(2), event(3))
    async with shop.fetcher():
        await eventually(lambda: empty(shop))
        assert len(standin.asked) == 1
        await shop.ask(event(4))  # what changed later is asked for again
        await eventually(lambda: asked(standin, 2))
        await eventually(lambda: empty(shop))


async def test_the_schedule_outlives_a_restart(shop: Installed, standin: SurveyMonkey) -> None:
    standin.next(503, {"Retry-After": "600"})
    await shop.ask(event(1))
    async with shop.fetcher() as running:
        await eventually(lambda: reached(running.count, "later"))
    ((key, fetch),) = (await shop.standing()).items()
    assert (key, fetch["attempts"], fetch["not_before"]) == (b"shop/e1", 1, (START + 600) * 1000)

    standin.add("77", 9)
    await shop.ask(event(2, "77"))
    async with shop.fetcher() as running:
        await eventually(lambda: reached(running.count, "fetched"))  # the other one; this is not due
        assert running.pending() == 1
        assert len(standin.asked) == 2
        shop.clock.now = START + 600
        await eventually(lambda: empty(shop))
    assert standin.paths[2] == standin.paths[0]
    assert len(await shop.responses()) == 4


async def test_each_failure_waits_longer(shop: Installed, standin: SurveyMonkey) -> None:
    standin.next(500, times=3)
    await shop.ask(event(1))
    async with shop.fetcher() as running:
        for attempts in (1, 2, 3):
            await eventually(partial(reached, running.count, "later", attempts))
            ((_, fetch),) = (await shop.standing()).items()
            assert fetch["not_before"] == pytest.approx((shop.clock.now + delay(attempts, 0.5)) * 1000, abs=1)
            shop.clock.now = fetch["not_before"] / 1000 + 0.001
        await eventually(lambda: empty(shop))
    assert len(standin.asked) == 4


async def test_a_limit_stops_the_whole_entrance(shop: Installed, standin: SurveyMonkey) -> None:
    standin.next(429, {"X-Ratelimit-App-Global-Day-Remaining": "0", "X-Ratelimit-App-Global-Day-Reset": "3600"})
    await shop.ask(event(1))
    async with shop.fetcher() as running:
        await eventually(lambda: reached(running.count, "later"))
        standin.add("77", 9)
        await shop.ask(event(2, "77"))
        await eventually(lambda: waiting(running.pending, 2))
        assert len(standin.asked) == 1
        shop.clock.now = START + 3600
        await eventually(lambda: empty(shop))
    assert len(standin.asked) == 3


async def test_killed_between_response_and_tombstone_nothing_is_lost(shop: Installed, standin: SurveyMonkey) -> None:
    await shop.ask(event(1))
    async with clients.producer(shop.installation) as producer:
        dying = Dying(producer, shop.installation.topic(topics.FETCHES))
        async with shop.fetcher(producer=dying):
            await eventually(dying.holds)
    assert await shop.standing()
    async with shop.fetcher():
        await eventually(lambda: empty(shop))
    responses = await shop.responses()
    assert len(responses) == 4
    assert by_id(responses) == by_id(EXPECTED)
    assert len(standin.asked) == 2


async def test_what_kafka_did_not_take_is_fetched_once_more(shop: Installed, standin: SurveyMonkey) -> None:
    await shop.ask(event(1))
    async with clients.producer(shop.installation) as producer:
        refusing = Refusing(producer, shop.installation.topic(topics.RESPONSES))
        async with shop.fetcher(producer=refusing) as running:
            await eventually(lambda: asked(standin, 1))
            await eventually(lambda: failed(running))
            assert await shop.standing()
            assert running.pending() == 1
            refusing.refuses = False
            shop.clock.now += 5
            await eventually(lambda: empty(shop))
    assert by_id(await shop.responses()) == by_id(EXPECTED)
    assert len(standin.asked) == 2


async def test_two_share_the_work_and_one_takes_over(shop: Installed, standin: SurveyMonkey) -> None:
    names = [str(number) for number in range(40)]
    for name in names:
        standin.add(name, 5)
    async with shop.fetcher() as first:
        async with shop.fetcher(token=OTHER_TOKEN) as second:
            await eventually(lambda: shared(first.consumer, second.consumer))
            await shop.ask(*[event(number, name) for number, name in enumerate(names)])
            await eventually(lambda: empty(shop))
            assert {token for _, token in standin.asked} == {TOKEN, OTHER_TOKEN}
            assert len(standin.asked) == 40
        await shop.ask(*[event(number) for number in range(100, 108)])
        await eventually(lambda: empty(shop))
    assert {response["response_id"].partition(":")[0] for response in await shop.responses()} == {*names, "5007154402"}


async def test_who_joins_takes_over_what_waits(shop: Installed, standin: SurveyMonkey) -> None:
    names = [str(number) for number in range(8)]
    for name in names:
        standin.add(name, 5)
    standin.next(500, times=len(names))
    await shop.ask(*[event(number, name) for number, name in enumerate(names)])
    async with shop.fetcher() as first:
        await eventually(lambda: reached(first.count, "later", len(names)))
        async with shop.fetcher(token=OTHER_TOKEN) as second:
            await eventually(lambda: shared(first.consumer, second.consumer))
            await eventually(lambda: waiting(lambda: (first.pending() or 0) + (second.pending() or 0), len(names)))
            shop.clock.now += 7200
            await eventually(lambda: empty(shop))
    assert len(standin.asked) == 2 * len(names)


async def test_what_was_fetched_long_ago_is_not_fetched_again(shop: Installed, standin: SurveyMonkey) -> None:
    """Its tombstone stands several requests further on."""
    number, partition = 1000, 0
    topic, padding = shop.installation.topic(topics.FETCHES), {n: os.urandom(6_000).hex() for n in range(number)}
    async with clients.producer(shop.installation) as producer:
        for n in range(number):
            fetch = replace(event(n), ids={"survey": padding[n]})
            await producer.send(topic, codec.dumps(fetch), fetch.key(), partition)
        await producer.flush()
        for n in range(number):
            await producer.send(topic, None, event(n).key(), partition)
        await producer.flush()
    await shop.ask(event(number))
    async with shop.fetcher() as running:
        await eventually(lambda: reached(running.count, "fetched"))
        await eventually(lambda: empty(shop))
    assert (len(standin.asked), await shop.letters()) == (1, [])


async def test_what_cannot_be_fetched_is_a_dead_letter_and_comes_back(shop: Installed, standin: SurveyMonkey) -> None:
    ((path, answer),) = standin.answers.items()
    standin.answers = {}
    await shop.ask(event(1))
    async with shop.fetcher() as running:
        await eventually(lambda: empty(shop))
        (letter,) = await shop.letters()
        headers = dict(letter.headers)
        assert json.loads(letter.value or b"")["ids"] == {"survey": "105724755", "response": "5007154402"}
        assert (letter.key, headers["npsflow_dlq_topic"]) == (b"shop/e1", b"survey-fetches")
        assert (headers["npsflow_dlq_reason"], headers["npsflow_dlq_message"]) == (b"unfetched", b"it answers 404")
        assert headers["npsflow_dlq_source"] == b"surveymonkey"
        assert running.count("dead") == 1

        standin.answers = {path: answer}
        result = await shop.run("dlq", "replay")
        assert "1 unfetched" in result.output
        await eventually(lambda: reached(running.count, "fetched"))
        await eventually(lambda: empty(shop))
    assert by_id(await shop.responses()) == by_id(EXPECTED)


async def test_after_the_last_try_it_is_given_up(shop: Installed, standin: SurveyMonkey) -> None:
    standin.next(500)
    await shop.ask(event(1, attempts=MAX_ATTEMPTS - 1))
    async with shop.fetcher():
        await eventually(lambda: empty(shop))
        (letter,) = await shop.letters()
        message = dict(letter.headers)["npsflow_dlq_message"].decode()
        assert message == f"given up after {MAX_ATTEMPTS} tries: it answers 500"
        assert (await shop.run("dlq", "replay")).exit_code == 0
        await eventually(lambda: asked(standin, 2))
        await eventually(lambda: empty(shop))
    replayed = [json.loads(r.value) for r in await shop.records(topics.FETCHES) if r.value]
    assert [fetch.get("attempts", 0) for fetch in replayed] == [MAX_ATTEMPTS - 1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('forms = ["105724755"]', 'forms = ["1"]'), "form '105724755' is not among the forms of this mapping"),
        (
            ('platform = "surveymonkey"', 'platform = "typeform"'),
            "the settings have no such entrance whose answers are fetched",
        ),
    ],
)
async def test_what_is_not_mapped_any_more(shop: Installed, change: tuple[str, str], message: str) -> None:
    await shop.ask(event(1))
    text = shop.text.replace(*change)
    if "surveymonkey" not in text:
        text = re.sub("^api.*\n", "", text, flags=re.MULTILINE)  # it has no effect on the other platform
    async with shop.fetcher(text):
        await eventually(lambda: empty(shop))
    (letter,) = await shop.letters()
    assert dict(letter.headers)["npsflow_dlq_message"].decode() == message


async def test_a_wrong_token_is_said_aloud_but_not_shown(
    shop: Installed, standin: SurveyMonkey, caplog: pytest.LogCaptureFixture
) -> None:
    await shop.ask(event(1))
    async with shop.fetcher(token="one-that-is-wrong") as running:
        await eventually(lambda: reached(running.count, "refused"))
    (record,) = [record for record in caplog.records if record.name.startswith("npsflow")]
    assert record.levelno == logging.ERROR
    assert (record.__dict__["intake"], record.__dict__["why"]) == ("shop", "it refuses the token (401)")
    assert not [record for record in caplog.records if "one-that-is-wrong" in repr(record.__dict__)]
    assert await shop.letters() == []
    shop.clock.now += 60
    async with shop.fetcher():
        await eventually(lambda: empty(shop))


class Dying:
    """A producer that keeps what is sent to one topic for ever."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer, self._topic, self._held = producer, topic, asyncio.Event()

    async def send(self, topic: str, *args: Any, **options: Any) -> Any:
        if topic == self._topic:
            self._held.set()
            await asyncio.Event().wait()
        return await self._producer.send(topic, *args, **options)

    async def holds(self) -> bool:
        return self._held.is_set()


class Refusing:
    """A producer to which Kafka says in the end that it has not taken what was sent to one topic."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer, self._topic, self.refuses = producer, topic, True

    async def send(self, topic: str, *args: Any, **options: Any) -> Any:
        if topic == self._topic and self.refuses:
            refused = asyncio.get_running_loop().create_future()
            refused.set_exception(KafkaTimeoutError())
            return refused
        return await self._producer.send(topic, *args, **options)


async def failed(running: Running) -> bool:
    return running.metrics.registry.get_sample_value("npsflow_fetch_produce_failures_total") == 1


async def empty(shop: Installed) -> bool:
    return not await shop.standing()


async def asked(standin: SurveyMonkey, count: int) -> bool:
    return len(standin.asked) >= count


async def reached(count: Any, outcome: str, times: int = 1) -> bool:
    return bool(count(outcome) >= times)


async def waiting(pending: Any, count: int) -> bool:
    return bool(pending() == count)


async def shared(*consumers: Any) -> bool:
    return [len(consumer.assignment()) for consumer in consumers] == [2, 2]


def by_id(responses: Any) -> dict[str, Any]:
    return {response["response_id"]: response for response in responses}
