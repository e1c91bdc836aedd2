"""The digest: whose, of what, when; and on a real Kafka, once a day."""

import json
from datetime import UTC, datetime, time
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from npsflow.schemas import topics
from npsflow.schemas.headers import CloudEvents
from npsflow.schemas.times import DAY, HOUR, rfc3339, to_ms
from npsflow.streams.notify.digest import Digest, last_slot
from npsflow.streams.notify.message import Message
from npsflow.streams.notify.settings import NotifierSettings
from npsflow.streams.stage import Output
from tests.streams.recovery.recovering import NOW, World
from tests.support.waiting import eventually

from .desk import Desk, reached
from .ends import Endpoint

TO = {"*": "all", "anna": "anna-s", "bob": "bob-s"}
UNTIL = NOW + DAY


def case(name: str, /, **fields: Any) -> tuple[str, dict[str, Any]]:
    times = {"opened_at": rfc3339(NOW + HOUR), "due_at": rfc3339(UNTIL + HOUR)}
    return name, {"case_id": name, "kind": "recovery", "status": "opened", "metric": "nps", "score": 2} | times | fields


def digested(*cases: tuple[str, dict[str, Any] | None], follow_ups: Any = (), **settings: Any) -> dict[str, Message]:
    """By address."""
    digest = Digest(NotifierSettings(to=TO, **settings), NOW, UNTIL)
    for one in cases:
        digest.add_case(*one)
    for kind, event in follow_ups:
        digest.add_follow_up(kind, event)
    return {message.to: message for message in digest.messages().values()}


def counts(messages: dict[str, Message]) -> dict[str, str]:
    return {to: message.title for to, message in messages.items()}


def test_each_owner_hears_of_their_own() -> None:
    late = {"opened_at": rfc3339(NOW - DAY), "due_at": rfc3339(UNTIL - HOUR)}
    found = digested(
        case("c-1", owner="anna"),
        case("c-2", owner="bob", **late),
        case("c-3", owner="anna", won_back_at=rfc3339(NOW + HOUR), status="closed", opened_at=rfc3339(NOW - DAY)),
        case("c-4", owner="nobody-known"),
        case("c-5", owner="bob", **late, contacted_at=rfc3339(NOW)),
        case("c-6", owner="bob", **late, status="closed"),
        case("c-7", owner="bob", kind="ask"),
        case("c-8", owner="bob", opened_at=rfc3339(UNTIL)),
        case("c-9", owner="bob"), ("c-9", None),
    )  # fmt: skip
    assert counts(found) == {
        "all": "The day: 1 new, 0 worse, 0 overdue, 0 won back, 0 praised",
        "anna-s": "The day: 1 new, 0 worse, 0 overdue, 1 won back, 0 praised",
        "bob-s": "The day: 0 new, 0 worse, 1 overdue, 0 won back, 0 praised",
    }
    assert [section.heading for section in found["anna-s"].sections] == ["New", "Won back"]
    assert found["bob-s"].data["overdue"] == ["c-2"]
    assert digested() == {}


def test_a_case_that_got_worse_is_in_the_digest() -> None:
    world = World()
    world.respond(5)
    until = world.now + DAY
    world.now = until + HOUR
    world.respond(0)
    digest = Digest(NotifierSettings(), until, until + DAY)
    digest.add_case(world.case["case_id"], world.case)
    (message,) = digest.messages().values()
    assert message.title == "The day: 0 new, 1 worse, 1 overdue, 0 won back, 0 praised"
    assert message.sections[0].heading == "More severe"
    assert message.sections[0].lines[0].startswith("NPS 0, C-1, ")


def test_agents_hear_of_their_praise() -> None:
    def praise(name: str, **fields: Any) -> tuple[str, dict[str, Any]]:
        event = {"follow_up_id": name, "agent_id": "anna", "metric": "nps", "score": 10, "action": "referral"}
        return "requested", event | {"comment": "Anna was\ngreat"} | fields

    praised = [
        praise("f-1"), praise("f-2", comment=None), praise("f-3", action="ask"), praise("f-4", agent_id="bob"),
        ("retracted", {"follow_up_id": "f-4"}), praise("f-5", agent_id=None, department="Support", action=None),
    ]  # fmt: skip
    found = digested(follow_ups=praised)
    assert {to: message.sections[0].lines for to, message in found.items()} == {
        "all": ("Support: NPS 10",), "anna-s": ("anna: NPS 10",)
    }  # fmt: skip
    (open_,) = digested(follow_ups=praised[:1], private=["comment"]).values()
    assert open_.sections[0].lines == ("anna: NPS 10 “Anna was great”",)
    assert digested(follow_ups=praised, departments=["Sales"]) == {}


def test_it_is_as_severe_as_the_notifier() -> None:
    mild, grave, ask = case("c-1", severity="medium"), case("c-2", severity="critical"), case("q-1", kind="ask")
    found = digested(mild, grave, ask, at_least="high", cases=["recovery", "ask"])
    assert found["all"].data["new"] == ["c-2", "q-1"]


def test_names_only_where_they_may() -> None:
    one = case("c-1", owner="anna", name="Pietje Puk", customer_id="C-1", department="Support")
    assert "Pietje" not in digested(one)["anna-s"].text()
    assert "NPS 2, Support, C-1, Pietje Puk, anna, " in digested(one, private=["name"])["anna-s"].text()


