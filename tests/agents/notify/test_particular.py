"""What is particular to each kind."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook
from yarl import URL

from npsflow.agents.notify import kinds
from npsflow.agents.notify.kind import (
    Delivered,
    Disabled,
    Rejected,
    Result,
    RetryLater,
    Unavailable,
    open_sender,
    secret_variable,
)
from npsflow.agents.notify.ssrf_guard import NotAllowed, PublicResolver, expect_allowed, expect_public
from npsflow.agents.web.signatures import standard_webhook
from npsflow.schemas import codec
from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.settings import parse
from npsflow.streams.notify.message import build_message

from .conformance import Case, Conformance, events, with_private
from .ends import Endpoint
from .test_kinds import a_slack, a_slack_webhook, a_webhook, a_zendesk, an_email
from .zendesk import ZendeskApi

# Webhooks


async def test_while_one_secret_replaces_the_other_both_sign(tmp_path: Path) -> None:
    new = "whsec_bmV3IHNlY3JldCBvZiB0d2VudHktZm91cg=="
    async with a_webhook(tmp_path) as case:
        notifier, secrets = (
            case.notifier(),
            {secret_variable("desk"): new, secret_variable("desk") + "_NEXT": case.secret},
        )
        async with open_sender("desk", kinds.named("webhook"), notifier, secrets) as sender:
            assert isinstance(await sender.send(Conformance(case).message(events()[0])), Delivered)


@pytest.mark.parametrize(
    ("status", "kind"), [(410, Disabled), (404, RetryLater), (400, RetryLater), (301, RetryLater), (503, RetryLater)]
)
async def test_what_a_webhook_is_answered(tmp_path: Path, status: int, kind: type) -> None:
    async with a_webhook(tmp_path) as case:
        assert isinstance(case.end, Endpoint)
        case.end.status = status
        async with case.sending() as sender:
            assert isinstance(await sender.send(Conformance(case).message(events()[0])), kind)


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    asked = []

    async def lead(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_post("/{name}", lead)
    async with TestServer(app) as server:
        options = f'to = {{ "*" = "{server.make_url("/here")}" }}\noptions = {{ internal = true }}'
        case = Case("webhook", options, Endpoint.SECRET, Endpoint())
        async with case.sending() as sender:
            result = await sender.send(Conformance(case).message(events()[0]))
            assert isinstance(result, RetryLater)
            assert result[:3] == ("it answers 307", 0.0, "address")
    assert asked == ["/here"]


async def test_an_address_that_is_none(tmp_path: Path) -> None:
    async with a_webhook(tmp_path) as case, case.sending() as sender:
        message = Conformance(case).message(events()[0])
        for address in ("https://[nothing", "example.com/hook", "https://", "https://example.com:port/"):
            result = await sender.send(replace(message, to=address))
            assert isinstance(result, Unavailable), address


def test_the_library_of_the_specification_reads_what_is_signed() -> None:
    """A secret that is no base64 is its own bytes, as intake has it; the library knows the others."""
    body = b'{"a":1}'
    signed = {"webhook-id": "i", "webhook-timestamp": "1772377331"}
    signed["webhook-signature"] = standard_webhook(Endpoint.SECRET, "i", "1772377331", body)
    at = datetime.fromtimestamp(1772377331, UTC)
    assert Webhook(Endpoint.SECRET).sign("i", at, body.decode()) == signed["webhook-signature"]


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://10.1.2.3/", "https://192.168.0.1", "https://169.254.169.254/latest/meta-data",
        "https://[::1]/", "https://[fe80::1]/", "https://[fc00::1]/", "https://0.0.0.0/", "https://224.0.0.1/",
        "https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://100.64.0.1/",
        "https://[::7f00:1]/", "https://[::ffff:0:a00:1]/", "https://[fec0::1]/", "https://[64:ff9b:1::a00:1]/",
        "http://example.com/", "ftp://example.com/", "https://user:word@example.com/",
    ],
)  # fmt: skip
def test_addresses_of_our_own_network_are_not_allowed(url: str) -> None:
    with pytest.raises(NotAllowed):
        expect_allowed(URL(url), internal=False)
    expect_allowed(URL(url), internal=True)


def test_public_addresses_are() -> None:
    for url in ("https://example.com/hook", "https://93.184.215.14/", "https://[2606:2800:21f:cb07::1]/"):
        expect_allowed(URL(url), internal=False)


async def test_a_name_may_not_lead_into_our_own_network(tmp_path: Path) -> None:
    """Whatever it is called: where it resolves to is where the connection would go."""
    with pytest.raises(NotAllowed):
        await PublicResolver().resolve("localhost", 443)
    expect_public("93.184.215.14")
    reached = asyncio.Event()

    @asynccontextmanager
    async def listening() -> AsyncIterator[int]:
        server = await asyncio.start_server(lambda *_: reached.set(), "127.0.0.1", 0, family=socket.AF_INET)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async with listening() as port:
        for host in ("localhost", "127.0.0.1", "2130706433", "127.1"):
            case = Case("webhook", 'to = { "*" = "https://example.com/" }', Endpoint.SECRET, Endpoint())
            async with case.sending() as sender:
                message = Conformance(case).message(events()[0])
                result = await sender.send(replace(message, to=f"https://{host}:{port}/"))
                assert isinstance(result, Unavailable), (host, result)
                assert "internal" in result.reason or "address is none" in result.reason
    assert not reached.is_set()


# Slack


async def test_a_thread_stays_in_its_channel(tmp_path: Path) -> None:
    """Whoever the case goes to next gets a message of their own."""
    async with a_slack(tmp_path) as case:
        first, second, third = events()
        check = Conformance(case)
        async with case.sending() as sender:
            root = await sender.send(check.message(first))
            assert isinstance(root, Delivered)
            await sender.send(replace(check.message(second, thread=root.reference), to="C0ANNA"))
            await sender.send(check.message(third, thread=root.reference))
        assert [(got.to, bool(got.thread)) for got in case.end.received] == [
            ("C0ALL", False), ("C0ANNA", False), ("C0ALL", True)
        ]  # fmt: skip


async def test_what_its_thread_does_not_take_stands_by_itself(tmp_path: Path) -> None:
    async with a_slack(tmp_path) as case, case.sending() as sender:
        message = Conformance(case).message(events()[1], thread="C0ALL 1.5")
        assert isinstance(await sender.send(message), Delivered)
        assert [got.thread for got in case.end.received] == [""]


async def test_a_channel_that_is_not_there_may_come(tmp_path: Path) -> None:
    async with a_slack(tmp_path) as case, case.sending() as sender:
        message = replace(Conformance(case).message(events()[0]), to="C0NONE")
        result = await sender.send(message)
        assert isinstance(result, Unavailable)
        assert result.concerns == "address"
        assert result.reason.startswith("it cannot write there: channel_not_found: name a channel that is there")


@pytest.mark.parametrize(
    ("text", "type"), [("ok", "text/plain"), ("{", "application/json"), ("[]", "application/json")]
)
async def test_an_answer_of_slack_that_makes_no_sense(text: str, type: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type=type)

    app = web.Application()
    app.router.add_post("/chat.postMessage", answer)
    async with TestServer(app) as server:
        settings = f'to = {{ "*" = "C1" }}\noptions = {{ api = "{server.make_url("/")}" }}'
        case = Case("slack", settings, "xoxb-1", Endpoint())
        async with case.sending() as sender:
            assert not isinstance(await sender.send(Conformance(case).message(events()[0])), Delivered)


# E-mail


async def test_owners_get_mail_and_those_who_are_informed_a_copy(tmp_path: Path) -> None:
    async with an_email(tmp_path) as case:
        to = 'to = { "*" = "team@example.com", anna = "anna@example.com", boss = "boss@example.com" }'
        case.settings = case.settings.replace('to = { "*" = "team@example.com" }', to)
        first = events()[0]
        sent = first._replace(case=first.case | {"owner": "anna", "informed": ["boss", "KAM-7", "anna"]})
        async with case.sending() as sender:
            await sender.send(Conformance(case).message(sent))
            escalated = sent._replace(name="escalated")
            escalated.case["history"] = [{"what": "escalated", "assignee": "boss"}]
            await sender.send(replace(Conformance(case).message(escalated), id="c-1.9"))
        assert [(got.to, str(got.data["Cc"])) for got in case.end.received] == [
            ("anna@example.com", "boss@example.com"), ("boss@example.com", "anna@example.com")
        ]  # fmt: skip


async def test_a_title_brings_no_headers(tmp_path: Path) -> None:
    async with an_email(tmp_path) as case, case.sending() as sender:
        first = events()[0]
        case_ = first.case | {"department": "Support\r\nBcc: all@example.com\r\n\r\nhello", "owner": "a\nb"}
        await sender.send(Conformance(case).message(first._replace(case=case_)))
        (got,) = case.end.received
        assert "Bcc" not in got.data
        assert "Support Bcc: all@example.com hello" in str(got.data["Subject"])


async def test_an_address_that_is_refused_is_not_tried_again(tmp_path: Path) -> None:
    async with an_email(tmp_path) as case, case.sending() as sender:
        message = replace(Conformance(case).message(events()[0]), to="nobody@example.org")
        assert await sender.send(message) == Rejected("it answers 550", "550 no such user here")


async def test_a_copy_that_is_refused_keeps_nobody_from_theirs(tmp_path: Path) -> None:
    async with an_email(tmp_path) as case, case.sending() as sender:
        message = replace(Conformance(case).message(events()[0]), cc=("nobody@example.org", "boss@example.com"))
        assert isinstance(await sender.send(message), Delivered)
        (got,) = case.end.received
        assert got.data["X-RcptTo"] == "team@example.com, boss@example.com"


async def test_whoever_it_is_for_is_refused_with_a_copy_for_another(tmp_path: Path) -> None:
    """It does not count as told when only the copy would arrive, and nobody gets a copy of each try."""
    async with an_email(tmp_path) as case, case.sending() as sender:
        message = replace(Conformance(case).message(events()[0]), to="nobody@example.org", cc=("boss@example.com",))
        assert await sender.send(message) == Rejected("it answers 550", "550 no such user here")
        assert case.end.received == []


@pytest.mark.parametrize("address", ["", "nobody", "a@b@c", "two words", "@", "a@example.com\r\nBcc: b@example.com"])
async def test_an_address_of_mail_that_is_none(tmp_path: Path, address: str) -> None:
    async with an_email(tmp_path) as case, case.sending() as sender:
        result = await sender.send(replace(Conformance(case).message(events()[0]), to=address))
        assert isinstance(result, Unavailable)
        assert case.end.received == []


async def test_a_server_that_refuses_our_sender_may_be_mended(tmp_path: Path) -> None:
    """It says nothing about this message: all others would be refused as well."""
    async with an_email(tmp_path) as case:
        case.settings = case.settings.replace("npsflow@example.com", "npsflow@example.net")
        async with case.sending() as sender:
            result = await sender.send(Conformance(case).message(events()[0]))
            assert isinstance(result, Unavailable)
            assert result.reason == "it refuses our sender (553): check options.sender"


async def test_no_mail_without_tls(tmp_path: Path) -> None:
    """Of an authority that nobody knows, or of none."""
    async with an_email(tmp_path) as case:
        known = case.settings
        for change in ((f', ca = "{case.end.ca}"', ""), ("user =", "starttls = false, user =")):  # type: ignore[attr-defined]
            case.settings = known.replace(*change)
            async with case.sending() as sender:
                assert isinstance(await sender.send(Conformance(case).message(events()[0])), Unavailable)
        assert case.end.received == []


# Zendesk


async def test_the_ticket_of_the_survey_is_annotated(tmp_path: Path) -> None:
    async with a_zendesk(tmp_path) as case, case.sending() as sender:
        zendesk = case.end
        assert isinstance(zendesk, ZendeskApi)
        zendesk.open(35)
        sent = events(reference={"type": "ticket", "id": "35"})
        check = Conformance(case)
        for one in (*sent, *sent):  # each once more, as after a crash
            assert await sender.send(check.message(one)) == Delivered("35")
        assert [got.id for got in zendesk.received] == [one.id for one in sent]
        assert [comment["public"] for comment in zendesk.comments[35]] == [True, False, False, False]


@pytest.mark.parametrize("status", ["closed", None])
async def test_where_no_note_can_be_made_a_ticket_is_opened(tmp_path: Path, status: str | None) -> None:
    async with a_zendesk(tmp_path) as case, case.sending() as sender:
        zendesk = case.end
        assert isinstance(zendesk, ZendeskApi)
        if status is not None:
            zendesk.open(35, status)
        first, second, _ = events(reference={"type": "ticket", "id": "35"})
        check = Conformance(case)
        opened_ = await sender.send(check.message(first))
        assert isinstance(opened_, Delivered)
        assert opened_.reference != "35"
        ticket = zendesk.tickets[int(opened_.reference)]
        assert ticket["external_id"] == first.case_id
        assert ticket.get("via_followup_source_id") == (35 if status else None)
        # No answer, and Zendesk does not know the key any more.
        zendesk.forget_keys()
        assert await sender.send(check.message(first)) == opened_
        assert await sender.send(check.message(second, thread=opened_.reference)) == opened_
        assert [got.id for got in zendesk.received] == [first.id, second.id]


async def test_a_reference_of_another_kind_is_none(tmp_path: Path) -> None:
    async with a_zendesk(tmp_path) as case, case.sending() as sender:
        check = Conformance(case)
        sent = events(reference={"type": "order", "id": "35"})
        assert isinstance(await sender.send(check.message(sent[0])), Delivered)
        odd = events(reference={"type": "ticket", "id": "../users"})
        other = odd[0]._replace(id="c-9.1", case=odd[0].case | {"case_id": "c-9"})
        assert isinstance(await sender.send(check.message(other)), Delivered)  # of another system: a ticket is opened


async def test_a_case_whose_ticket_is_closed_has_one_follow_up(tmp_path: Path) -> None:
    async with a_zendesk(tmp_path) as case, case.sending() as sender:
        zendesk = case.end
        assert isinstance(zendesk, ZendeskApi)
        zendesk.open(35)
        sent = events(reference={"type": "ticket", "id": "35"})
        check = Conformance(case)
        root = await sender.send(check.message(sent[0]))
        assert root == Delivered("35")
        zendesk.tickets[35]["status"] = "closed"
        again = [await sender.send(check.message(one, thread="35")) for one in (*sent[1:], *sent[1:])]
        assert again == [Delivered("36")] * 4
        assert [got.id for got in zendesk.received] == [one.id for one in sent]


async def test_a_ticket_that_was_solved_before_the_survey_is_opened_again(tmp_path: Path) -> None:
    """Only then does its solving mean something; what is told afterwards leaves it as it is."""
    async with a_zendesk(tmp_path) as case, case.sending() as sender:
        zendesk = case.end
        assert isinstance(zendesk, ZendeskApi)
        zendesk.open(35, "solved")
        first, second, _ = events(reference={"type": "ticket", "id": "35"})
        check = Conformance(case)
        assert await sender.send(check.message(first)) == Delivered("35")
        assert zendesk.tickets[35]["status"] == "open"
        zendesk.solve(35, "2026-03-02T10:00:00Z")
        assert await sender.send(check.message(second, thread="35")) == Delivered("35")
        assert zendesk.tickets[35]["status"] == "solved"


# All


async def test_a_message_about_nobody_in_particular() -> None:
    """A suppressed alert has no owner, no history and no due date."""
    notifier = Case("console", "", "", Endpoint()).notifier('events = ["suppressed"]\nlanguage = "nl"')
    first = events()[0]
    case = {"reason": "opted_out", "alert_id": "a-1", "metric": "nps", "score": 1, "severity": "critical"}
    message = build_message(first._replace(name="suppressed", case=case), notifier)
    assert message.title == "Geen actie, wil geen contact: NPS 1, -"
    assert codec.dumps(message.data)
    async with open_sender("desk", kinds.named("console"), notifier, {secret_variable("desk"): ""}) as sender:
        assert isinstance(await sender.send(message), Delivered)


async def test_a_next_secret_that_nothing_uses_is_refused(tmp_path: Path) -> None:
    notifier = parse('[notify.desk]\nkind = "slack_webhook"\nto = { "*" = "team" }').notify["desk"]
    secrets = {
        secret_variable("desk"): "https://a.example/hook",
        secret_variable("desk") + "_NEXT": "https://b.example/hook",
    }
    with pytest.raises(SettingsError, match="NPSFLOW_SECRET_NOTIFY_DESK_NEXT has no effect on this kind"):
        async with open_sender("desk", kinds.named("slack_webhook"), notifier, secrets):
            pass


# What is about us, about an address, about one message


@pytest.mark.parametrize(
    ("code", "kind", "concerns"),
    [
        ("invalid_auth", Unavailable, "receiver"), ("token_revoked", Unavailable, "receiver"),
        ("account_inactive", Unavailable, "receiver"), ("missing_scope", Unavailable, "receiver"),
        ("is_archived", Unavailable, "address"), ("not_in_channel", Unavailable, "address"),
        ("channel_is_archived", Unavailable, "address"),
        ("restricted_action_read_only_channel", Unavailable, "address"),
        ("ratelimited", Unavailable, "receiver"), ("internal_error", RetryLater, "receiver"),
        ("something_new", RetryLater, "receiver"),
    ],
)  # fmt: skip
async def test_what_slack_says_of_us(code: str, kind: type, concerns: str) -> None:
    """What nobody knows is tried again: only what is wrong with a message gives it up."""
    result = await _slack_answers(code)
    assert isinstance(result, RetryLater | Unavailable)
    assert isinstance(result, kind)
    assert result.concerns == concerns
    assert code == "ratelimited" or code in result.reason


@pytest.mark.parametrize("code", ["invalid_blocks", "msg_too_long", "no_text", "msg_blocks_too_long"])
async def test_what_slack_says_of_a_message(code: str) -> None:
    assert isinstance(await _slack_answers(code), Rejected)


async def _slack_answers(code: str) -> Result:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"ok": False, "error": code})

    app = web.Application()
    app.router.add_post("/chat.postMessage", answer)
    async with TestServer(app) as server:
        settings = f'to = {{ "*" = "C1" }}\noptions = {{ api = "{server.make_url("/")}" }}'
        async with Case("slack", settings, "xoxb-1", Endpoint()).sending() as sender:
            return await sender.send(Conformance(Case("slack", settings, "x", Endpoint())).message(events()[0]))


async def test_text_alone_says_what_matters(tmp_path: Path) -> None:
    """As Mattermost and Rocket.Chat show it."""
    first = events(reference={"type": "ticket", "id": "35", "url": "https://example.com/t/35?a=1&b=2"})[0]
    sent = first._replace(case=first.case | {"response_url": "https://example.com/r/7"})
    async with a_slack_webhook(tmp_path) as case, case.sending() as sender:
        message = Conformance(case).message(sent, 'private = ["comment"]\ntexts = { opened = "{department}" }')
        assert isinstance(await sender.send(message), Delivered)
        text = unescape(case.end.received[0].data["text"].replace("\u200b", ""))
    for word in ("Support [critical]", "NPS 1", "Due: 20", "> Nobody", "a=1&b=2", "https://example.com/r/7"):
        assert word in text


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("status", [403, 404, 410, 422])
async def test_a_ticket_that_is_not_for_us_has_a_new_one_in_its_place(tmp_path: Path, method: str, status: int) -> None:
    """It says nothing about the other tickets, and a message that is repeated makes no second one."""
    async with a_zendesk(tmp_path) as case, case.sending() as sender:
        zendesk = case.end
        assert isinstance(zendesk, ZendeskApi)
        for number in (9, 10):
            zendesk.open(number)
        zendesk.refusals[method, "/api/v2/tickets/9.json"] = status
        first, second, _ = events(reference={"type": "ticket", "id": "9"})
        check = Conformance(case)
        opened = await sender.send(check.message(first))
        assert isinstance(opened, Delivered)
        assert opened.reference not in ("9", "10")
        zendesk.forget_keys()
        assert await sender.send(check.message(first)) == opened
        assert await sender.send(check.message(second, thread=opened.reference)) == opened
        ten = {"case_id": "c-9", "reference": {"type": "ticket", "id": "10"}}
        other = first._replace(id="c-9.1", case=first.case | ten)
        assert await sender.send(check.message(other)) == Delivered("10")
        assert [got.id for got in zendesk.received] == [first.id, second.id, "c-9.1"]


async def test_a_suspended_requester_keeps_no_ticket_from_being_opened(tmp_path: Path) -> None:
    async with a_zendesk(tmp_path) as case, case.sending() as sender:
        zendesk = case.end
        assert isinstance(zendesk, ZendeskApi)
        zendesk.suspended = {"pietje@example.com"}
        first = with_private(events()[0])
        opened = await sender.send(Conformance(case).message(first, 'private = ["email"]'))
        assert isinstance(opened, Delivered)
        assert "requester" not in zendesk.tickets[int(opened.reference)]
