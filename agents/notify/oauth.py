"""Access tokens from the token endpoint of an OAuth 2 or OIDC provider, each used until shortly before it expires.

Sources: RFC 6749 4.4 (client credentials), 6 (refresh token), 5.2 (refusals); the client says who it is in the
body (2.3.1), as developers.google.com and learn.microsoft.com show it.
"""

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import aiohttp
from yarl import URL

from npsflow.agents.notify.http import TIMEOUT, host_and_port, in_words, unanswered, words_of
from npsflow.agents.notify.kind import Unavailable
from npsflow.agents.web.retry_after import retry_after
from npsflow.schemas import codec
from npsflow.streams.engine.oauth import Granted, granted

_CLOSED = 60.0  # seconds to wait at least where only somebody's work helps
_CODE = re.compile("[a-z_]{1,40}")  # of an error, RFC 6749 5.2


class Client(NamedTuple):
    """Who asks. `refresh_token`: the file that holds one; without it the client asks for itself."""

    url: str
    id: str
    secret: str
    scope: str = ""
    refresh_token: str = ""

    def __repr__(self) -> str:
        return f"Client({self.id!r}, …)"


class AccessTokens:
    """The token of one client. `clock` in seconds, from any beginning."""

    def __init__(
        self, session: aiohttp.ClientSession, client: Client, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session, self._client, self._clock = session, client, clock
        self._token, self._until = "", 0.0
        self._refresh_token = ""  # that of the last answer: some providers replace it each time
        self._lock = asyncio.Lock()

    async def get(self) -> str | Unavailable:
        """The token, a new one if there is none yet or it is about to expire; or why there is none."""
        async with self._lock:
            if self._clock() < self._until:
                return self._token
            try:
                answer = await self._ask()
            except (OSError, UnicodeDecodeError) as error:  # of the file; those of the network are aiohttp's
                return Unavailable(f"options.refresh_token cannot be read: {in_words(error)}", _CLOSED)
            return self._take(answer) if isinstance(answer, Granted) else answer

    def drop(self) -> None:
        """Use the token no more: whom it was shown to has refused it."""
        self._until = 0.0

    async def _ask(self) -> Granted | Unavailable:
        """The answer of the provider, or why it is of no use. Raises OSError for the file of the refresh token."""
        form = await self._form()
        try:
            async with self._session.post(
                self._client.url, data=form, timeout=TIMEOUT, allow_redirects=False
            ) as response:
                if response.status != 200:
                    return self._refused(response, await words_of(response))
                found = granted(await response.content.read(1 << 20))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Unavailable(f"{self._where()}: {unanswered(error).reason}")  # type: ignore[union-attr]
        if found is None:
            return Unavailable(f"{self._where()} answers without an access token: check options.token_url", _CLOSED)
        return found

    async def _form(self) -> dict[str, str]:
        client = self._client
        form = {"client_id": client.id, "client_secret": client.secret, "scope": client.scope}
        if client.refresh_token:
            kept = self._refresh_token or await asyncio.to_thread(Path(client.refresh_token).read_text)
            form |= {"grant_type": "refresh_token", "refresh_token": kept.strip()}
        else:
            form["grant_type"] = "client_credentials"
        return {name: value for name, value in form.items() if value}

    def _take(self, answer: Granted) -> str:
        self._token, self._until = answer.token, self._clock() + answer.used_for
        self._refresh_token = answer.refresh_token or self._refresh_token
        return self._token

    def _refused(self, response: aiohttp.ClientResponse, words: str) -> Unavailable:
        """What an answer means that holds no token."""
        seconds = retry_after(response.headers.get("Retry-After", ""), time.time())
        code, words = _error_of(words), f"{response.status} {words}"
        if response.status in (429, *range(500, 600)):
            return Unavailable(f"{self._where()} gives no token now ({response.status})", seconds, words=words)
        if code == "invalid_grant":
            self._refresh_token = ""  # whoever mends it puts a new one into the file
        what = f"{response.status} {code}".strip()
        cure = "get a new refresh token" if code == "invalid_grant" else "check client_id, scope and the secret"
        return Unavailable(f"{self._where()} refuses us ({what}): {cure}", seconds or _CLOSED, words=words)

    def _where(self) -> str:
        return f"the token endpoint {host_and_port(URL(self._client.url))}"


def _error_of(text: str) -> str:
    """The code of an error, "" if it is none that may be logged."""
    try:
        found = codec.loads(text.encode())
    except codec.NotJson:
        return ""
    code = found.get("error") if isinstance(found, dict) else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""
