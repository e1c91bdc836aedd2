"""What every kind of notifier has to do, shown against where its messages really end."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from npsflow.agents.notify import kinds
from npsflow.agents.notify.kind import (
    Delivered,
    Rejected,
    RetryLater,
    Sender,
    Unavailable,
    Unconfirmed,
    open_sender,
    secret_variable,
)
from npsflow.streams.config.settings import parse
from npsflow.streams.notify.digest import Digest
from npsflow.streams.notify.event import Event, read_event
from npsflow.streams.notify.message import Message, build_message
from npsflow.streams.notify.settings import NotifierSettings
from tests.streams.folding import Record
from tests.streams.recovery.recovering import PREFIX, World

from .ends import RETRY_AFTER, End

PRIVATE = {"name": "Pietje Puk", "email": "pietje@example.com", "phone": "+31 6 00000000"}
COMMENT = "Nobody <b>called</b> & *that* is <!channel> `bad`\nreally_bad </blockquote><script>x</script>"
HUGE = ('<&>"*_~` é漢\u0001 \U0001f600 ' * 2000)[:16_000]


@dataclass
class Case:
    """A kind and an end of it: whether that keeps a case together, and whether people read it."""

    kind: str
    settings: str
    secret: str
    end: End
    threads: bool = True
    for_people: bool = True
    other_secret: str = "whsec_c29tZXRoaW5nIGVsc2UgYWx0b2dldGhlcg=="

    def notifier(self, more: str = "") -> NotifierSettings:
        top = "\n".join(line for line in more.splitlines() if line)
        return parse(f"[notify.desk]\nkind = '{self.kind}'\n{top}\n{self.settings}").notify["desk"]

    @asynccontextmanager
    async def sending(self, secret: str | None = None) -> AsyncIterator[Sender]:
        variables = {secret_variable("desk"): self.secret if secret is None else secret}
        async with open_sender("desk", kinds.named(self.kind), self.notifier(), variables) as sender:
            yield sender


def events(**more: Any) -> list[Event]:
    """A case from its beginning to its end, as recover tells of it; one call each of the customer's phone and mail."""
    world = World()
    world.respond(1, comment=COMMENT, department="Support", channel="phone", **more)
    world.act("acknowledge", comment="I call <b>today</b>")
    world.act("contact", comment="done")
    return [event(output.value, dict(output.headers)) for output in world.events]


def event(value: bytes | None, headers: Mapping[str, bytes]) -> Event:
    return read_event(Record(b"k", value, 0, 0, list(headers.items()), topic=PREFIX + "service-recovery"))


def with_private(one: Event) -> Event:
    """As with `alerts.private_fields`."""
    return one._replace(case=one.case | PRIVATE)


