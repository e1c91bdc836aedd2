"""A stand-in of Zendesk's Ticketing API.

Source: developer.zendesk.com, Ticketing API: tickets, ticket comments, introduction (Idempotency-Key).
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from .ends import Got, HttpEnd

USER, TOKEN = "agent@example.com", "a-token-of-the-test"
_LOGIN = "Basic " + base64.b64encode(f"{USER}/token:{TOKEN}".encode()).decode()
_MOST_BODY = 65_535


class ZendeskApi(HttpEnd):
    def __init__(self) -> None:
        super().__init__()
        self.tickets: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.solved_at: dict[int, str] = {}
        self.looked: list[str] = []
        """The tickets that were asked for at once."""
        self.refusals: dict[tuple[str, str], int] = {}
        """The status of an answer in place of the good one, by method and path."""
        self.suspended: set[str] = set()
        """Who may not be the requester of a ticket."""
        self._keys: dict[str, tuple[Any, str | None]] = {}

    def open(self, number: int, status: str = "open") -> None:
        self.tickets[number] = {"id": number, "status": status, "subject": "A parcel"}
        self.comments[number] = [{"body": "Where is it?", "public": True}]

    def solve(self, number: int, at: str) -> None:
        self.tickets[number]["status"] = "solved"
        self.solved_at[number] = at

    def forget_keys(self) -> None:
        """As some time after the creation of a ticket."""
        self._keys.clear()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("Authorization") != _LOGIN:
            return web.json_response({"error": "Couldn't authenticate you"}, status=401)
        if status := self.refusals.get((request.method, request.path)):
            return web.json_response({"error": "Forbidden"}, status=status)
        writes = request.method != "GET"
        how = self.how() if writes else None
        if how not in (None, "silent"):
            return await self.answer(request, how, web.Response())
        return await self.answer(request, how, await handler(request))

    async def create(self, request: web.Request) -> web.Response:
        body, key = await request.json(), request.headers.get("Idempotency-Key", "")
        if key in self._keys:
            before, answer = self._keys[key]
            if before != body:
                return web.json_response({"error": "IdempotentRequestError"}, status=400)
            return web.json_response(text=answer, status=201, headers={"x-idempotency-lookup": "hit"})
        ticket = body["ticket"]
        if wrong := self._wrong(ticket, needs_comment=True):
            return wrong
        if ticket.get("requester", {}).get("email") in self.suspended:
            details = {"requester": [{"description": "Requester is suspended."}]}
            return web.json_response({"error": "RecordInvalid", "details": details}, status=422)
        source = ticket.get("via_followup_source_id")
        if source is not None and self.tickets[source]["status"] != "closed":
            return web.json_response({"error": "RecordInvalid"}, status=422)
        number = max(self.tickets, default=100) + 1
        self.tickets[number] = {"id": number, "status": "new", "comment": None} | ticket
        self.comments[number] = []
        self._comment(number, ticket["comment"], ticket)
        made = web.json_response({"ticket": self.tickets[number]}, status=201)
        self._keys[key] = body, made.text
        return made

    async def update(self, request: web.Request) -> web.Response:
        number, ticket = int(request.match_info["id"]), (await request.json())["ticket"]
        if number not in self.tickets:
            return web.json_response({"error": "RecordNotFound"}, status=404)
        if self.tickets[number]["status"] == "closed":
            details = {"status": [{"description": "Status: closed prevents ticket update"}]}
            return web.json_response({"error": "RecordInvalid", "details": details}, status=422)
        if wrong := self._wrong(ticket, needs_comment=False):
            return wrong
        self.tickets[number]["status"] = ticket.get("status", self.tickets[number]["status"])
        self._comment(number, ticket["comment"], ticket)
        return web.json_response({"ticket": self.tickets[number]})

    async def show(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        if number not in self.tickets:
            return web.json_response({"error": "RecordNotFound"}, status=404)
        return web.json_response({"ticket": self.tickets[number]})

    async def list_comments(self, request: web.Request) -> web.Response:
        comments = self.comments[int(request.match_info["id"])]
        newest = request.query.get("sort_order") == "desc"
        chosen = comments[::-1] if newest else comments
        return web.json_response({"comments": chosen[: int(request.query.get("per_page", 100))]})

    async def list_tickets(self, request: web.Request) -> web.Response:
        wanted = request.query["external_id"]
        return web.json_response({"tickets": [t for t in self.tickets.values() if t.get("external_id") == wanted]})

    async def show_many(self, request: web.Request) -> web.Response:
        self.looked.append(request.query["ids"])
        ids = [int(one) for one in request.query["ids"].split(",")]
        if len(ids) > 100:
            return web.json_response({"error": "TooManyIds"}, status=400)
        tickets = [self.tickets[one] for one in ids if one in self.tickets]
        metrics = [{"ticket_id": t["id"], "solved_at": self.solved_at.get(t["id"])} for t in tickets]
        found = {"tickets": tickets} | ({"metric_sets": metrics} if request.query.get("include") else {})
        return web.json_response(found)

    def _wrong(self, ticket: dict[str, Any], *, needs_comment: bool) -> web.Response | None:
        body = ticket.get("comment", {}).get("body", "")
        if (needs_comment and not body) or len(body) > _MOST_BODY or len(ticket.get("subject", "")) > 150:
            self.complaints.append("RecordInvalid")
            return web.json_response({"error": "RecordInvalid"}, status=422)
        return None

    def _comment(self, number: int, comment: dict[str, Any], ticket: dict[str, Any]) -> None:
        assert comment["public"] is False, "the customer would read it"
        self.comments[number].append(comment)
        name = comment["body"].rpartition("[npsflow ")[2].rstrip("]")
        shown = f"{ticket.get('subject', '')}\n{comment['body']}"
        self.received.append(Got(name, shown, ticket, "", str(number), str(number)))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application(client_max_size=1 << 22, middlewares=[self._guard])
        app.router.add_post("/api/v2/tickets.json", self.create)
        app.router.add_get("/api/v2/tickets.json", self.list_tickets)
        app.router.add_get("/api/v2/tickets/show_many.json", self.show_many)
        app.router.add_get(r"/api/v2/tickets/{id:\d+}.json", self.show)
        app.router.add_put(r"/api/v2/tickets/{id:\d+}.json", self.update)
        app.router.add_get(r"/api/v2/tickets/{id:\d+}/comments.json", self.list_comments)
        async with TestServer(app) as server:
            yield str(server.make_url(""))
