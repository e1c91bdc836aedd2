"""Zendesk: a case adds notes to the ticket that the survey was about, or opens one; a solved ticket resolves the case.

Sources: developer.zendesk.com, Ticketing API: tickets (create, update, list by external_id, show_many, sideloaded
metric_sets), ticket comments, introduction (Idempotency-Key, which only the creation of tickets knows, and rate
limits). Every note ends with the event's id, by which a repeated one is found before it is written again.

A ticket that takes no note (deleted, closed, merged, of a group that our agent may not see) says nothing about others:
a new one is opened in its place. Where Zendesk does not take the customer as its requester (suspended), it has none.
"""

import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from msgspec import Struct
from yarl import URL

from npsflow.agents.notify.http import TIMEOUT, failed, host_and_port, unanswered, words_of
from npsflow.agents.notify.kind import Delivered, Kind, Resolution, Result, Unconfirmed
from npsflow.agents.notify.ssrf_guard import expect_tls
from npsflow.schemas import codec
from npsflow.schemas.cases import event_type
from npsflow.streams.notify.message import Message

log = logging.getLogger(__name__)

_CALLS_TO_ACT = (event_type("opened"), event_type("reopened"))
_PRIORITIES = {"critical": "urgent", "high": "high", "medium": "normal"}
_MAX_SUBJECT = 150
_MAX_ANSWER = 8 << 20  # bytes
_MAX_TICKETS = 100  # that show_many takes
_TAKES_NO_NOTE = (403, 404, 410, 422)


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
    """There is no answer, or one that is no success."""

    def __init__(self, result: Result, status: int = 0) -> None:
        super().__init__()
        self.result, self.status = result, status


