"""`npsflow act`: what a person has done about a case, or wants done; and what came of it."""

import asyncio
import getpass
import uuid
from typing import get_args

import click
from msgspec.structs import replace

from npsflow.agents.cases.actions import InvalidAction, parse_action, send_action
from npsflow.agents.cases.reader import CaseReader, load_cases
from npsflow.agents.commands.progress import reading
from npsflow.agents.kafka import clients
from npsflow.agents.runtime.terminal import one_line
from npsflow.schemas import topics
from npsflow.schemas.cases import NO_COMPLAINT, Entry, TeamAction, Verb
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.recovery.case_index import ListedCase

_VERBS = [verb for verb in get_args(Verb) if verb != "forget"]

# What to do about a refusal, where its reason does not say so by itself.
_ADVICE = {
    "comment_missing": "add --comment",
    "root_cause_missing": "add --root-cause, `no_complaint` if there is none",
    "assignee_missing": "add --assignee",
    "is_loop_closed": "`npsflow act reopen` opens it again",
    "not_for_asks": "an ask is `done` or `declined`",
    "only_for_asks": "only what promoters and passives are asked is done or declined",
}


@click.command()
@click.argument("action", type=click.Choice(_VERBS))
@click.argument("case")
@click.option("--comment", help="What was said or done; `resolve` and `note` need one.")
@click.option("--root-cause", help="Why the customer was unhappy; `resolve` needs it, `no_complaint` if there is none.")
@click.option("--assignee", help="Whose the case is from now on, for `assign`.")
@click.option("--by", help="Who did it; your login name if not given.")
@click.option("--at", help="When it was done, RFC 3339 with offset; now if not given.")
@click.option("--action-id", help="An action sent again under the same id counts once.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1),
    default=15.0,
    show_default=True,
    help="Seconds to wait for what comes of it; for `fixed`, of each part of the cases.",
)
def act(
    action: str,
    case: str,
    comment: str | None,
    root_cause: str | None,
    assignee: str | None,
    by: str | None,
    at: str | None,
    action_id: str | None,
    timeout: float,
) -> None:
    """Say what was done about CASE: the id of a case, of an alert or of a follow-up.

    `npsflow act fixed CAUSE` says that a root cause is mended: all customers whose case was resolved with it are to be
    told. Exit status 1 if the action was refused, or nobody answers.
    """
    said = {"action": action, "comment": comment, "root_cause": root_cause, "assignee": assignee, "at": at}
    said |= {"by": by or login(), "action_id": action_id or uuid.uuid4().hex}
    try:
        # The case is not known yet: what is wrong with all the rest is said before anything is read.
        made = parse_action(said | {"root_cause" if action == "fixed" else "case_id": case})
    except InvalidAction as error:
        raise click.UsageError(str(error)) from None
    clients.run((_fixed if action == "fixed" else _act)(read_installation(), made, case, timeout))


def login() -> str:
    """Who runs this. Raises UsageError where the system does not know."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # KeyError before Python 3.13: a user without a name
        raise click.UsageError("this user has no name: say who you are with --by") from None


async def _act(installation: Installation, action: TeamAction, name: str, timeout: float) -> None:
    with reading("cases") as progress:
        async with load_cases(installation, progress) as book:
            one = book.cases.find(name)
            if one is None:
                raise click.ClickException(f"there is no case {one_line(name)}: see `npsflow cases`")
            action = replace(action, case_id=one.case_id)
            async with clients.producer(installation) as producer:
                await send_action(producer, installation, one.key, one.partition, action)
            entry = await _answer(book, one, action.action_id, timeout)
            _say(one, entry, book)


async def _answer(book: CaseReader, one: ListedCase, action_id: str, timeout: float) -> Entry:
    try:
        async with asyncio.timeout(timeout):
            while (entry := book.outcome(one.case_id, action_id)) is None:
                await book.poll()
    except TimeoutError:
        raise _unanswered(timeout) from None
    return entry


def _unanswered(timeout: float) -> clients.KafkaFailed:
    return clients.KafkaFailed(
        f"the action is sent and will be dealt with, but nothing came of it within {timeout:g} s: is a worker running? "
        "`npsflow check` says more"
    )


def _say(one: ListedCase, entry: Entry, book: CaseReader) -> None:
    now = book.cases.find(one.case_id) or one
    if entry.what == "action_refused":
        advice = f"; {_ADVICE[entry.reason]}" if entry.reason in _ADVICE else ""
        raise click.ClickException(f"refused, {entry.reason}: {now.case_id} stays {now.status}{advice}")
    click.echo(f"{entry.what}: {now.case_id} is {now.status}, owner {one_line(now.owner)}")


async def _fixed(installation: Installation, action: TeamAction, cause: str, timeout: float) -> None:
    """Sent to every partition; waits for the cases that it is known to concern, as long as they become fewer."""
    partitions = await clients.partitions(installation, topics.ACTIONS)
    with reading("cases") as progress:
        async with load_cases(installation, progress) as book:
            concerned = {one.case_id for one in book.cases if one.status == "resolved" and _root_cause(one) == cause}
            async with clients.producer(installation) as producer:
                for tp in partitions:
                    await send_action(producer, installation, None, tp.partition, action)
            while concerned:
                concerned = await _fewer(book, concerned, action, timeout)
    told = sum(book.outcome(one.case_id, action.action_id) is not None for one in book.cases)
    click.echo(f"fixed: customers to be told: {told}, see `npsflow cases --open`")
    causes = {_root_cause(one) for one in book.cases if one.status == "resolved"} - {None, NO_COMPLAINT}
    if not told and causes:
        listed = ", ".join(sorted(one_line(cause) for cause in causes))
        click.echo(f"resolved cases have these root causes: {listed}", err=True)


async def _fewer(book: CaseReader, concerned: set[str], action: TeamAction, timeout: float) -> set[str]:
    """Wait until some of the cases have heard of it, of very many not all at once; those that have not."""
    try:
        async with asyncio.timeout(timeout):
            while (left := {case_id for case_id in concerned if _waits(book, case_id, action)}) == concerned:
                await book.poll()
    except TimeoutError:
        raise _unanswered(timeout) from None
    return left


def _root_cause(one: ListedCase) -> str | None:
    return one.record().case.root_cause


def _waits(book: CaseReader, case_id: str, action: TeamAction) -> bool:
    """Whether a case has still to hear of it: one that is told, reopened or forgotten meanwhile is not concerned."""
    one = book.cases.find(case_id)
    return one is not None and one.status == "resolved" and book.outcome(case_id, action.action_id) is None
