"""Which cluster, and which installation in it: the names of everything that one prefix owns there."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from npsflow.schemas.errors import SettingsError
from npsflow.schemas.topics import changelog
from npsflow.streams.engine.kafka.security import VARIABLES, Security, security

_ENVIRONMENT = {
    "NPSFLOW_BROKERS": "brokers",
    "NPSFLOW_PREFIX": "prefix",
    "NPSFLOW_SESSION_MS": "session_ms",
    "NPSFLOW_COMPRESSION": "compression",
}
_KNOWN = {"NPSFLOW_BY", "NPSFLOW_CONFIG", "NPSFLOW_CACHE", "NPSFLOW_LOG_LEVEL", "NPSFLOW_ZONE", *VARIABLES}
_NAME = re.compile(r"[A-Za-z0-9._-]{0,200}")  # what Kafka takes as part of a topic's name, and room for the rest of it
_PREFIXES = ("NPSFLOW_FAUST_", "NPSFLOW_SECRET_", "NPSFLOW_TEST_", "NPSFLOW_TOKEN_")


Compression = Literal["zstd", "lz4", "snappy", "gzip", "none"]


class Installation(Struct, frozen=True):
    """Which cluster and installation: `NPSFLOW_BROKERS`, `NPSFLOW_PREFIX`, and how to get in."""

    brokers: str = "127.0.0.1:9092"
    prefix: str = ""
    session_ms: Annotated[int, Meta(ge=1000, le=3_600_000)] = 10_000
    """`NPSFLOW_SESSION_MS`: a worker not heard of for this long has lost its partitions."""
    compression: Compression = "zstd"
    """`NPSFLOW_COMPRESSION`: of what is produced. zstd takes a third of the CPU of aiokafka's lz4, which compresses at
    level 9, and is smaller."""
    security: Security = Security()

    @property
    def event_source(self) -> str:
        """The `ce_source` of its events."""
        return f"npsflow/{self.prefix}"

    def topic(self, name: str) -> str:
        """A topic's name with prefix."""
        return self.prefix + name

    def group(self, stage: str) -> str:
        """The consumer group of a stage, or of a process that reads on its own."""
        return f"{self.prefix}npsflow-{stage}"

    def changelog(self, stage: str, kind: Literal["state", "remembered"]) -> str:
        """The topic of a stage's keyed state or of its log."""
        return self.topic(changelog(stage, kind))

    def transactional_id(self, stage: str, partition: int) -> str:
        """Of the producer of one task: it fences the task's former owners."""
        return f"{self.prefix}npsflow-{stage}-{partition}"


def read_installation(environment: Mapping[str, str] = os.environ) -> Installation:
    """Read it from the environment. Raises SettingsError when an `NPSFLOW_*` is unknown or cannot be used."""
    fields: dict[str, Any] = {}
    for name, value in environment.items():
        if name in _ENVIRONMENT:
            fields[_ENVIRONMENT[name]] = value
        elif name.startswith("NPSFLOW_") and name not in _KNOWN and not name.startswith(_PREFIXES):
            known = ", ".join(sorted([*_ENVIRONMENT, *_KNOWN]))
            raise SettingsError(f"{name} is not a setting of npsflow; known: {known}")
    try:
        plain = msgspec.convert(fields, Installation, strict=False)
    except msgspec.ValidationError:
        if (chosen := fields.get("compression", "none")) not in get_args(Compression):
            raise SettingsError(
                f"NPSFLOW_COMPRESSION is {chosen!r}, none of {', '.join(get_args(Compression))}"
            ) from None
        session = environment["NPSFLOW_SESSION_MS"]
        raise SettingsError(f"NPSFLOW_SESSION_MS is {session!r}, no whole number from 1000 to 3600000") from None
    if not _NAME.fullmatch(plain.prefix):
        raise SettingsError(f"NPSFLOW_PREFIX is {plain.prefix!r}: topics are named by letters, digits, dots, _ and -")
    return msgspec.structs.replace(plain, security=security(environment))
