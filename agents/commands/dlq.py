"""`npsflow dlq`: the dead letters, sending them once more, and letting a paused partition go on."""

import os
import time
from collections import Counter, deque
from contextlib import aclosing
from typing import Any, BinaryIO, get_args

import click

from npsflow.agents.commands import options
from npsflow.agents.kafka import clients
from npsflow.agents.operations import dead_letters
from npsflow.agents.operations.dead_letters import LETTER_ID, History, Letter, Selection, State, help_for
from npsflow.agents.operations.replay import Replay, ReplayCheck, Report
from npsflow.agents.runtime import terminal
from npsflow.agents.runtime.terminal import clean, pad
from npsflow.agents.sealing.keyring import open_keyring
from npsflow.schemas import codec
from npsflow.schemas.errors import NpsflowError, Reason
from npsflow.streams.config.settings import load
from npsflow.streams.engine.installation import Installation, read_installation

_RESTART = (
    "Workers and intake read npsflow.toml when they start: restart those that run since before it was changed, else "
    "they refuse the same again."
)

_of_reason = click.option("--reason", type=click.Choice(get_args(Reason)), help="Only those refused for this reason.")
_of_source = click.option(
    "--source",
    shell_complete=options.of_settings(lambda settings: {form.platform for form in settings.intake.values()}),
    help="Only those of this platform.",
)


class _LetterId(click.ParamType):
    """The id of a letter, as `dlq list` shows it."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not LETTER_ID.fullmatch(value):
            self.fail("the id of a dead letter is PARTITION-OFFSET, as `npsflow dlq list` shows it", param, ctx)
        return str(value)


class NoSuchLetter(NpsflowError, LookupError):
    """No dead letter has this id."""


@click.group()
def dlq() -> None:
    """List, show, mend, replay or accept dead letters: records that could not be accepted."""


@dlq.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_of_reason
@_of_source
@click.option("--state", type=click.Choice(get_args(State)), help="Only those of which this became.")
@options.since("Only those since then")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many, the newest.")
def list_letters(
    *, as_json: bool, reason: str | None, source: str | None, state: State | None, since: int | None, limit: int | None
) -> None:
    """Show id, state, reason, platform and response of each dead letter, oldest first; never its content."""
    selection = Selection(reason=reason, source=source, since=since)
    reasons = clients.run(_list(read_installation(), selection, state, limit, as_json=as_json))
    if not as_json:
        click.echo(_by_reason(reasons) or "no dead letters")


async def _list(
    installation: Installation, selection: Selection, state: State | None, limit: int | None, *, as_json: bool
) -> Counter[str]:
    reasons: Counter[str] = Counter()
    history = await dead_letters.complete_history(installation)
    newest = deque[dict[str, Any]](maxlen=limit)
    async with aclosing(dead_letters.letters(installation, selection)) as letters:
        async for letter in letters:
            if state not in (None, history.state(letter)):
                continue
            if limit is None:
                _show_entry(_entry(letter, history), as_json=as_json)
                reasons[letter.why["reason"]] += 1
            else:
                newest.append(_entry(letter, history))
    for entry in newest:
        _show_entry(entry, as_json=as_json)
        reasons[entry["reason"]] += 1
    return reasons


def _entry(letter: Letter, history: History) -> dict[str, Any]:
    """All that is known of a letter but its content."""
    why, response = letter.why, letter.response
    entry = {
        "id": letter.id,
        "state": history.state(letter),
        "reason": why["reason"],
        "message": why["message"],
        "topic": why["topic"],
        "partition": int(why["partition"]),
        "offset": int(why["offset"]),
        "at": why["at"],
        "source": letter.source,
        "response_id": response and response[1],
        "key": letter.key,
        "replayed_at": history.replayed.get(letter.id),
        "refused_as": history.refused_as.get(letter.id),
        "replay_of": letter.predecessors,
    }
    return {name: value for name, value in entry.items() if value not in (None, [])}


def _show_entry(entry: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(codec.dumps(entry))
        return
    source, subject = clean(entry.get("source", "-")), clean(entry.get("response_id") or _place(entry))
    text = f"{entry['id']:<8}  {entry['state']:<13}  {entry['reason']:<18}  {pad(source, 14)}  {pad(subject, 26)}"
    terminal.show_entry(entry["at"], f"{text}  {clean(entry['message'])}")


def _place(entry: dict[str, Any]) -> str:
    return f"{entry['topic']}[{entry['partition']}]@{entry['offset']}"


@dlq.command()
@click.argument("letter", type=_LetterId(), metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object, which `replay --file` takes when mended.")
def show(letter: str, as_json: bool) -> None:
    """Show all of a dead letter, its content and with that personal data included."""
    found, history, opened = clients.run(_find(read_installation(), letter))
    entry, (encoding, value) = _entry(found, history), _readable(opened)
    headers = [[name, (data or b"").decode(errors="replace")] for name, data in found.headers]
    click.echo("This is personal data, as it was received: do not pass it on.", err=True)
    if as_json:
        click.echo(codec.dumps(entry | {"headers": headers, "encoding": encoding, "value": value}))
        return
    rows = [
        (name.replace("_", " "), " ".join(value) if isinstance(value, list) else value) for name, value in entry.items()
    ]
    rows += [("helps", help_for(entry["reason"])), *((f"header {name}", text) for name, text in headers)]
    for name, text in rows:
        click.echo(f"{clean(name):<12}  {clean(text)}")
    click.echo(f"{'value':<12}  {encoding}, {len(opened or b''):,} bytes")
    if encoding != "none":
        click.echo(_printable(codec.dumps(value, indent=True).decode() if encoding == "json" else value))


async def _find(installation: Installation, letter_id: str) -> tuple[Letter, History, bytes | None]:
    """The letter, what became of letters, and its value with all that is sealed in it opened."""
    history = await dead_letters.complete_history(installation)
    async with aclosing(dead_letters.letters(installation, Selection(ids=frozenset([letter_id])))) as letters:
        async for letter in letters:
            value = letter.record.value
            async with open_keyring(installation) as keyring:
                return letter, history, None if value is None else await keyring.read(value)
    raise NoSuchLetter(f"there is no dead letter {letter_id}: `npsflow dlq list` shows their ids")


def _readable(value: bytes | None) -> tuple[str, Any]:
    """How a value is shown (json, text, hex or none), and as what."""
    if value is None:
        return "none", None
    try:
        return "json", codec.loads(value)
    except codec.NotJson:
        pass
    try:
        return "text", value.decode()
    except UnicodeDecodeError:
        return "hex", value.hex(" ")


def _printable(text: str) -> str:
    """Lines of others, without what could steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


