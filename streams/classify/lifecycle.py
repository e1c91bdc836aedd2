"""The life of an alert or a follow-up, as a table: from what it was and what is wanted to the events to send."""

from typing import Literal, NamedTuple

from npsflow.schemas.events import Cause

Kind = Literal["started", "resumed", "enriched", "retracted"]


class Step(NamedTuple):
    """One event to send, under its revision."""

    kind: Kind
    revision: int


def steps(revision: int, *, live: bool, wanted: bool, same: bool, changed: bool) -> tuple[Step, ...]:
    """The events to send, in order.

    `revision` is the last one sent (0: none ever); `same`: it still concerns the same metric, category and customer;
    `changed`: an event would carry other content than the last one did.
    """
    if not wanted:
        return (Step("retracted", revision + 1),) if live else ()
    if not live:
        return (Step("resumed" if revision else "started", revision + 1),)
    if not same:
        return Step("retracted", revision + 1), Step("resumed", revision + 2)
    return (Step("enriched", revision + 1),) if changed else ()


def cause(
    *, deleted: bool, test: bool, internal: bool, metric_changed: bool, category_changed: bool, moved: bool
) -> Cause:
    """Why something is retracted: the first of these that holds, else settings ask for it no more."""
    if deleted:
        return "deleted"
    if test:
        return "test"
    if internal:
        return "internal"
    if metric_changed:
        return "metric"
    if category_changed:
        return "category"
    return "moved" if moved else "settings"
