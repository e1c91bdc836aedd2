"""Structured logs: one JSON object a line, with whatever `extra` says (topic, partition, offset). Never content."""

import logging
import sys
import traceback
from typing import TextIO

from aiokafka.errors import KafkaError

from npsflow.schemas import codec
from npsflow.schemas.errors import NpsflowError
from npsflow.schemas.times import rfc3339

PAUSE = 10.0
"""Seconds between two equal lines of Kafka's client."""

_MOST_SAID = 1000  # different lines that are remembered
_KNOWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """`at`, `level`, `logger`, `message`, the extras, and `error` with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
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
    """Of what Kafka's client repeats, one line in `PAUSE` seconds; it says as `repeated` how many were left out before.

    While a broker is away each of its connections says the same some ten times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] != "aiokafka":
            return True
        if len(self._said) >= _MOST_SAID:
            self._said.clear()
        this = record.name, record.getMessage()
        at, left_out = self._said.get(this, (-PAUSE, 0))
        if at <= record.created < at + PAUSE:
            self._said[this] = at, left_out + 1
            return False
        self._said[this] = record.created, 0
        if left_out:
            vars(record)["repeated"] = left_out
        return True


def describe(error: BaseException) -> str:
    """Where, and `named`."""
    return "".join(traceback.format_tb(error.__traceback__)) + named(error)


def named(error: BaseException) -> str:
    """Of which type, and what it says where that is our own or Kafka's; any other text may quote a record."""
    kind, text = type(error).__name__, str(error)
    if not isinstance(error, NpsflowError | KafkaError):
        return kind
    return text if kind in text else f"{kind}: {text}"


def _message(record: logging.LogRecord) -> str:
    """Of a crash the hosting frameworks put the error's text into the message: their template has to do.

    Mode does so too in the name of the service that crashed.
    """
    if record.name.partition(".")[0] in ("faust", "mode") and record.exc_info:
        return str(record.msg)
    given = record.args if isinstance(record.args, tuple) else ()
    if any(isinstance(value, BaseException) for value in given):
        args = tuple(named(value) if isinstance(value, BaseException) else value for value in given)
        return str(record.msg) % args
    return record.getMessage()


def set_up(level: str = "INFO", stream: TextIO = sys.stderr) -> None:
    """Log as JSON lines; the Kafka client's and Faust's own chatter only from warnings on, repeated lines seldom."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("aiokafka", "faust", "mode", "kafka"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))
