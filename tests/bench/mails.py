"""`mails`: how much the process of an e-mail notifier grows from its thousandth mail to its ten thousandth.

Its real sender hands them to a real mail server, with STARTTLS and a login; that is in another process.
"""

import asyncio
import logging
import resource
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from npsflow.agents.notify import kinds
from npsflow.agents.notify.kind import Delivered, Sender, open_sender, secret_variable
from npsflow.streams.engine.installation import Installation
from npsflow.streams.notify.message import Message
from npsflow.streams.notify.settings import NotifierSettings
from tests.agents.notify import mail
from tests.bench.common import Process, report, say, scaled, tell

_PART, _PARTS = scaled(1_000), 10
_AT_ONCE = 4
_LIMIT = 1.1
_STATM = Path("/proc/self/statm")


def run(_at: Installation) -> None:
    if not _STATM.exists():
        say("mails: not measured, this system has no /proc/self/statm")
        return
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # of the server, a warning for each mail
    say(f"mails: {_PARTS * _PART:,} are sent")
    first, *_, last = asyncio.run(_served())
    report("mails", last / first, f"of RSS after {_PART:,}", _LIMIT, first_mb=first / 1e6, last_mb=last / 1e6)


async def _served() -> list[int]:
    with TemporaryDirectory() as folder:
        end = mail.Mail(Path(folder))
        end.replies["DATA"] = "250 OK"  # unread
        async with end.running("starttls") as port:
            found = await asyncio.to_thread(_measure, str(port), str(end.ca))
        assert len(end.senders) == _PARTS * _PART, f"{len(end.senders)} mails came"
        return found


def _measure(port: str, ca: str) -> list[int]:
    """Bytes after each part."""
    with Process("mails", port, ca) as process:
        return [process.answer()["resident"] for _ in range(_PARTS)]


def main() -> None:
    port, ca = sys.argv[1:]
    asyncio.run(_send(int(port), ca))


async def _send(port: int, ca: str) -> None:
    options = {"host": "localhost", "port": port, "sender": "npsflow@example.com", "user": mail.USER, "ca": ca}
    notifier = NotifierSettings(kind="email", to={"*": "team@example.com"}, options=options)
    secrets = {secret_variable("mail"): mail.PASSWORD}
    async with open_sender("mail", kinds.named("email"), notifier, secrets) as sender:
        for part in range(_PARTS):
            numbers = iter(range(part * _PART, (part + 1) * _PART))
            await asyncio.gather(*(_send_all(sender, numbers) for _ in range(_AT_ONCE)))
            tell(resident=_resident())


async def _send_all(sender: Sender, numbers: Iterator[int]) -> None:
    for number in numbers:
        await _sent(sender, number)


async def _sent(sender: Sender, number: int) -> None:
    message = replace(_MESSAGE, id=f"c-{number}.1", title=f"New case, high: NPS {number % 7}, Support")
    result = await sender.send(replace(message, quote=f"The router of {number} is down. " * (number % 50)))
    assert isinstance(result, Delivered), result


_MESSAGE = Message(
    id="",
    type="npsflow.case.opened.v1",
    at="2026-03-02T09:00:00Z",
    title="",
    facts=(("Case", "c-8225ef8472a1fa53894be36231845312"), ("Customer", "C-1"), ("Department", "Support")),
    to="team@example.com",
    severity="high",
)


def _resident() -> int:
    return int(_STATM.read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