@pytest.mark.parametrize(
    ("now", "slot"),
    [
        ("2026-03-28T08:30:00", "2026-03-28T08:30:00"), ("2026-03-28T08:29:59", "2026-03-27T08:30:00"),
        ("2026-03-29T08:30:00", "2026-03-29T08:30:00"), ("2026-10-25T03:00:00", "2026-10-24T08:30:00"),
    ],
)  # fmt: skip
def test_it_is_due_at_the_same_time_of_day(now: str, slot: str) -> None:
    zone = ZoneInfo("Europe/Amsterdam")
    local, expected = (datetime.fromisoformat(text).replace(tzinfo=zone) for text in (now, slot))
    assert last_slot(to_ms(local), time(8, 30), "Europe/Amsterdam") == to_ms(expected)


@pytest.mark.long
@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "America/Sao_Paulo", "Australia/Lord_Howe", "UTC"])
def test_it_is_due_once_a_day_whatever_the_clocks_do(zone: str) -> None:
    """Never before its time, never back, and on every day that there is."""
    begin = to_ms(datetime(2018, 1, 1, tzinfo=UTC))
    for at in (time(0, 0), time(0, 30), time(2, 0), time(2, 15), time(2, 30), time(3, 0), time(23, 59)):
        found = [last_slot(now, at, zone) for now in range(begin, begin + 366 * DAY, HOUR // 2)]
        assert all(slot <= begin + n * HOUR // 2 for n, slot in enumerate(found))
        assert found == sorted(found)
        assert 366 <= len(set(found)) <= 367
        local = [datetime.fromtimestamp(slot / 1000, ZoneInfo(zone)).date() for slot in sorted(set(found))]
        assert len(set(local)) == len(local)


async def test_it_is_sent_once_a_day(desk: Desk, endpoint: Endpoint) -> None:
    """What happened before the first one is nobody's news; a restart repeats none."""
    now = datetime.fromtimestamp(desk.clock(), UTC)
    slot = f"{(now.hour - 1) % 24:02}:{now.minute:02}"
    to = f'to = {{ "*" = "{endpoint.url}", anna = "{endpoint.url}/anna" }}'
    options = "options = { internal = true }"
    desk.configure(f'kind = "webhook"\ndigest = "{slot}"\nevents = []\n{to}\n{options}')
    before, *after = today(desk)
    await desk.publish([before])
    async with desk.notifying(secret=endpoint.SECRET):
        await eventually(partial(reached, desk, delivered=1))  # a note that this is where it begins
        assert endpoint.asked == []
        await desk.publish([before, *after])
    desk.clock.ahead = DAY / 1000
    async with desk.notifying(secret=endpoint.SECRET):
        await eventually(partial(reached, desk, delivered=3))
    async with desk.notifying(secret=endpoint.SECRET):
        desk.clock.ahead += DAY / 1000
        await eventually(partial(reached, desk, delivered=4))  # one is still overdue
    received = [(got.to, got.data["data"]["counts"]) for got in endpoint.received]
    assert sorted(received[:2], key=str) == [
        ("/all", {"new": 1, "worse": 0, "overdue": 1, "won_back": 0, "praise": 0}),
        ("/all/anna", {"new": 0, "worse": 0, "overdue": 0, "won_back": 0, "praise": 1}),
    ]
    assert received[2:] == [("/all", {"new": 0, "worse": 0, "overdue": 1, "won_back": 0, "praise": 0})]
    assert {got.data["type"] for got in endpoint.received} == {"npsflow.cases.digest.v1"}
    assert len(set(endpoint.ids())) == 3


def today(desk: Desk) -> list[Output]:
    """A case that is late already, as it stands, and somebody who was pleased with anna."""
    world = World()
    world.respond(2)
    value = json.loads(next(o.value or b"" for o in world.recover.committed if o.topic == topics.CASES))
    now = int(desk.clock() * 1000)
    value |= {"opened_at": rfc3339(now), "due_at": rfc3339(now - 2 * HOUR)}
    kind = "npsflow.follow_up.requested.v1"
    headers = CloudEvents("npsflow/", [kind]).headers(kind, "f-1", 1, rfc3339(now))
    pleased = {"follow_up_id": "f-1", "action": "referral", "agent_id": "anna", "comment": "Great", "metric": "nps"}
    return [
        Output(topics.CASES, 0, value["case_id"].encode(), json.dumps(value).encode(), []),
        Output(topics.FOLLOW_UP, 0, b"C-2", json.dumps(pleased | {"score": 10}).encode(), headers),
        *(Output(topics.FOLLOW_UP, 0, b"C-3", odd, headers) for odd in (b"{", b"7", b"[]")),
        *(Output(topics.CASES, 0, b"odd", json.dumps(value | odd).encode(), []) for odd in ODD),
        Output(topics.CASES, 0, b"odder", b"\xff", []),
    ]


ODD: tuple[dict[str, Any], ...] = (
    {"due_at": "soon"}, {"opened_at": 7}, {"metric": [], "opened_at": []}, {"won_back_at": "2026-03-01"},
)  # fmt: skip
"""What nobody writes, and what keeps no digest from being made."""
