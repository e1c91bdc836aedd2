"""`npsflow act`: what a person has done about a case, or wants done; and what came of it."""

import asyncio
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import click
from msgspec.structs import replace

from npsflow.agents.cases.actions import InvalidAction, parse_action, send_action
from npsflow.agents.cases.reader import CaseReader, load_cases
from npsflow.agents.commands.options import Words, by, login, warn_of_root
from npsflow.agents.kafka import clients, reading
from npsflow.agents.kafka.diagnosis import KafkaFailed
from npsflow.agents.kafka.renewed_producer import renewed_producer
from npsflow.agents.runtime import terminal
from npsflow.agents.runtime.terminal import one_line
from npsflow.agents.sealing.sealer import open_sealing
from npsflow.schemas import topics
from npsflow.schemas.cases import NO_COMPLAINT, Entry, TeamAction, Verb
from npsflow.streams.config.settings import load
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.recovery.case_index import ListedCase
from npsflow.streams.scoring.segments import normal

_VERBS = [verb for verb in get_args(Verb) if verb != "forget"]

# What to do about a refusal, where its reason does not say so by itself.
_ADVICE = {
    "comment_missing": "add --comment",
    "root_cause_missing": "add --root-cause and --comment; the cause is `no_complaint` if there is none",
    "assignee_missing": "add --assignee",
    "before_the_case": "--at is before the case was opened",
    "in_the_future": "--at is still to come",
    "is_loop_closed": "`npsflow act reopen` opens it again",
    "not_for_asks": "an ask is `done` or `declined`",
    "only_for_asks": "only what promoters and passives are asked is done or declined",
}
_NEEDS = {"resolve": ("root_cause", "comment"), "assign": ("assignee",), "note": ("comment",)}


@click.command()
@click.argument("action", type=Words(_VERBS), metavar="ACTION")
@click.argument("names", metavar="CASE...", nargs=-1, required=True)
@click.option("--comment", help="What was said or done; `resolve` and `note` need one.")
@click.option("--root-cause", help="Why the customer was unhappy; `resolve` needs it, `no_complaint` if there is none.")
@click.option("--assignee", help="Whose the case is from now on, for `assign`.")
@by
@click.option("--at", help="When it was done, RFC 3339 with offset; now if not given.")
@click.option("--action-id", help="An action sent again under the same id counts once.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1),
    default=15.0,
    show_default=True,
    help="Seconds to wait for what comes of it; for `fixed`, of each part of the cases.",
)
def act(action: str, names: tuple[str, ...], timeout: float, **fields: str | None) -> None:
    """Say what was done about each CASE: the id of a case, of an alert or of a follow-up, or how it begins.

    ACTION is acknowledge, contact, resolve, close-loop, reopen, assign or note, and for what promoters and passives are
    asked done or declined. `npsflow act fixed CAUSE` says that a root cause is mended: all customers whose case was
    resolved with it are to be told. Exit status 1 if an action was refused, or nobody answers.
    """
    fields["root_cause"] = _root_cause_of(fields["root_cause"])
    if missing := [f"--{name.replace('_', '-')}" for name in _missing(action, fields)]:
        raise click.UsageError(f"{action} needs {' and '.join(missing)}")
    fields |= {"action": action, "by": fields["by"] or login(), "action_id": fields["action_id"] or uuid.uuid4().hex}
    fields |= {"root_cause": " ".join(names)} if action == "fixed" else {"case_id": names[0]}
    try:
        made = parse_action(fields)  # the case is not known yet: everything else is checked before anything is read
    except InvalidAction as error:
        raise click.UsageError(str(error)) from None
    installation = read_installation()
    clients.run(_fixed(installation, made, timeout) if action == "fixed" else _act(installation, made, names, timeout))


def _root_cause_of(text: str | None) -> str | None:
    """`No complaint` is the word for that."""
    is_word = text is not None and normal(text).replace(" ", "_").replace("-", "_") == NO_COMPLAINT
    return NO_COMPLAINT if is_word else text


def _missing(action: str, fields: Mapping[str, str | None]) -> Iterator[str]:
    """What the action needs and does not say."""
    for name in _NEEDS.get(action, ()):
        if not fields[name] and not (name == "comment" and fields["root_cause"] == NO_COMPLAINT):
            yield name


