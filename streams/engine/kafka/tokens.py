"""Access tokens in place of a password: of an identity provider, or of a function of the user's.

Client credentials: OAuth 2.0, RFC 6749 section 4.4. What Kafka does with them: SASL OAUTHBEARER, RFC 7628.
"""

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiokafka.abc import AbstractTokenProvider

from npsflow.schemas.errors import NpsflowError, SettingsError
from npsflow.streams.engine.oauth import Granted, granted, used_for

_SECONDS = 10.0


class TokenRefused(NpsflowError, ConnectionError):
    """There is no token; the text says why, and holds no secret. `lasting`: the provider has answered and refuses."""

    def __init__(self, text: str, *, lasting: bool = False) -> None:
        super().__init__(text)
        self.lasting = lasting


Grant = Callable[[], Awaitable[Granted]]
"""Gives a new token. Raises TokenRefused."""


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """One token for all connections, until shortly before it ends; aiokafka asks for one at each login."""

    def __init__(self, grant: Grant, clock: Callable[[], float] = time.monotonic) -> None:
        self._grant, self._clock = grant, clock
        self._token, self._until = "", 0.0
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """The token. Raises TokenRefused."""
        async with self._lock:
            if (asked := self._clock()) >= self._until:
                granted = await self._grant()
                self._token, self._until = granted.token, asked + granted.used_for
            return self._token


def of_provider(url: str, client: str, secret: str, scope: str = "") -> Grant:
    """Tokens of the token endpoint `url`, by client credentials."""

    async def grant() -> Granted:
        form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        login, where = {"Authorization": aiohttp.encode_basic_auth(client, secret)}, urlsplit(url).hostname
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_SECONDS)) as session,
                session.post(url, data=form, headers=login, allow_redirects=False) as answer,
            ):
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TokenRefused(f"no token: {where} does not answer ({type(error).__name__})") from None
        if (found := granted(body)) is None:
            lasting = answer.status < 500 and answer.status != 429
            raise TokenRefused(f"no token: {where} answers {answer.status}", lasting=lasting)
        return found

    return grant


def of_function(name: str) -> Grant:
    """Tokens of the function that `module:function` names. Raises SettingsError where there is none."""
    module, _, function = name.partition(":")
    try:
        made: Callable[[], Any] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"NPSFLOW_SASL_TOKEN_FUNCTION: {name} is not there ({type(error).__name__})") from None

    async def grant() -> Granted:
        try:
            given = await asyncio.to_thread(made)
        except Exception as error:  # whatever it raises: it is not ours
            raise TokenRefused(f"no token: {name} raised {type(error).__name__}") from None
        token, until = given if isinstance(given, tuple) else (given, None)
        return Granted(str(token), used_for(None if until is None else float(until) / 1000 - time.time()))

    return grant
