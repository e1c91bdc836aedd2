"""The composition root of `npsflow notify NAME`: its clients, notifier, web server and end."""

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import click
from aiohttp import web
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from npsflow.agents.kafka import reading
from npsflow.agents.kafka.renewed_consumer import renewed_consumer
from npsflow.agents.kafka.renewed_producer import RenewedProducer, renewed_producer
from npsflow.agents.notify import kinds
from npsflow.agents.notify.attempt import Attempts
from npsflow.agents.notify.context import Context
from npsflow.agents.notify.delivery_log import DeliveryLog
from npsflow.agents.notify.digests import Digests
from npsflow.agents.notify.erased_customers import ErasedCustomers
from npsflow.agents.notify.event_cache import EventCache
from npsflow.agents.notify.kind import Sender, open_sender
from npsflow.agents.notify.metrics import Metrics
from npsflow.agents.notify.notifier import Notifier
from npsflow.agents.notify.status_polling import POLL_SECONDS, polling
from npsflow.agents.sealing.sealer import open_sealing
from npsflow.agents.web.serving import beside, serve, stop_signal
from npsflow.schemas import topics
from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.settings import Settings, described, settings_file
from npsflow.streams.engine.health import Health, routes
from npsflow.streams.engine.installation import Installation
from npsflow.streams.notify.settings import NotifierSettings


def settings_of(settings: Settings, name: str) -> NotifierSettings:
    """The settings of a notifier, `kind` filled in. Raises SettingsError if there is no such notifier or kind."""
    expect_notifier(settings, name)
    notifier = settings.notify.get(name) or NotifierSettings()
    notifier = replace(notifier, kind=notifier.kind or name)
    if notifier.kind not in kinds.names():
        raise SettingsError(f"notify.{name}: {notifier.kind!r} is no kind; there are {', '.join(kinds.names())}")
    return notifier


def expect_notifier(settings: Settings, name: str, others: Iterable[str] = ()) -> None:
    """Raises SettingsError if a name is not in the settings and has to be; the error names `others` as known, too."""
    if name not in settings.notify and name != "console":
        known = ", ".join(sorted({*settings.notify, "console", *others}))
        raise SettingsError(f"there is no [notify.{name}] in npsflow.toml; known: {known}")


async def run(
    installation: Installation,
    name: str,
    notifier: NotifierSettings,
    where: tuple[str, int],
    settings: Settings,
    *,
    send_backlog: bool,
) -> None:
    """Run a notifier until SIGINT or SIGTERM, listening on host and port.

    `send_backlog`: the messages from before the very first start are sent, however many they are. Raises SettingsError,
    KafkaFailed, click.UsageError for a taken port.
    """
    (host, port), stopping, kind = where, stop_signal(), kinds.named(notifier.kind)
    async with open_sender(name, kind, notifier, os.environ) as sender, open_sealing(settings, installation) as sealing:
        await sealing.sealer.start()
        metrics = Metrics(CollectorRegistry())
        context = Context(name, notifier, kind, installation, metrics, *sealing, send_backlog=send_backlog)
        for topic in (topics.NOTIFY_LOG, topics.ACTIONS):
            await reading.partitions(installation, topic)  # raises KafkaFailed if there is no such topic
        async with open_notifier(context, sender) as running:
            app = web.Application()
            contact = running.contact
            health = Health(
                running.ready, "reading", installation.session_ms / 1000, contact.silent_for, running.problems
            )
            app.router.add_routes(routes(context.metrics.registry, health))
            async with serve(app, host, port), beside(contact.keep()):
                click.echo(f"Notifying {name}; http://{host}:{port}/metrics; settings: {described(settings_file())}")
                await running.run(stopping)


@asynccontextmanager
async def open_notifier(
    context: Context,
    sender: Sender,
    producer: RenewedProducer | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> AsyncIterator[Notifier]:
    """A notifier with its Kafka clients, ready to run. `producer` writes the log in place of its own."""
    installation = context.installation
    group = installation.group(f"notify-{context.name}")
    async with (
        renewed_consumer(installation, group, installation.session_ms, at_rest=True) as consumer,
        renewed_consumer(installation) as events_consumer,
        renewed_consumer(installation) as actions_consumer,
        renewed_producer(installation) as own_producer,
    ):
        events = EventCache(events_consumer, installation.topic(topics.SERVICE_RECOVERY))
        erased = ErasedCustomers(actions_consumer, installation.topic(topics.ACTIONS), context.clock)
        digests = Digests(context)
        attempts = Attempts(context, sender, events, erased, digests)
        delivery_log = DeliveryLog(producer or own_producer, installation)
        notifier = Notifier(context, consumer, attempts, events, digests, delivery_log, sender)
        async with polling(context, sender, notifier.queue, events, own_producer, poll_seconds):
            yield notifier
