"""`npsflow cases`: whom to call and by when, one case with its history, and how well it went."""

import time
from collections.abc import Iterator
from typing import get_args

import click

from npsflow.agents.cases.reader import load_cases
from npsflow.agents.commands import case_report
from npsflow.agents.commands.progress import reading
from npsflow.agents.kafka import clients
from npsflow.agents.runtime.terminal import minute, one_line, span, table
from npsflow.schemas import codec
from npsflow.schemas.cases import Entry, Kind
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.recovery.case_index import CaseFilter, CaseIndex, ListedCase
from npsflow.streams.recovery.report import as_json as as_report
from npsflow.streams.recovery.report import report
from npsflow.streams.recovery.state import CaseRecord

_as_json = click.option("--json", "as_json", is_flag=True, help="JSON, as published.")


@click.group(invoke_without_command=True)
@click.option("--open", "is_open", is_flag=True, help="Only those for which something is left to be done.")
@click.option("--overdue", is_flag=True, help="Only those for which it should have been done by now.")
@click.option("--owner", help="Only those of this owner.")
@click.option("--department", help="Only those about this department.")
@click.option("--kind", type=click.Choice(get_args(Kind)), help="Only those of this kind.")
@click.option("--report", "is_report", is_flag=True, help="How well those were handled that are still known.")
@_as_json
@click.pass_context
def cases(
    ctx: click.Context,
    is_open: bool,
    overdue: bool,
    owner: str | None,
    department: str | None,
    kind: str | None,
    is_report: bool,
    as_json: bool,
) -> None:
    """List cases, what is due first at the top. With --json one JSON object a line."""
    if ctx.invoked_subcommand is not None:
        return
    now = int(time.time() * 1000)
    wanted = CaseFilter(open=is_open, overdue=overdue, owner=owner, department=department, kind=kind)
    found = clients.run(_standing(read_installation())).select(wanted, now)
    if is_report:
        made = report((one.record() for one in found), now)
        click.echo(as_report(made) if as_json else "\n".join(case_report.as_text(made)))
    elif as_json:
        for one in found:
            click.echo(one.packed)
    else:
        click.echo(_table(found, now) if found else "no such cases")


@cases.command()
@click.argument("case")
@_as_json
def show(case: str, as_json: bool) -> None:
    """Show all of one case: what is known, and its history. CASE is its id, or that of its alert or follow-up."""
    one = clients.run(_standing(read_installation())).find(case)
    if one is None:
        raise click.ClickException(f"there is no case {one_line(case)}: see `npsflow cases`")
    click.echo(one.packed if as_json else "\n".join(_whole(one.record())))


async def _standing(installation: Installation) -> CaseIndex:
    with reading("cases") as progress:
        async with load_cases(installation, progress) as book:
            return book.cases


def _table(found: list[ListedCase], now: int) -> str:
    head = ("case", "severity", "status", "owner", "due", "customer", "channel", "score", "comment")
    rows = []
    for one in found:
        case, context = one.record()
        rows.append(
            (
                one.case_id,
                one.severity or case.action or "",
                one.status,
                one_line(one.owner, 24),
                due(one.deadline, now),
                one_line(context.customer_id or "", 24),
                one_line(context.channel or "", 12),
                f"{context.metric} {context.score}",
                one_line(context.comment or "", 40),
            )
        )
    return table(head, rows)


def due(deadline: int | None, now: int) -> str:
    """`in 3 h`, `2 h late`, or nothing; both in ms."""
    if deadline is None:
        return ""
    return f"in {span(deadline - now)}" if deadline > now else f"{span(now - deadline)} late"


def _whole(file: CaseRecord) -> Iterator[str]:
    """What is known, a field a line; then the history."""
    fields = codec.loads(codec.encode(file.case)) | codec.loads(codec.encode(file.context))
    for name, value in fields.items():
        if name not in ("history", "plan"):
            text = value if isinstance(value, str) else codec.dumps(value).decode()
            yield f"{name:<16}  {one_line(text, 1000)}"
    yield ""
    yield from (_line(entry) for entry in file.case.history)


def _line(entry: Entry) -> str:
    more = [entry.reason, entry.root_cause, f"to {entry.assignee}" if entry.assignee else None]
    said = ", ".join(one_line(text) for text in more if text)
    parts = [minute(entry.at), f"{entry.what:<14}", one_line(entry.by, 24).ljust(16), said]
    if entry.comment:
        parts.append(f"“{one_line(entry.comment, 1000)}”")
    return "  ".join(part for part in parts if part).rstrip()