@dlq.command()
@click.argument("ids", type=_LetterId(), nargs=-1, metavar="[ID]...")
@_of_reason
@_of_source
@click.option("--file", type=click.File("rb"), help="Send values of this JSON Lines file in place of the letters'.")
@click.option("--dry-run", is_flag=True, help="Only say how many would be sent.")
@click.option("--again", is_flag=True, help="Send also what was replayed before, and what would be refused again.")
def replay(
    *, ids: tuple[str, ...], reason: str | None, source: str | None, file: BinaryIO | None, dry_run: bool, again: bool
) -> None:
    """Send dead letters to the topic they came from, after what refused them has been mended.

    Each is read first as a worker or intake would: what would be refused again is not sent. What was replayed is not
    sent by a later replay. Whatever is refused once more comes back as a new dead letter.

    A line of --file is a mended response, which takes the place of all letters of that response, or {"id": ID, "value":
    VALUE}, for one letter. Then only those letters are sent.
    """
    installation, sent = read_installation(), 0
    selection = Selection(reason=reason, source=source, ids=frozenset(ids) if ids else None)
    check = ReplayCheck(load(), os.environ, int(time.time() * 1000))

    def progress(total: int) -> None:
        nonlocal sent
        sent = total

    with terminal.status(lambda: f"{sent:,} sent"):
        work = Replay(installation, selection, check, again=again).run(file, dry_run=dry_run, progress=progress)
        report = clients.run(work)
    _show_report(report, "would be sent back" if dry_run else "sent back", named=bool(ids))
    if report.lines or report.missing or (ids and report.kept):
        raise SystemExit(1)


def _show_report(report: Report, done: str, *, named: bool) -> None:
    for number, why in sorted(report.lines):
        click.echo(f"line {number}: {why}", err=True)
    for letter in report.missing:
        click.echo(f"{letter}: there is no such dead letter", err=True)
    if named and report.replayed_before:
        click.echo(f"{report.replayed_before} replayed before: --again sends them once more", err=True)
    click.echo(_by_reason(report.sent) or "nothing to replay")
    click.echo(f"{report.sent.total()} dead letters {done}")
    if report.kept:
        click.echo(f"{report.kept.total()} would be refused again, and are not sent:")
        for reason, count in report.kept.most_common():
            click.echo(f"{count:>8} {reason:<18}  {help_for(reason)}")
    if report.unmended:
        click.echo(_RESTART)


@dlq.command()
def accept() -> None:
    """Let partitions go on that stopped because most of their records were refused (`dead_letters.pause`)."""
    count = clients.run(dead_letters.accept(read_installation()))
    click.echo(f"accepted what was refused so far in {count} partitions: paused ones go on within a second")


def _by_reason(reasons: Counter[str]) -> str:
    return "\n".join(f"{n:>8} {name}" for name, n in reasons.most_common())