class Conformance:
    def __init__(self, case: Case) -> None:
        self.case, self.end = case, case.end

    def message(self, one: Event, more: str = "", thread: str = "") -> Message:
        return build_message(one, self.case.notifier(more), thread)

    async def delivers(self) -> None:
        first, second, _ = events()
        async with self.case.sending() as sender:
            one = await self._delivered(sender, self.message(first))
            two = await self._delivered(sender, self.message(second, thread=one.reference))
        self._has("NPS 1", "Support", first.case_id)
        ids = [got.id for got in self.end.received]
        assert len(set(ids)) == 2
        for name, sent in zip(ids, (first, second), strict=True):
            assert sent.id.replace(".", "-") in name.replace(".", "-")
        if self.case.threads:
            assert self.end.received[0].reference == one.reference
            thread = self.end.received[1].thread
            assert thread
            assert thread in one.reference
            assert two.reference

    async def lets_through_only_what_it_may(self) -> None:
        first, second, _ = events()
        async with self.case.sending() as sender:
            await self._delivered(sender, self.message(with_private(first)))
            await self._delivered(sender, self.message(with_private(second)))
            shown = json.dumps([got.shown + str(got.data) for got in self.end.received], default=str)
            for private in (*PRIVATE.values(), "Nobody", "I call"):
                assert private not in shown
            self.end.received.clear()
            let = 'private = ["comment", "name", "email", "phone"]'
            third = with_private(first)._replace(id="c-other.1", case=with_private(first).case | {"case_id": "c-other"})
            await self._delivered(sender, self.message(third, let))
        self._has(*PRIVATE.values())

    async def names_who_else_is_informed(self) -> None:
        """Where a kind reaches one address, whoever reads it there passes it on."""
        first, *_ = events(customer_fields={"primary_contact": "KAM-7"})
        async with self.case.sending() as sender:
            await self._delivered(sender, self.message(first))
        self._has("KAM-7")

    async def shows_words_as_they_are(self) -> None:
        """Nothing of what a customer writes becomes markup; the ends look for what does."""
        first, second, _ = events()
        async with self.case.sending() as sender:
            await self._delivered(sender, self.message(first, 'private = ["comment"]'))
            await self._delivered(sender, self.message(second, 'private = ["comment"]'))
        self._has("<b>called</b> & *that* is <!channel> `bad`", "really_bad", "I call <b>today</b>")

    async def takes_huge_events(self) -> None:
        first, *_ = events()
        grown = first.case | {
            "comment": HUGE,
            "department": HUGE[:128],
            "attributes": {str(n): "x" * 100 for n in range(20)},
        }
        grown["answers"] = [{"question_id": str(n), "text": HUGE} for n in range(5)]
        grown["history"] = [{"what": "noted", "by": "anna", "comment": HUGE[:5000]}] * 50
        async with self.case.sending() as sender:
            await self._delivered(
                sender,
                self.message(
                    first._replace(case=grown), f"private = ['comment']\ntexts = {{ opened = '{'x' * 9000}' }}"
                ),
            )
        (got,) = self.end.received
        assert self.end.complaints == []
        assert len(got.shown) < 40_000
        assert "<&>" in got.shown

    async def takes_a_digest(self) -> None:
        world = World()
        for number in range(40):
            world.respond(number % 7, customer=f"C-{number}", department="<Billing>")
        digest = Digest(self.case.notifier(), world.now - 1, world.now + 100_000_000)
        for case in world.cases:
            digest.add_case(case["case_id"], case)
        ((_, message),) = digest.messages().items()
        async with self.case.sending() as sender:
            await self._delivered(sender, replace(message, id="digest.1"))
        self._has("40 new", "40 overdue")
        if self.case.for_people:
            self._has("<Billing>", "and 20 more")
        assert self.end.complaints == []

    async def reports_the_result(self) -> None:
        first, *_ = events()
        message = self.message(first)
        async with self.case.sending() as sender:
            self.end.behaviour[:] = ["silent"]
            assert isinstance(await sender.send(message), Unconfirmed)
            assert isinstance(await sender.send(message), Delivered)
            assert {got.id for got in self.end.received} == {self.end.received[0].id}
            for how in ("later", "busy", "locked", "broken"):
                self.end.behaviour[:] = [how]
                result = await sender.send(
                    self.message(first._replace(id=f"c-{how}.1", case=first.case | {"case_id": how}))
                )
                self.end.behaviour.clear()
                later = RetryLater | Unavailable
                assert isinstance(result, later | Rejected if how == "broken" else later), (how, result)
                if how == "later" and self.case.kind != "email":
                    assert result[1:2] == (RETRY_AFTER,)
                if how == "busy":
                    assert isinstance(result, RetryLater)
                    assert result.concerns in ("receiver", "address")
                if how == "locked":
                    assert isinstance(result, Unavailable)
                    assert result.seconds >= 30
                assert self.case.secret.split()[0] not in str(result)

    async def is_refused_with_another_secret(self) -> None:
        first, *_ = events()
        async with self.case.sending(self.case.other_secret) as sender:
            result = await sender.send(self.message(first))
        assert isinstance(result, Unavailable)
        assert self.end.received == []

    async def nobody_is_there(self) -> None:
        """To be called when the end is gone."""
        first, *_ = events()
        async with self.case.sending() as sender:
            result = await sender.send(self.message(first))
        assert isinstance(result, Unavailable)
        assert "cannot be reached: connection refused" in result.reason

    async def _delivered(self, sender: Sender, message: Message) -> Delivered:
        result = await sender.send(message)
        assert isinstance(result, Delivered), (result, self.end.complaints)
        return result

    def _has(self, *words: str) -> None:
        shown = "\n".join(got.shown for got in self.end.received)
        for word in words:
            assert word in shown or json.dumps(word, ensure_ascii=False)[1:-1] in shown, word
