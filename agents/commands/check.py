"""`npsflow check`: what is wrong with an installation, and what to do about it."""

import click

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
        unsigned(settings, {})  # whether their platforms are known, and their settings have an effect
        for name in settings.notify:
            notifier = settings_of(settings, name)
            check_options(name, kinds.named(notifier.kind), notifier)
    except SettingsError as error:
        failed = _show(Finding("fail", f"settings: {error}"))
    else:
        failed = clients.run(_report(settings, installation))
    if failed:
        raise SystemExit(1)


async def _report(settings: Settings, installation: Installation) -> bool:
    """Print findings as they come; whether any is a failure."""
    return any([_show(finding) async for finding in findings(settings, installation)])


def _show(finding: Finding) -> bool:
    terminal.show_entry(f"{finding.level:<4}", finding.text, _STYLES[finding.level])
    return finding.level == "fail"