class Zendesk:
    """One account; a reference is the id of a ticket."""

    def __init__(self, session: aiohttp.ClientSession, options: Options) -> None:
        self._session, self._options, self._base = session, options, URL(options.url)

    async def send(self, message: Message) -> Result:
        """Add a note to the case's ticket, or open one."""
        try:
            return Delivered(await self._write(message))
        except _Failed as failure:
            return failure.result

    def receiver(self, _: str) -> str:
        """Host and port of the account."""
        return host_and_port(self._base)

    async def resolutions(self, references: Sequence[str]) -> list[Resolution]:
        """Those of these tickets that are solved; fewer if Zendesk does not answer."""
        resolutions: list[Resolution] = []
        if not self._options.resolve:
            return resolutions
        for start in range(0, len(references), _MAX_TICKETS):
            ids = ",".join(references[start : start + _MAX_TICKETS])
            try:
                answer = await self._ask("GET", "tickets/show_many.json", {"ids": ids, "include": "metric_sets"})
            except _Failed as failure:
                log.warning("it does not say which tickets are solved", extra={"why": failure.result[0]})
                return resolutions
            solved = {str(row.get("ticket_id")): row.get("solved_at") for row in answer.get("metric_sets", ())}
            for ticket in answer.get("tickets", ()):
                reference = str(ticket.get("id"))
                if ticket.get("status") in ("solved", "closed") and (at := solved.get(reference)):
                    resolution = Resolution(
                        reference,
                        action_id=f"zendesk-{reference}-{at}",
                        by="zendesk",
                        at=str(at),
                        root_cause=self._options.root_cause,
                        comment=f"Solved in Zendesk, ticket {reference}",
                        final=ticket["status"] == "closed",
                    )
                    resolutions.append(resolution)
        return resolutions

    async def _write(self, message: Message) -> str:
        """Returns the id of the ticket that has it now. Raises _Failed."""
        ticket = await self._find(message.thread)
        if ticket is None or ticket["status"] == "closed":  # a closed ticket takes no notes, but may have a follow-up
            ticket = await self._find_opened(message) or ticket or await self._find(message.ticket)
        if ticket is None:
            return await self._create(message, None)
        ticket_id = str(ticket["id"])
        if ticket["status"] == "closed":
            return await self._create(message, ticket_id)
        try:
            await self._add_note(ticket, message)
        except _Failed as failure:
            if failure.status not in _TAKES_NO_NOTE:
                raise
            return await self._write_elsewhere(message, ticket_id)
        return ticket_id

    async def _write_elsewhere(self, message: Message, closed_to_us: str) -> str:
        """As `_write`, in place of a ticket that takes no note. Raises _Failed."""
        opened = await self._find_opened(message)  # perhaps in an attempt without an answer
        if opened is None or str(opened["id"]) == closed_to_us or opened["status"] == "closed":
            return await self._create(message, None)
        await self._add_note(opened, message)
        return str(opened["id"])

    async def _add_note(self, ticket: Mapping[str, Any], message: Message) -> None:
        """Unless it has the note already. Raises _Failed."""
        ticket_id = str(ticket["id"])
        if not await self._has_note(ticket_id, message.id):
            # Nobody sees a note on a ticket that was solved before the survey, and it cannot be solved once more.
            reopens = ticket["status"] == "solved" and message.type in _CALLS_TO_ACT
            body = {"comment": _note(message)} | ({"status": "open"} if reopens else {})
            await self._ask("PUT", f"tickets/{ticket_id}.json", body={"ticket": body})

    async def _find(self, ticket: str) -> dict[str, Any] | None:
        """None if it is deleted, not for us, or of another account or system. Raises _Failed."""
        if not ticket.isascii() or not ticket.isdigit():
            return None
        try:
            return _ticket((await self._ask("GET", f"tickets/{ticket}.json")).get("ticket"))
        except _Failed as failure:
            if failure.status not in _TAKES_NO_NOTE:
                raise
            return None

    async def _find_opened(self, message: Message) -> dict[str, Any] | None:
        """The newest ticket that we opened, perhaps in an attempt without an answer. Raises _Failed."""
        answer = await self._ask("GET", "tickets.json", {"external_id": _external_id(message)})
        return max(map(_ticket, answer.get("tickets") or ()), key=lambda ticket: int(ticket["id"]), default=None)

    async def _has_note(self, ticket: str, event_id: str) -> bool:
        newest = {"sort_order": "desc", "per_page": "100"}
        comments = (await self._ask("GET", f"tickets/{ticket}/comments.json", newest)).get("comments", ())
        return any(_mark(event_id) in str(comment.get("body", "")) for comment in comments)

    async def _create(self, message: Message, closed: str | None) -> str:
        ticket: dict[str, Any] = {
            "subject": message.title[:_MAX_SUBJECT],
            "comment": _note(message),
            "external_id": _external_id(message),
            "tags": ["npsflow"],
        }
        if message.severity in _PRIORITIES:
            ticket["priority"] = _PRIORITIES[message.severity]
        more: dict[str, Any] = {}
        if closed is not None:
            more["via_followup_source_id"] = int(closed)
        if email := message.data.get("email"):
            more["requester"] = {"email": email, "name": message.data.get("name") or email}
        try:
            return await self._open(ticket | more, message.id)
        except _Failed as failure:
            if failure.status != 422 or not more:
                raise
            log.warning("a ticket is opened without its customer or predecessor", extra={"event": message.id})
            return await self._open(ticket, f"{message.id}.plain")

    async def _open(self, ticket: Mapping[str, Any], key: str) -> str:
        answer = await self._ask("POST", "tickets.json", body={"ticket": ticket}, key=key)
        return str(_ticket(answer.get("ticket"))["id"])

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, *, body: Any = None, key: str = ""
    ) -> dict[str, Any]:
        """The JSON object of an answer, {} for other JSON. Raises _Failed."""
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
                    raise _Failed(failed(answer.status, answer.headers, await words_of(answer)), answer.status)
                content = codec.loads(await answer.content.read(_MAX_ANSWER))
        except (aiohttp.ClientError, TimeoutError, OSError, codec.NotJson) as error:
            raise _Failed(unanswered(error)) from None
        return content if isinstance(content, dict) else {}


def _ticket(value: Any) -> dict[str, Any]:
    """Check that it is a ticket with id and status. Raises _Failed."""
    if not isinstance(value, dict) or not str(value.get("id")).isdigit() or not isinstance(value.get("status"), str):
        raise _Failed(Unconfirmed("its answer cannot be read"))
    return value


def _external_id(message: Message) -> str:
    """The same for all messages about a case: it has one ticket."""
    return message.case_id or message.id


def _mark(event_id: str) -> str:
    return f"[npsflow {event_id}]"


def _note(message: Message) -> dict[str, Any]:
    """A note that the team sees, not the customer."""
    return {"body": f"{message.text()}\n\n{_mark(message.id)}", "public": False}


@asynccontextmanager
async def _open(options: Options, secrets: Sequence[str]) -> AsyncIterator[Zendesk]:
    login = b64encode(f"{options.user}/token:{secrets[0]}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    async with aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Zendesk(session, options)


KIND = Kind(Options, _open, "an API token of Zendesk", per_second=1.0)
