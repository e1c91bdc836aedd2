"""`npsflow check`: what is wrong with an installation, and what to do about it."""

from collections.abc import Iterator

import click
from msgspec.structs import replace

from npsflow.agents.intake.endpoint import unsigned
from npsflow.agents.kafka import clients
from npsflow.agents.notify import kinds
from npsflow.agents.notify.kind import check_options
from npsflow.agents.notify.process import settings_of
from npsflow.agents.operations.check import Finding, findings
from npsflow.agents.runtime import terminal
from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.settings import Settings, load
from npsflow.streams.engine.installation import Installation, read_installation

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command()
def check() -> None:
    """Check settings, broker, topics, state and the lag of all readers; exit status 1 if anything fails."""
    try:
        settings, installation = load(), read_installation()
    except SettingsError as error:
        mistakes = [error]
    else:
        mistakes = list(_mistakes(settings))
    for mistake in mistakes:
        _show(Finding("fail", f"settings: {mistake}"))
    failed = bool(mistakes) or clients.run(_report(settings, installation))
    if failed:
        raise SystemExit(1)


def _mistakes(settings: Settings) -> Iterator[SettingsError]:
    """What no process but one looks at: the first mistake of each entrance and of each notifier."""
    for name, form in settings.intake.items():
        try:
            unsigned(replace(settings, intake={name: form}), {})
        except SettingsError as error:
            yield error
    for name in settings.notify:
        try:
            notifier = settings_of(settings, name)
            check_options(name, kinds.named(notifier.kind), notifier)
        except SettingsError as error:
            yield error


async def _report(settings: Settings, installation: Installation) -> bool:
    """Print findings as they come; whether any is a failure."""
    return any([_show(finding) async for finding in findings(settings, installation)])


def _show(finding: Finding) -> bool:
    terminal.show_entry(f"{finding.level:<4}", finding.text, _STYLES[finding.level])
    return finding.level == "fail"
