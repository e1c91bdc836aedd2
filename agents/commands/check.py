"""`npsflow check`: what is wrong with an installation, and what to do about it."""

import os
from collections.abc import Callable, Iterator
from functools import partial

import click
from msgspec.structs import replace

from npsflow.agents.fetch.sources import read_tokens
from npsflow.agents.intake.endpoint import signed
from npsflow.agents.kafka import clients
from npsflow.agents.notify import kinds
from npsflow.agents.notify.kind import check_options, read_kind_secrets
from npsflow.agents.notify.process import settings_of
from npsflow.agents.operations.check import findings
from npsflow.agents.operations.finding import Finding, warn
from npsflow.agents.runtime import terminal
from npsflow.agents.runtime.secrets import SecretMissing
from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.settings import Settings, load
from npsflow.streams.engine.installation import Installation, read_installation

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command()
def check() -> None:
    """Check settings, broker, topics, state and the lag of all readers; exit status 1 if anything fails."""
    mistakes = list[SettingsError]()
    try:
        installation = read_installation()
    except SettingsError as error:
        mistakes.append(error)
    try:
        settings = load()
    except SettingsError as error:
        mistakes.append(error)
    else:
        mistakes += _mistakes(settings)
    missing = [mistake.variable for mistake in mistakes if isinstance(mistake, SecretMissing)]
    wrong = [mistake for mistake in mistakes if not isinstance(mistake, SecretMissing)]
    for line in dict.fromkeys(line for mistake in wrong for line in str(mistake).splitlines()):
        _show(Finding("fail", f"settings: {line}"))
    if missing:
        todo = "set them where the processes run that need them"
        _show(warn(f"settings: secrets that are not in this environment: {', '.join(missing)}", todo))
    failed = bool(wrong) or clients.run(_report(settings, installation))
    if failed:
        raise SystemExit(1)


def _mistakes(settings: Settings) -> Iterator[SettingsError]:
    """What no process but one looks at: the first mistake of each entrance and of each notifier, and of its secret."""
    checks: list[Callable[[], object]] = []
    for name, form in settings.intake.items():
        alone = replace(settings, intake={name: form})
        checks += [partial(signed, alone, os.environ), partial(read_tokens, alone.intake, os.environ)]
    checks += [partial(_check_notifier, settings, name) for name in settings.notify]
    for one in checks:
        try:
            one()
        except SettingsError as error:
            yield error


def _check_notifier(settings: Settings, name: str) -> None:
    notifier = settings_of(settings, name)
    kind = kinds.named(notifier.kind)
    check_options(name, kind, notifier)
    read_kind_secrets(name, kind, os.environ)


async def _report(settings: Settings, installation: Installation) -> bool:
    """Print findings as they come; whether any is a failure."""
    return any([_show(finding) async for finding in findings(settings, installation)])


def _show(finding: Finding) -> bool:
    terminal.show_entry(f"{finding.level:<4}", finding.text, _STYLES[finding.level])
    return finding.level == "fail"
