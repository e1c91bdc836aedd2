"""`npsflow notify NAME`: tells a team what happens to cases; `log` and `replay` are about what was sent."""

import os
import random
import time
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any, get_args

import click
from aiohttp import web
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from npsflow.agents.kafka import clients
from npsflow.agents.notify import kinds
from npsflow.agents.notify.attempt import Attempts
from npsflow.agents.notify.delivery_log import Log
from npsflow.agents.notify.digests import Digests
from npsflow.agents.notify.erased_customers import Forgotten
from npsflow.agents.notify.event_cache import Events
from npsflow.agents.notify.kind import opened
from npsflow.agents.notify.metrics import Metrics
from npsflow.agents.notify.notifier import Notifying
from npsflow.agents.notify.status_polling import watched
from npsflow.agents.runtime.process import prepare
from npsflow.agents.runtime.terminal import one_line
from npsflow.agents.web.serving import served, until_told
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.notify import Delivery, State, decode_delivery
from npsflow.schemas.times import rfc3339
from npsflow.streams.config.settings import Settings, load
from npsflow.streams.engine import logs
from npsflow.streams.engine.health import routes
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.notify.queue import believed
from npsflow.streams.notify.settings import Notifier


class Notifiers(click.Group):
    """Every notifier of the settings is a command; so is every kind that needs none."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or _command(cmd_name)


@click.group(cls=Notifiers, subcommand_metavar="NAME | COMMAND [ARGS]...")
def notify() -> None:
    """Tell a team what happens to cases, as [notify.NAME] in the settings says, until Ctrl-C.

    NAME alone is enough for `console`. The secret of NAME is NPSFLOW_SECRET_NOTIFY_NAME. As many processes of one
    notifier as there are partitions share its work.
    """


def _command(name: str) -> click.Command:
    @click.command(name, help=f"Send what [notify.{name}] says, until Ctrl-C.")
    @click.option("--host", default="127.0.0.1", show_default=True, help="Where to serve /health and /metrics.")
    @click.option("--port", type=click.IntRange(1, 65535), default=6082, show_default=True, help="Port for them.")
    def run(host: str, port: int) -> None:
        notifier = notifier_of(load(), name)
        logs.set_up("INFO")
        prepare()
        clients.run(_run(read_installation(), name, notifier, host, port))

    return run


def notifier_of(settings: Settings, name: str) -> Notifier:
    """With its kind filled in. Raises SettingsError."""
    _expect_known(settings, name)
    found = settings.notify.get(name) or Notifier()
    found = replace(found, kind=found.kind or name)
    if found.kind not in kinds.names():
        raise SettingsError(f"notify.{name}: {found.kind!r} is no kind; there are {', '.join(kinds.names())}")
    return found


def _expect_known(settings: Settings, name: str, more: Iterable[str] = ()) -> None:
    """One of the settings, or one that needs none. `more` are named beside them. Raises SettingsError."""
    if name not in settings.notify and name != "console":
        known = ", ".join(sorted({*settings.notify, "console", *more}))
        raise SettingsError(f"there is no [notify.{name}] in npsflow.toml; known: {known}")


async def _run(installation: Installation, name: str, notifier: Notifier, host: str, port: int) -> None:
    stopping, metrics = until_told(), Metrics(CollectorRegistry())
    kind = kinds.named(notifier.kind)
    async with opened(name, kind, notifier, os.environ) as sender:
        for topic in (topics.NOTIFY_LOG, topics.ACTIONS):
            await clients.partitions(installation, topic)  # says so where it is not there
        async with (
            clients.reader(installation, installation.group(f"notify-{name}"), installation.session_ms) as consumer,
            clients.reader(installation) as again,
            clients.reader(installation) as actions,
            clients.producer(installation) as producer,
        ):
            events, digests = (
                Events(again, installation.topic(topics.SERVICE_RECOVERY)),
                Digests(name, notifier, installation),
            )
            forgotten = Forgotten(actions, installation.topic(topics.ACTIONS), time.time)
            attempts = Attempts(
                notifier, sender, events, forgotten, digests.get, kind.per_second, time.time, random.random
            )
            log = Log(producer, installation)
            notifying = Notifying(
                name,
                notifier,
                attempts,
                consumer,
                events,
                digests,
                log,
                installation,
                metrics,
                time.time,
                apart=kind.apart,
            )
            app = web.Application()
            app.router.add_routes(routes(metrics.registry, notifying.ready, "reading"))
            async with served(app, host, port), watched(sender, notifying.queue, events, producer, installation):
                click.echo(f"Notifying {name}; http://{host}:{port}/metrics")
                await notifying.run(stopping)


@notify.command("log")
@click.argument("name", required=False)
@click.option("--state", type=click.Choice(get_args(State)), help="Only those in this state.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(name: str | None, state: str | None, as_json: bool) -> None:
    """Show what became of each message, of NAME or of all notifiers; never its content."""
    standing = clients.run(_standing(read_installation()))
    on_log = {one.notifier for _, one in standing}
    if name is not None and name not in on_log:
        _expect_known(load(), name, on_log)
    found = [one for _, one in standing if name in (None, one.notifier) and state in (None, one.state)]
    for one in found:
        click.echo(codec.encode(one).decode() if as_json else _line(one))
    if not found:
        click.echo("no such messages", err=True)


@notify.command()
@click.argument("name")
@click.option("--id", "event_id", help="Only the message about this event.")
def replay(name: str, event_id: str | None) -> None:
    """Send messages again that were given up, after what stood in the way has been mended."""
    _expect_known(load(), name)
    click.echo(f"{clients.run(_replay(read_installation(), name, event_id))} messages will be sent again")


async def _replay(installation: Installation, name: str, event_id: str | None) -> int:
    chosen = [
        (partition, one)
        for partition, one in await _standing(installation)
        if (one.notifier, one.state) == (name, "given_up") and event_id in (None, one.event_id)
    ]
    async with clients.producer(installation) as producer:
        log = Log(producer, installation)
        for partition, one in chosen:
            await log.write(partition, [replace(one, state="waiting", attempts=0, not_before=0, error="", owner=0)])
    return len(chosen)


async def _standing(installation: Installation) -> list[tuple[int, Delivery]]:
    """The last word on each message, with its partition, in the order in which they were said."""
    found: dict[tuple[int, Any], Delivery] = {}
    newest: dict[tuple[int, str], int] = {}
    async with aclosing(clients.committed_records(installation, topics.NOTIFY_LOG)) as records:
        async for record in records:
            one = decode_delivery(record.value) if record.value else None
            if one is not None and not believed(one, (record.partition, one.notifier), newest):
                continue
            found.pop((record.partition, record.key), None)
            if one is not None:
                found[record.partition, record.key] = one
    return [(partition, one) for (partition, _), one in found.items()]


def _line(one: Delivery) -> str:
    tries = f"{one.attempts} {'try' if one.attempts == 1 else 'tries'}"
    parts = [rfc3339(one.at), f"{one.notifier:<10}", f"{one.state:<9}", f"{one.event_id:<40}", f"{tries:<8}"]
    return "  ".join([*parts, one_line(one.error or one.reference)]).rstrip()
