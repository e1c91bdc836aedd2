"""Structured logs: one JSON object a line, with the fields of `extra` (topic, partition, offset). Never content."""

import logging
import sys
import traceback
from typing import TextIO

from aiokafka.errors import KafkaError

from npsflow.schemas import codec
from npsflow.schemas.errors import NpsflowError
from npsflow.schemas.times import rfc3339
from npsflow.streams.engine.observer import (
    Accepted,
    Crashed,
    Dropped,
    Event,
    Lost,
    Observer,
    Paused,
    Restored,
    RestoreFailed,
)

log = logging.getLogger(__name__)

PAUSE = 10.0
"""Seconds between two equal lines of Kafka's client."""

_CRASHED, _REASON = "We experienced a crash!", ("Crashed reason=", "Error: %r")  # of mode
_MOST_LINES = 1000  # different ones that are remembered
_KNOWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """`at`, `level`, `logger`, `message`, the extras, and `error` with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Give one line of JSON."""
        line: dict[str, object] = {
            "at": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        extra = {k: v for k, v in vars(record).items() if k not in _KNOWN}
        line |= {k: v if isinstance(v, int | float | dict) else str(v) for k, v in extra.items()}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe(record.exc_info[1])
        return codec.dumps(line).decode()


class RepeatFilter(logging.Filter):
    """Lets one of several equal lines of Kafka's client pass in `PAUSE` seconds; `repeated` counts those before it.

    While a broker is away each connection to it logs the same some ten times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line passes."""
        if record.name.partition(".")[0] != "aiokafka":
            return True
        if len(self._seen) >= _MOST_LINES:
            self._seen.clear()
        line = record.name, record.getMessage()
        at, left_out = self._seen.get(line, (-PAUSE, 0))
        if at <= record.created < at + PAUSE:
            self._seen[line] = at, left_out + 1
            return False
        self._seen[line] = record.created, 0
        if left_out:
            vars(record)["repeated"] = left_out
        return True


class EndFilter(logging.Filter):
    """Leaves out what mode logs, for every service, of the error that a worker ends by: the worker says it last."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line passes."""
        text = str(record.msg)
        if _CRASHED in text:
            return False
        errors = [record.exc_info[1]] if record.exc_info else []
        if isinstance(record.args, tuple):
            errors += [value for value in record.args if isinstance(value, BaseException)]
        return not (any(part in text for part in _REASON) and any(isinstance(error, NpsflowError) for error in errors))


class LogObserver(Observer):
    """Logs what an operator has to know of tasks."""

    def observe(self, event: Event) -> None:
        """Log it, if it is worth a line."""
        match event:
            case Restored(task, _, offsets):
                log.info("task ready", extra={**task.extra, "offsets": dict(offsets)})
            case RestoreFailed(task, _, error):
                log.warning("restore failed, trying again: %s", error, extra=task.extra)
            case Dropped(task, offsets, error):
                extra = {**task.extra, "offsets": dict(offsets), "error": describe(error)}
                log.warning("task dropped, restoring it", extra=extra)
            case Crashed(task, record, error):
                text = "a record crashed the fold and is a dead letter now: please report this"
                extra = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
                log.error(text, extra=extra, exc_info=error)
            case Lost(task, topic, begin, end):
                text = "records were deleted before they were read: going on without them"
                log.error(text, extra={**task.extra, "topic": topic, "offset": begin, "end": end})
            case Paused(task, offsets):
                extra = {"partition": task.partition, "offsets": dict(offsets)}
                log.error("most records are refused: paused until `npsflow dlq accept`", extra=extra)
            case Accepted(task):
                log.info("dead letters accepted, going on", extra={"partition": task.partition})


def describe(error: BaseException) -> str:
    """Give the error as `named` does, after its traceback."""
    return "".join(traceback.format_tb(error.__traceback__)) + named(error)


def named(error: BaseException) -> str:
    """Give the error's type, and its text where that is our own or Kafka's: any other text may quote a record."""
    kind, text = type(error).__name__, str(error)
    if not isinstance(error, NpsflowError | KafkaError):
        return kind
    return text if kind in text else f"{kind}: {text}"


def _message(record: logging.LogRecord) -> str:
    """Give the message without the text of errors that may quote a record.

    Faust and mode put it into the message of a crash, mode also as the name of the service: their template has to do.
    """
    if record.name.partition(".")[0] in ("faust", "mode") and record.exc_info:
        return str(record.msg)
    args = record.args if isinstance(record.args, tuple) else ()
    if any(isinstance(value, BaseException) for value in args):
        return str(record.msg) % tuple(named(value) if isinstance(value, BaseException) else value for value in args)
    return record.getMessage()


def set_up(level: str = "INFO", stream: TextIO = sys.stderr) -> None:
    """Log as JSON lines. Of Kafka's client and Faust only warnings and errors are logged, repeated ones seldom."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(RepeatFilter())
    handler.addFilter(EndFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("aiokafka", "faust", "mode", "kafka"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))