async def _act(installation: Installation, action: TeamAction, names: Sequence[str], timeout: float) -> None:
    with terminal.reading("cases") as progress:
        async with (
            open_sealing(load(), installation) as sealing,
            load_cases(installation, sealing.keyring, progress) as reader,
        ):
            cases = {case.case_id: case for case in [reader.cases.named(one_line(name)) for name in names]}
            async with renewed_producer(installation) as producer:
                for case in cases.values():
                    about = replace(action, case_id=case.case_id)
                    await send_action(producer, installation, case.key, case.partition, about, sealing.sealer)
            entries = {case_id: await _answer(reader, case_id, action.action_id, timeout) for case_id in cases}
    now = {case_id: reader.cases.find(case_id) or case for case_id, case in cases.items()}
    refused = [_refused(now[case_id], entry) for case_id, entry in entries.items() if entry.what == "action_refused"]
    for case_id, entry in entries.items():
        if entry.what != "action_refused":
            click.echo(f"{entry.what}: {case_id} is {now[case_id].status}, owner {one_line(now[case_id].owner)}")
    if len(refused) < len(entries):
        warn_of_root(action.by)
    if refused:
        raise click.ClickException("\n".join(refused))


def _refused(case: ListedCase, entry: Entry) -> str:
    advice = f"; {_ADVICE[entry.reason]}" if entry.reason in _ADVICE else ""
    return f"refused, {entry.reason}: {case.case_id} stays {case.status}{advice}"


async def _answer(reader: CaseReader, case_id: str, action_id: str, timeout: float) -> Entry:
    try:
        async with asyncio.timeout(timeout):
            while (entry := reader.outcome(case_id, action_id)) is None:
                await reader.poll()
    except TimeoutError:
        raise _unanswered(timeout) from None
    return entry


def _unanswered(timeout: float) -> KafkaFailed:
    return KafkaFailed(
        f"the action is sent and will be dealt with, but nothing came of it within {timeout:g} s: is a worker running? "
        "`npsflow check` says more"
    )


async def _fixed(installation: Installation, action: TeamAction, timeout: float) -> None:
    """Send it to every partition; wait for the cases that it is known to concern, as long as they become fewer."""
    partitions = await reading.partitions(installation, topics.ACTIONS)
    with terminal.reading("cases") as progress:
        async with (
            open_sealing(load(), installation) as sealing,
            load_cases(installation, sealing.keyring, progress) as reader,
        ):
            cause = normal(action.root_cause or "")
            concerned = {case.case_id for case in _resolved(reader) if normal(_root_cause(case) or "") == cause}
            async with renewed_producer(installation) as producer:
                for tp in partitions:
                    await send_action(producer, installation, None, tp.partition, action, sealing.sealer)
            while concerned:
                concerned = await _fewer(reader, concerned, action, timeout)
    reopened = sum(reader.outcome(case.case_id, action.action_id) is not None for case in reader.cases)
    click.echo(f"fixed: customers to be told: {reopened}, see `npsflow cases`")
    if reopened:
        warn_of_root(action.by)
    causes = {_root_cause(case) for case in _resolved(reader)} - {None, NO_COMPLAINT}
    if not reopened and causes:
        listed = ", ".join(sorted(one_line(cause) for cause in causes))
        click.echo(f"resolved cases have these root causes: {listed}", err=True)


async def _fewer(reader: CaseReader, concerned: set[str], action: TeamAction, timeout: float) -> set[str]:
    """Wait until some of the cases have taken the action, of very many not all at once; gives those that have not."""
    try:
        async with asyncio.timeout(timeout):
            while (left := {case_id for case_id in concerned if _waits(reader, case_id, action)}) == concerned:
                await reader.poll()
    except TimeoutError:
        raise _unanswered(timeout) from None
    return left


def _resolved(reader: CaseReader) -> list[ListedCase]:
    return [case for case in reader.cases if case.status == "resolved"]


def _root_cause(case: ListedCase) -> str | None:
    return case.record().case.root_cause


def _waits(reader: CaseReader, case_id: str, action: TeamAction) -> bool:
    """Whether a case has still to take the action; one that was closed, reopened or forgotten meanwhile has not."""
    case = reader.cases.find(case_id)
    return case is not None and case.status == "resolved" and reader.outcome(case_id, action.action_id) is None
