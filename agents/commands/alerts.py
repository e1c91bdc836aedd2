"""`npsflow alerts`: what is on `service-recovery`, for people and for programs."""

import sys
import time
from collections import deque
from contextlib import aclosing, suppress
from datetime import tzinfo
from typing import Any, NamedTuple

import click

from npsflow.agents.commands import options
from npsflow.agents.kafka import clients, reading
from npsflow.agents.runtime.terminal import clean, minute, one_line, pad, show_entry, zoned_minute
from npsflow.agents.sealing.keyring import open_keyring
from npsflow.schemas import codec, topics
from npsflow.schemas.times import DAY
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.scoring.segments import normal
from npsflow.streams.stage import Record

_TYPE = "npsflow.alert."
_SHORT_ID = 10  # characters: two of a million alerts may share them
_BEFORE_NEW_ONES = 10


class _Line(NamedTuple):
    """Of an event: when it happened, what and to whom, by when something is due, and what the customer wrote."""

    time: str
    subject: str
    due: str = ""
    comment: str = ""


@click.command()
@options.since("Only those since then")
@click.option("--new", is_flag=True, help="Only those that come from now on, until Ctrl-C.")
@options.severity
@click.option("--department", help="Only those about this department.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many, the newest; of --follow, before new ones.")
@click.option(
    "--follow",
    is_flag=True,
    help=f"Go on with new ones until Ctrl-C. Without --since and --limit the last {_BEFORE_NEW_ONES} of one day come "
    "first.",
)
@options.zone
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: the event, its type, id, time and key.")
def alerts(since: int | None, new: bool, follow: bool, **choice: Any) -> None:
    """Show alert events, oldest first: all of them, or those of which the options say.

    Any id finds its case: `npsflow cases show`, `npsflow act`. What was taken back later is marked. Times are in UTC,
    or in --zone.
    """
    if follow and since is None and choice["limit"] is None:
        since, choice["limit"] = int(time.time() * 1000) - DAY, _BEFORE_NEW_ONES
    shown = Shown(**choice)
    with suppress(KeyboardInterrupt):
        clients.run(_show(read_installation(), shown, since or 0, follow=follow or new, only_new=new))
    if not shown.any:
        click.echo(shown.nothing, err=True)


async def _show(installation: Installation, shown: "Shown", since: int, *, follow: bool, only_new: bool) -> None:
    records = reading.committed_records(
        installation,
        topics.SERVICE_RECOVERY,
        follow=follow,
        last=0 if only_new else None,
        since=since,
        at_end=shown.end,
    )
    async with open_keyring(installation) as keyring, aclosing(records):
        async for record in records:
            if (event := _event(record, await keyring.read(record.value or b""))) is not None:
                shown.add(event)


class Shown:
    """Chooses events, holds back those before the end of the topic to see which are taken back, and prints them."""

    def __init__(
        self, severities: tuple[str, ...], department: str | None, limit: int | None, zone: tzinfo, *, as_json: bool
    ) -> None:
        self.any = False
        self._severities, self._department = severities, None if department is None else normal(department)
        self._zone, self._as_json, self._limit = zone, as_json, limit
        self._chosen, self._retracted = set[str](), set[str]()
        self._held: deque[tuple[str, _Line]] | None = deque(maxlen=limit)

    @property
    def nothing(self) -> str:
        """What to say if there was none."""
        return "no such alerts" if self._severities or self._department or self._limit else "no alerts yet"

    def add(self, event: dict[str, Any]) -> None:
        """Take an event of an alert, in the order in which they were written."""
        alert_id, kind = event.get("alert_id", ""), _kind(event)
        if kind in ("retracted", "reinstated"):
            (self._retracted.add if kind == "retracted" else self._retracted.discard)(alert_id)
        if not (self._fits(event) or alert_id in self._chosen):
            return
        self._chosen.add(alert_id)
        if self._held is None or (self._as_json and self._limit is None):
            self._print(self._line(event))
        else:
            self._held.append((alert_id if kind != "retracted" else "", self._line(event)))

    def end(self) -> None:
        """The topic is read to its end: print what is held back; what comes from now on is printed at once."""
        held, self._held = self._held or (), None
        for alert_id, line in held:
            self._print(line, taken_back=alert_id in self._retracted)

    def _line(self, event: dict[str, Any]) -> _Line:
        return _Line("", codec.dumps(event).decode()) if self._as_json else _line(event, self._zone)

    def _fits(self, event: dict[str, Any]) -> bool:
        """A retraction says neither severity nor department: it is shown if another event of its alert was."""
        is_severe = not self._severities or event.get("severity") in self._severities
        return is_severe and self._department in (None, normal(event.get("department", "")))

    def _print(self, line: _Line, *, taken_back: bool = False) -> None:
        self.any = True
        if self._as_json:
            click.echo(line.subject)
            return
        due = "taken back later" if taken_back else line.due
        parts = (line.subject, due, f"“{line.comment}”" if line.comment else "")
        show_entry(line.time, "  ".join(parts), "dim" if taken_back else "")


def _event(record: Record, opened: bytes) -> dict[str, Any] | None:
    """The alert event of a record and its `opened` value; None for any other (decisions about cases are there, too)."""
    headers = dict(record.headers)
    kind = headers.get("ce_type", b"").decode()
    if not kind.startswith(_TYPE) or not opened:
        return None
    fields: dict[str, Any] = codec.loads(opened)
    cloud_event = {"type": kind, "id": headers["ce_id"].decode(), "time": headers["ce_time"].decode()}
    return fields | cloud_event | {"key": (record.key or b"").decode()}


def _kind(event: dict[str, Any]) -> str:
    return str(event["type"]).removeprefix(_TYPE).partition(".")[0]


def _line(event: dict[str, Any], zone: tzinfo) -> _Line:
    """Id, what happened, how bad, the score, whom it is about (the key: customer or response), where, until when."""
    due, cause, alert_id = event.get("due_at"), event.get("cause"), event.get("alert_id", "")
    parts = [
        alert_id[: _SHORT_ID if sys.stdout.isatty() else None],
        f"{_kind(event):<10}",
        f"{event.get('severity', ''):<8}",
        f"{event['metric']} {event.get('score', '')}".ljust(8),
        pad(clean(event["key"]), 24),
        pad(clean(event.get("channel", "")), 6),
        pad(clean(event.get("department", "")), 12),
    ]
    return _Line(
        minute(event["time"], zone),
        "  ".join(parts if alert_id else parts[1:]),
        f"due {zoned_minute(due, zone)}" if due else f"because of: {cause}" if cause else "",
        one_line(event.get("comment", "")),
    )
