"""Zendesk: a case annotates the ticket that the survey was about, or opens one; that it is solved resolves the case.

Sources: developer.zendesk.com, Ticketing API: tickets (create, update, list by external_id, show_many, sideloaded
metric_sets), ticket comments, introduction (Idempotency-Key, which only the creation of tickets knows, and rate
limits). Every note ends with the event's id, by which a repeated one is found before it is written again.
"""

import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from msgspec import Struct
from yarl import URL

from npsflow.agents.notify.http import TIMEOUT, failed, unanswered
from npsflow.agents.notify.kind import Delivered, Done, Kind, Result, Unknown
from npsflow.agents.notify.ssrf_guard import expect_tls
from npsflow.schemas import codec
from npsflow.schemas.cases import event_type
from npsflow.streams.notify.message import Message

log = logging.getLogger(__name__)

_TO_DO = (event_type("opened"), event_type("reopened"))  # what asks somebody to act
_PRIORITIES = {"critical": "urgent", "high": "high", "medium": "normal"}
_MOST_SUBJECT = 150
_MOST_ANSWER = 8 << 20
_AT_ONCE = 100  # tickets that show_many takes


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """`url`: as https://company.zendesk.com; `user`: the agent's e-mail address, of whom the secret is an API token.

    `resolve`: whether a solved ticket resolves its case, with this `root_cause`.
    """

    url: str
    user: str
    resolve: bool = True
    root_cause: str = "solved_in_zendesk"

    def __post_init__(self) -> None:
        expect_tls("url", self.url)


class _Failed(Exception):
    """An answer that is no success, or none."""

    def __init__(self, result: Result, status: int = 0) -> None:
        super().__init__()
        self.result, self.status = result, status


class Zendesk:
    def __init__(self, session: aiohttp.ClientSession, options: Options) -> None:
        self._session, self._options, self._base = session, options, URL(options.url)

    async def send(self, message: Message) -> Result:
        try:
            return Delivered(await self._told(message))
        except _Failed as failure:
            return failure.result

    async def done(self, references: Sequence[str]) -> list[Done]:
        """Of these tickets those that are solved; nothing where Zendesk does not answer."""
        found: list[Done] = []
        if not self._options.resolve:
            return found
        for start in range(0, len(references), _AT_ONCE):
            ids = ",".join(references[start : start + _AT_ONCE])
            try:
                answer = await self._ask("GET", "tickets/show_many.json", {"ids": ids, "include": "metric_sets"})
            except _Failed as failure:
                log.warning("it does not say which tickets are solved", extra={"why": failure.result[0]})
                return found
            solved = {str(one.get("ticket_id")): one.get("solved_at") for one in answer.get("metric_sets", ())}
            for ticket in answer.get("tickets", ()):
                name = str(ticket.get("id"))
                if ticket.get("status") in ("solved", "closed") and solved.get(name):
                    said = f"Solved in Zendesk, ticket {name}"
                    action = f"zendesk-{name}-{solved[name]}"
                    at, final = str(solved[name]), ticket["status"] == "closed"
                    found.append(Done(name, action, "zendesk", at, self._options.root_cause, said, final))
        return found

    async def _told(self, message: Message) -> str:
        """The ticket that holds it now. Raises _Failed."""
        found = await self._found(message.thread)
        if found is None or found["status"] == "closed":  # that takes nothing any more, but may have a follow-up
            found = await self._opened_before(message) or found or await self._found(message.ticket)
        if found is None:
            return await self._create(message, None)
        ticket = str(found["id"])
        if found["status"] == "closed":
            return await self._create(message, ticket)
        if not await self._stands(ticket, message.id):
            # One that was solved before the survey tells nobody anything, and its solving would resolve nothing.
            again = found["status"] == "solved" and message.type in _TO_DO
            body = {"comment": _note(message)} | ({"status": "open"} if again else {})
            await self._ask("PUT", f"tickets/{ticket}.json", body={"ticket": body})
        return ticket

    async def _found(self, ticket: str) -> dict[str, Any] | None:
        """None where it is of another account or system, or deleted."""
        if not ticket.isascii() or not ticket.isdigit():
            return None
        try:
            return _ticket((await self._ask("GET", f"tickets/{ticket}.json")).get("ticket"))
        except _Failed as failure:
            if failure.status != 404:
                raise
            return None

    async def _opened_before(self, message: Message) -> dict[str, Any] | None:
        """The newest that we opened; a try without an answer may have, and Zendesk soon forgets its key."""
        answer = await self._ask("GET", "tickets.json", {"external_id": _external(message)})
        return max(map(_ticket, answer.get("tickets") or ()), key=lambda ticket: int(ticket["id"]), default=None)

    async def _stands(self, ticket: str, event_id: str) -> bool:
        newest = {"sort_order": "desc", "per_page": "100"}
        comments = (await self._ask("GET", f"tickets/{ticket}/comments.json", newest)).get("comments", ())
        return any(_mark(event_id) in str(comment.get("body", "")) for comment in comments)

    async def _create(self, message: Message, closed: str | None) -> str:
        ticket: dict[str, Any] = {
            "subject": message.title[:_MOST_SUBJECT],
            "comment": _note(message),
            "external_id": _external(message),
            "tags": ["npsflow"],
        }
        if message.severity in _PRIORITIES:
            ticket["priority"] = _PRIORITIES[message.severity]
        if closed is not None:
            ticket["via_followup_source_id"] = int(closed)
        if email := message.data.get("email"):
            ticket["requester"] = {"email": email, "name": message.data.get("name") or email}
        answer = await self._ask("POST", "tickets.json", body={"ticket": ticket}, key=message.id)
        return str(_ticket(answer.get("ticket"))["id"])

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, *, body: Any = None, key: str = ""
    ) -> dict[str, Any]:
        """Raises _Failed."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        asking = self._session.request(
            method, self._base / "api/v2" / path, params=query, headers=headers, allow_redirects=False, timeout=TIMEOUT,
            data=None if body is None else codec.dumps(body),
        )  # fmt: skip
        try:
            async with asking as answer:
                if answer.status not in (200, 201):
                    raise _Failed(failed(answer.status, answer.headers), answer.status)
                found = codec.loads(await answer.content.read(_MOST_ANSWER))
        except (aiohttp.ClientError, TimeoutError, OSError, codec.NotJson) as error:
            raise _Failed(unanswered(error)) from None
        return found if isinstance(found, dict) else {}


def _ticket(found: Any) -> dict[str, Any]:
    """What we need of one is there. Raises _Failed."""
    if not isinstance(found, dict) or not str(found.get("id")).isdigit() or not isinstance(found.get("status"), str):
        raise _Failed(Unknown("its answer cannot be read"))
    return found


def _external(message: Message) -> str:
    """One ticket for each case."""
    return message.case_id or message.id


def _mark(event_id: str) -> str:
    return f"[npsflow {event_id}]"


def _note(message: Message) -> dict[str, Any]:
    """For the team, not for the customer."""
    return {"body": f"{message.text()}\n\n{_mark(message.id)}", "public": False}


@asynccontextmanager
async def _open(options: Options, secrets: Sequence[str]) -> AsyncIterator[Zendesk]:
    login = b64encode(f"{options.user}/token:{secrets[0]}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    async with aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Zendesk(session, options)


KIND = Kind(Options, _open, "an API token of Zendesk", per_second=1.0)
