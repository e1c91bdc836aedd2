"""`npsflow cases`: whom to call and by when, one case with its history, and how well it went."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from difflib import get_close_matches
from typing import Any, get_args

import click

from npsflow.agents.cases.reader import load_cases
from npsflow.agents.commands import options
from npsflow.agents.kafka import clients
from npsflow.agents.kafka.diagnosis import NotSetUp
from npsflow.agents.runtime import terminal
from npsflow.agents.runtime.terminal import clean, one_line, pad, reading, show_entry, zoned_minute
from npsflow.agents.sealing.keyring import open_keyring
from npsflow.schemas import codec
from npsflow.schemas.cases import Entry, Kind, Status
from npsflow.schemas.times import rfc3339
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.recovery.case_index import CaseFilter, CaseIndex, ListedCase
from npsflow.streams.recovery.state import CaseRecord
from npsflow.streams.scoring.segments import normal

_SCREENFUL = 50
_CUSTOMER, _DEPARTMENT = 12, 14  # cells: with a comment of some words they fit 80

_HEAD = ("case", "severity", "status", "owner", "due", "customer", "department", "channel", "score", "comment")
_SHORT_HEAD = ("case", "severity", "due", "customer", "department", "score", "comment")

_as_json = click.option("--json", "as_json", is_flag=True, help="JSON, as published.")


@click.group(invoke_without_command=True)
@options.severity
@click.option("--department", help="Only those about this department.")
@click.option("--owner", help="Only those of this owner.")
@click.option("--overdue", is_flag=True, help="Only those for which it should have been done by now.")
@options.since("Only those opened since then")
@click.option(
    "--kind",
    type=options.Words(("unhappy", *get_args(Kind), "all")),
    help="`unhappy` (recovery and bundle) if not given; `ask`: promoters and passives to be asked for something.",
)
@click.option(
    "--status", type=options.Words(("open", *get_args(Status), "all")), help="`open` (all but ended ones) if not given."
)
@click.option("--open", is_flag=True, help="As --status open.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help=f"So many at most, 0 for all; if not given {_SCREENFUL} on a terminal, all elsewhere.",
)
@click.option("--report", "is_report", is_flag=True, help="How well those were handled that are known, ended ones too.")
@options.zone
@_as_json
@click.pass_context
def cases(
    ctx: click.Context, /, is_report: bool, as_json: bool, limit: int | None, zone: tzinfo, **choice: Any
) -> None:
    """List whom to call: the unhappy whose case is open, the worst first, of equally bad ones what is due first.

    On a terminal ids and texts are cut; the beginning of an id is enough for `npsflow act`. With --json one JSON object
    a line.
    """
    if ctx.invoked_subcommand is not None:
        return
    now, index = int(time.time() * 1000), clients.run(_load(read_installation()))
    chosen = _filter(is_report=is_report, **choice)
    listed = index.select(chosen, now, worst_first=True)
    if is_report:
        _report(listed, now, as_json=as_json)
        return
    if limit is None:
        limit = _SCREENFUL if sys.stdout.isatty() and not as_json else 0
    shown = listed[:limit] if limit else listed
    if as_json:
        for case in shown:
            click.echo(case.packed)
    elif shown:
        _show_list(index, shown, now)
    else:
        click.echo("no such cases")
    if not as_json:
        for line in _remarks(index, chosen, len(listed) - len(shown), now, is_empty=not listed):
            click.echo(line, err=True)


def _filter(
    *,
    is_report: bool,
    open: bool,
    kind: str | None,
    status: str | None,
    since: int | None,
    severities: tuple[str, ...],
    **choice: Any,
) -> CaseFilter:
    """What the options mean. A report is about all cases, where no option says something else."""
    kind, status = kind or ("all" if is_report else "unhappy"), status or ("all" if is_report and not open else "open")
    return CaseFilter(
        open=open or status == "open",
        kind=None if kind == "all" else kind,
        status=None if status in ("open", "all") else status,
        since="" if since is None else rfc3339(since),
        severities=severities,
        **choice,
    )


def _report(listed: Sequence[ListedCase], now: int, *, as_json: bool) -> None:
    from npsflow.agents.commands import case_report  # a list of cases does without, and has a second
    from npsflow.streams.recovery.report import as_json as encode
    from npsflow.streams.recovery.report import report

    made = report((case.record() for case in listed), now)
    if as_json:
        click.echo(encode(made))
    else:
        case_report.show(made)


@cases.command()
@click.argument("case")
@options.zone
@_as_json
def show(case: str, zone: tzinfo, as_json: bool) -> None:
    """Show all of one case: what is known, and its history.

    CASE is its id, or that of its alert or follow-up; the beginning is enough where no other begins like it.
    """
    listed = clients.run(_load(read_installation())).named(one_line(case))
    if as_json:
        click.echo(listed.packed)
    else:
        _show_case(_record(listed), zone)


async def _load(installation: Installation) -> CaseIndex:
    with reading("cases") as progress:
        async with open_keyring(installation) as keyring, load_cases(installation, keyring, progress) as reader:
            return reader.cases


def _record(listed: ListedCase) -> CaseRecord:
    try:
        return listed.record()
    except codec.Undecodable:
        raise NotSetUp(
            f"{listed.case_id} is no case that this version of npsflow can read: use the version of the workers"
        ) from None


def _show_list(index: CaseIndex, shown: Sequence[ListedCase], now: int) -> None:
    """On a terminal what decides whom to call, within its width; elsewhere every column, whole."""
    if sys.stdout.isatty():
        above = ("customer", "department", "comment")
        terminal.show_table(_SHORT_HEAD, _short_rows(index, shown, now), right=("due",), above=above, last=True)
    else:
        terminal.print_table(_HEAD, (_row(listed, now) for listed in shown))


def _row(listed: ListedCase, now: int) -> Sequence[str]:
    case, context = _record(listed)
    return (
        listed.case_id,
        listed.severity or case.action or "",
        listed.status,
        clean(listed.owner),
        due(listed.deadline, now),
        _customer(listed, context.customer_id),
        clean(context.department or ""),
        clean(context.channel or ""),
        f"{context.metric} {context.score}",
        clean(context.comment or ""),
    )


def _short_rows(index: CaseIndex, shown: Sequence[ListedCase], now: int) -> list[Sequence[str]]:
    length = index.short_length([listed.case_id for listed in shown])
    rows = [_row(listed, now) for listed in shown]
    customers = terminal.shortened((row[5] for row in rows), _CUSTOMER)
    departments = terminal.shortened((row[6] for row in rows), _DEPARTMENT)
    return [
        (
            case_id[:length],
            severity,
            due(listed.deadline, now, terminal.short_span),
            customers[customer],
            departments[department],
            score,
            comment,
        )
        for listed, (case_id, severity, _, _, _, customer, department, _, score, comment) in zip(
            shown, rows, strict=True
        )
    ]


def _customer(listed: ListedCase, customer_id: str | None) -> str:
    """Whose case it is: of an anonymous answer its id, of a bundle how many customers there may be."""
    return f"{len(listed.alert_ids)} alerts" if listed.kind == "bundle" else clean(customer_id or listed.key)


def due(deadline: int | None, now: int, span: Any = terminal.span) -> str:
    """`in 3 h`, `2 h late`, or nothing; both in ms."""
    if deadline is None:
        return ""
    return f"in {span(deadline - now)}" if deadline > now else f"{span(now - deadline)} late"


def _remarks(index: CaseIndex, chosen: CaseFilter, left: int, now: int, *, is_empty: bool) -> Iterator[str]:
    """What the list does not show: more of them, asks, and departments that are written differently."""
    if left:
        yield f"{left:,} more: --limit 0 shows all"
    if chosen.kind == "unhappy" and (asks := len(index.select(CaseFilter(open=True, kind="ask"), now))):
        yield f"{asks:,} open {'ask' if asks == 1 else 'asks'} of promoters and passives: npsflow cases --kind ask"
    if is_empty and chosen.department is not None:
        departments = Counter(normal(case.department) for case in index if case.department)
        close = get_close_matches(normal(chosen.department), departments, n=1)
        if normal(chosen.department) not in departments and close:
            yield f"no case is about {one_line(chosen.department)}; did you mean {one_line(close[0])}?"


def _show_case(record: CaseRecord, zone: tzinfo) -> None:
    """What is known, a field a line; then the history."""
    fields = codec.loads(codec.encode(record.case)) | codec.loads(codec.encode(record.context))
    for name, value in fields.items():
        if name not in ("history", "plan"):
            show_entry(f"{name:<16}", one_line(field_text(value, zone), 1000))
    click.echo()
    for entry in record.case.history:
        show_entry(zoned_minute(entry.at, zone), _text(entry))


def field_text(value: Any, zone: tzinfo) -> str:
    """A field as people read it: an answer of the customer in one line, the rest as published."""
    if isinstance(value, dict) and {"metric", "score", "submitted_at"} <= value.keys():
        parts = [
            f"{value['metric']} {value['score']}",
            value.get("severity"),
            zoned_minute(value["submitted_at"], zone),
        ]
        parts += [value.get("channel"), value.get("department")]
        comment = f" “{value['comment']}”" if value.get("comment") else ""
        return ", ".join(filter(None, parts)) + comment
    return value if isinstance(value, str) else codec.dumps(value).decode()


def _text(entry: Entry) -> str:
    details = [entry.reason, entry.root_cause, f"to {entry.assignee}" if entry.assignee else None]
    parts = [f"{entry.what:<14}", pad(clean(entry.by), 16), ", ".join(clean(text) for text in details if text)]
    if entry.comment:
        parts.append(f"“{one_line(entry.comment, 1000)}”")
    return "  ".join(part for part in parts if part).rstrip()
