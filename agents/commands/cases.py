"""`npsflow cases`: whom to call and by when, one case with its history, and how well it went."""

import time
from typing import Any, get_args

import click

from npsflow.agents.cases.reader import load_cases
from npsflow.agents.commands import case_report
from npsflow.agents.kafka import clients
from npsflow.agents.runtime.terminal import clean, minute, one_line, pad, reading, show_entry, show_table, span
from npsflow.schemas import codec
from npsflow.schemas.cases import Entry, Kind
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.recovery.case_index import CaseFilter, CaseIndex, ListedCase
from npsflow.streams.recovery.report import as_json as as_report
from npsflow.streams.recovery.report import report
from npsflow.streams.recovery.state import CaseRecord

_as_json = click.option("--json", "as_json", is_flag=True, help="JSON, as published.")


@click.group(invoke_without_command=True)
@click.option("--open", is_flag=True, help="Only those for which something is left to be done.")
@click.option("--overdue", is_flag=True, help="Only those for which it should have been done by now.")
@click.option("--owner", help="Only those of this owner.")
@click.option("--department", help="Only those about this department.")
@click.option("--kind", type=click.Choice(get_args(Kind)), help="Only those of this kind.")
@click.option("--report", "is_report", is_flag=True, help="How well those were handled that are still known.")
@_as_json
@click.pass_context
def cases(ctx: click.Context, /, is_report: bool, as_json: bool, **filters: Any) -> None:
    """List cases, what is due first at the top. With --json one JSON object a line."""
    if ctx.invoked_subcommand is not None:
        return
    now = int(time.time() * 1000)
    listed = clients.run(_load(read_installation())).select(CaseFilter(**filters), now)
    if is_report:
        made = report((case.record() for case in listed), now)
        if as_json:
            click.echo(as_report(made))
        else:
            case_report.show(made)
    elif as_json:
        for case in listed:
            click.echo(case.packed)
    elif listed:
        _show_list(listed, now)
    else:
        click.echo("no such cases")


@cases.command()
@click.argument("case")
@_as_json
def show(case: str, as_json: bool) -> None:
    """Show all of one case: what is known, and its history. CASE is its id, or that of its alert or follow-up."""
    listed = clients.run(_load(read_installation())).find(case)
    if listed is None:
        raise click.ClickException(f"there is no case {one_line(case)}: see `npsflow cases`")
    if as_json:
        click.echo(listed.packed)
    else:
        _show_case(listed.record())


async def _load(installation: Installation) -> CaseIndex:
    with reading("cases") as progress:
        async with load_cases(installation, progress) as reader:
            return reader.cases


def _show_list(cases: list[ListedCase], now: int) -> None:
    head = ("case", "severity", "status", "owner", "due", "customer", "channel", "score", "comment")
    rows = []
    for listed in cases:
        case, context = listed.record()
        rows.append(
            (
                listed.case_id,
                listed.severity or case.action or "",
                listed.status,
                clean(listed.owner),
                due(listed.deadline, now),
                clean(context.customer_id or ""),
                clean(context.channel or ""),
                f"{context.metric} {context.score}",
                one_line(context.comment or "", 40),
            )
        )
    show_table(head, rows, above=("owner", "customer", "channel", "score", "comment"))


def due(deadline: int | None, now: int) -> str:
    """`in 3 h`, `2 h late`, or nothing; both in ms."""
    if deadline is None:
        return ""
    return f"in {span(deadline - now)}" if deadline > now else f"{span(now - deadline)} late"


def _show_case(record: CaseRecord) -> None:
    """What is known, a field a line; then the history."""
    fields = codec.loads(codec.encode(record.case)) | codec.loads(codec.encode(record.context))
    for name, value in fields.items():
        if name not in ("history", "plan"):
            text = value if isinstance(value, str) else codec.dumps(value).decode()
            show_entry(f"{name:<16}", one_line(text, 1000))
    click.echo()
    for entry in record.case.history:
        show_entry(minute(entry.at), _text(entry))


def _text(entry: Entry) -> str:
    details = [entry.reason, entry.root_cause, f"to {entry.assignee}" if entry.assignee else None]
    parts = [f"{entry.what:<14}", pad(clean(entry.by), 16), ", ".join(clean(text) for text in details if text)]
    if entry.comment:
        parts.append(f"“{one_line(entry.comment, 1000)}”")
    return "  ".join(part for part in parts if part).rstrip()
